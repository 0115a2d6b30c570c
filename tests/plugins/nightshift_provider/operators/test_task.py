"""The task operator through Airflow's task runner, with real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from nightshift_provider.runners.base import GRACE_S, LOG_LAST_LINES, LOG_MAX_LINES, TaskSpec
from nightshift_provider.runners.process import ProcessRunner, keeper_pid
from nightshift_provider.runners.reaper import reap

from nightshift.settings import Settings
from tests.plugins.small_task import TASK, alive, body, folders, let_go, starts, until


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose one task is the above, and an empty home."""
    project = tmp_path / "project"
    (project / "tasks" / "train").mkdir(parents=True)
    (project / "include").mkdir()
    (project / "tasks" / "train" / "__main__.py").write_text(TASK)
    monkeypatch.setenv("NIGHTSHIFT_PROJECT", str(project))
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_TASK_PYTHON", sys.executable)
    monkeypatch.setenv("NIGHTSHIFT_TASK_RUNNER", "process")
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "1")
    yield tmp_path
    for folder in (tmp_path / "home" / "tasks").glob("*"):
        if (pid := keeper_pid(folder)) is not None:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("deferrable", [False, True])
class TestBothModes:
    def test_a_task_that_ends_well(self, airflow, workshop, deferrable, capfd):
        run = airflow.run(body(workshop, "go", f"deferrable={deferrable}"))
        assert run.try_task("x") == "success"
        result = run.xcom("x")
        assert [result["pid"]] == starts(workshop)
        assert "SECRET_OF_THE_WORKER" not in result["env"]
        assert {"COLOUR", "PATH", "PYTHONPATH"} <= set(result["env"])
        assert not any(name.startswith("AIRFLOW") for name in result["env"])
        said = capfd.readouterr().out
        assert said.count("started blue") == 1
        assert said.count("all done") == 1
        assert folders(workshop) == []

    def test_a_terminal_exit_is_not_retried(self, airflow, workshop, deferrable, capfd):
        run = airflow.run(body(workshop, "exit64", f"deferrable={deferrable}, retries=3"))
        assert run.try_task("x") == "failed"
        assert "exit code 64: because" in capfd.readouterr().out

    @pytest.mark.parametrize("code", [75, 1, 143])
    def test_another_exit_is_retried_anew(self, airflow, workshop, deferrable, code):
        run = airflow.run(body(workshop, f"exit{code}", f"deferrable={deferrable}, retries=3"))
        assert run.try_task("x") == "up_for_retry"
        assert run.try_task("x") == "up_for_retry"
        assert len(starts(workshop)) == 2
        assert folders(workshop) == []

    def test_a_deadline_stops_it(self, airflow, workshop, deferrable, capfd):
        more = f"deferrable={deferrable}, timeout_s=1.0, stop_grace_s=5, retries=3"
        run = airflow.run(body(workshop, "wait", more))
        assert run.try_task("x") == "up_for_retry"
        assert "had not ended by its deadline" in capfd.readouterr().out
        assert not alive(starts(workshop)[0])
        assert folders(workshop) == []

    def test_a_million_lines_do_not_reach_the_log(self, airflow, workshop, deferrable, capfd):
        run = airflow.run(body(workshop, "noise", f"deferrable={deferrable}"))
        assert run.try_task("x") == "success"
        said = capfd.readouterr().out
        assert said.count("x" * 80) <= LOG_MAX_LINES + LOG_LAST_LINES
        assert "all done" in said


class TestFoundAgain:
    def test_a_dead_workers_task_is_followed_not_started(self, airflow, workshop, capfd):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        threading.Timer(1.0, let_go, [workshop]).start()
        assert run.try_task("x") == "success"
        assert [run.xcom("x")["pid"]] == starts(workshop)
        assert "found again" in capfd.readouterr().out

    def test_an_ended_one_is_read_not_run(self, airflow, workshop):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        let_go(workshop)
        until(lambda: (folders(workshop)[0] / "exit.json").exists(), "the task ends")
        assert run.try_task("x") == "success"
        assert [run.xcom("x")["pid"]] == starts(workshop)

    def test_a_result_read_before_a_crash_is_read_again(self, airflow, workshop):
        run = airflow.run(body(workshop, "go"))
        assert run.try_task("x") == "success"
        # The worker died after it had read the result and before Airflow knew.
        assert run.try_task("x") == "success"
        assert [run.xcom("x")["pid"]] == starts(workshop)

    def test_a_cleared_task_starts_anew(self, airflow, workshop):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        run.clear("x")
        let_go(workshop)
        assert run.try_task("x") == "success"
        first, second = starts(workshop)
        assert run.xcom("x")["pid"] == second
        assert not alive(first)

    def test_a_killed_keeper_takes_its_task_with_it(self, airflow, workshop, capfd):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0, retries=2"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        os.kill(keeper_pid(folders(workshop)[0]), signal.SIGKILL)
        until(lambda: not alive(starts(workshop)[0]), "the task dies with its keeper")
        let_go(workshop)
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 2


