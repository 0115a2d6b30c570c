"""The wait for a task, with real processes: one event, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from nightshift_provider.runners.base import Phase, TaskSpec, task_folders
from nightshift_provider.runners.process import ProcessRunner, keeper_pid
from nightshift_provider.triggers import task as module
from nightshift_provider.triggers.task import NightshiftTaskTrigger

from nightshift.errors import ServiceUnavailable
from tests.plugins.small_task import alive, until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def spec(tmp_path):
    def of(code, **changes):
        values = {
            "name": "jd-train", "generation": 1, "command": ["python", "-c", code],
            "environment": {}, "project": str(tmp_path), "python": sys.executable,
            "state_dir": str(task_folders(tmp_path) / "jd-train"), "result_path": "",
            "writable": [], "readable": [], "image": "", "user": "", "memory": "", "cpus": 1.0,
            "device": "cpu", "deadline": time.time() + 60, "stop_grace_s": 1.0,
        }  # fmt: skip
        return TaskSpec(**{**values, **changes})

    yield of
    if (pid := keeper_pid(task_folders(tmp_path) / "jd-train")) is not None:
        os.kill(pid, signal.SIGKILL)


def waiting(one, **changes):
    options = {"poll_s": 0.05, "outage_s": 0.2, **changes}
    return NightshiftTaskTrigger(
        runner="process", docker_url="", docker_conn_id=None, spec=one.to_dict(), **options
    )


def running(one):
    """The task's own process."""
    path = Path(one.state_dir) / "running.json"
    until(path.exists, "it runs")
    return json.loads(path.read_text())["task"]


async def event(trigger):
    (found,) = [one.payload async for one in trigger.run()]
    return found


async def test_a_task_that_ends_is_one_event_with_its_spec(spec):
    one = spec("print('hello')")
    ProcessRunner().start(one)
    assert await event(waiting(one)) == {"outcome": "exited", "message": "", "spec": one.to_dict()}


async def test_a_task_that_is_not_there_is_gone(spec):
    found = await event(waiting(spec("")))
    assert (found["outcome"], found["message"]) == ("gone", "jd-train is not there any more")


async def test_a_deadline_is_the_end_of_the_wait_and_not_of_the_task(spec):
    one = spec("import time; time.sleep(600)", deadline=time.time() + 1.0)
    ProcessRunner().start(spec("import time; time.sleep(600)"))
    assert (await event(waiting(one)))["outcome"] == "timeout"
    assert keeper_pid(Path(one.state_dir)) is not None


async def test_an_engine_may_stay_away_for_so_long(spec, monkeypatch):
    one = spec("import time; time.sleep(0.5)")
    ProcessRunner().start(one)
    away = {"left": 2}

    class Away(ProcessRunner):
        def status(self, asked):
            if away["left"]:
                away["left"] -= 1
                raise ServiceUnavailable("the engine does not answer")
            return super().status(asked)

    monkeypatch.setattr(module, "make_runner", lambda *_: Away())
    assert (await event(waiting(one, outage_s=60)))["outcome"] == "exited"
    away["left"] = 10_000
    found = await event(waiting(one))
    assert (found["outcome"], found["message"]) == ("unavailable", "the engine does not answer")


async def test_no_event_comes_before_the_task_is_deferred(spec):
    one = spec("")
    ProcessRunner().start(one)
    ready = time.time() + 0.8
    await event(waiting(one, not_before=ready))
    assert time.time() >= ready - 0.05


def test_it_comes_back_from_the_database_as_it_was(spec):
    made = waiting(spec("print(1)"), not_before=5.0)
    path, values = made.serialize()
    assert path == f"{NightshiftTaskTrigger.__module__}.NightshiftTaskTrigger"
    assert NightshiftTaskTrigger(**values).serialize() == (path, values)


async def test_a_kill_leaves_nothing_even_of_a_task_that_is_deaf(spec):
    one = spec(DEAF, stop_grace_s=0.5)
    ProcessRunner().start(one)
    process = running(one)
    await waiting(one).on_kill()
    assert not alive(process)
    assert ProcessRunner().status(one).phase is Phase.ABSENT
    await waiting(one).on_kill()  # once more is no error