class TestResult:
    @pytest.mark.parametrize(
        ("what", "complaint"),
        [
            ("silent", "wrote no"),
            ("large", "bytes"),
            ("nan", "NaN is not a JSON number"),
            ("link", "result.json is a link"),
            ("linked", "model is a link"),
            ("pipe", "result.json is a pipe"),
        ],
    )
    def test_a_result_that_is_none(self, airflow, workshop, what, complaint, capfd):
        run = airflow.run(body(workshop, what, "retries=3"))
        assert run.try_task("x") == "failed"
        assert complaint in capfd.readouterr().out
        assert folders(workshop) == []

    def test_a_missing_python_says_what_to_do(self, airflow, workshop, monkeypatch, capfd):
        monkeypatch.setenv("NIGHTSHIFT_TASK_PYTHON", str(workshop / "no-python"))
        run = airflow.run(body(workshop, "go", "retries=3"))
        assert run.try_task("x") == "failed"
        assert "NIGHTSHIFT_TASK_PYTHON" in capfd.readouterr().out


class TestKill:
    def test_the_operators_kill_leaves_nothing(self, workshop, airflow):
        run = airflow.run(body(workshop, "wait"))
        task = run.dag.get_task("x")

        def kill() -> None:
            until(lambda: starts(workshop), "the task starts")
            os.kill(os.getpid(), signal.SIGTERM)

        killer = threading.Thread(target=kill)
        before = signal.getsignal(signal.SIGTERM)
        killer.start()
        try:
            assert run.try_task("x") == "failed"
        finally:
            killer.join()
            signal.signal(signal.SIGTERM, before)
        assert task.task_id == "x"
        assert not alive(starts(workshop)[0])
        assert folders(workshop) == []

    def test_a_kill_leaves_the_result_of_one_that_ended_well(self, workshop, airflow):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        let_go(workshop)
        (folder,) = folders(workshop)
        until(lambda: (folder / "exit.json").exists(), "the task ends")
        known = json.loads((folder / "spec.json").read_bytes())
        task = run.dag.get_task("x")
        task._running = ProcessRunner(), TaskSpec.from_dict(spec_of(workshop, folder.name, known))
        task.on_kill()
        task._running, task._killed = None, False  # the next try is another process
        assert run.try_task("x") == "success"
        assert [run.xcom("x")["pid"]] == starts(workshop)

    def test_the_reaper_takes_what_is_past_its_deadline(self, workshop, airflow):
        run = airflow.run(
            body(workshop, "deaf", "deferrable=True, defer_after_s=0, timeout_s=3600")
        )
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        settings = Settings.from_env()
        name = folders(workshop)[0].name
        assert reap(settings) == []
        assert reap(settings, now=time.time() + 3600 + GRACE_S + 1, sparing=name) == []
        assert alive(starts(workshop)[0])
        assert reap(settings, now=time.time() + 3600 + GRACE_S + 1) == [name]
        assert not alive(starts(workshop)[0])


def spec_of(workshop: Path, name: str, known: dict) -> dict:
    return {
        "name": name, "generation": known["generation"], "command": known["command"],
        "environment": {}, "project": known["cwd"], "python": sys.executable,
        "state_dir": str(workshop / "home" / "tasks" / name), "result_path": "", "writable": [],
        "readable": [], "image": "", "user": "", "memory": "", "cpus": 1.0, "device": "cpu",
        "deadline": known["deadline"], "stop_grace_s": 1.0, "labels": {},
    }  # fmt: skip
