"""The task operator on a real Docker engine."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from nightshift_provider.runners.base import ENDED_S, GRACE_S, LOG_LAST_LINES, LOG_MAX_LINES
from nightshift_provider.runners.docker import DockerRunner
from nightshift_provider.runners.reaper import reap

from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift.settings import Settings
from testing import images
from tests.plugins.small_task import TASK, alive, body, let_go, starts, until

pytestmark = pytest.mark.docker

IMAGE = "nightshift-test/small:1"


@pytest.fixture(scope="module")
def engine(docker_engine, tmp_path_factory):
    images.ensure_python(docker_engine, "3.10")
    context = tmp_path_factory.mktemp("image")
    (context / "tasks" / "train").mkdir(parents=True)
    (context / "tasks" / "train" / "__main__.py").write_text(TASK)
    (context / "Dockerfile").write_text(
        "FROM python:3.10-slim-bookworm\nWORKDIR /opt/small\nCOPY tasks tasks\n"
    )
    docker_engine.docker("build", "--network=none", "--tag", IMAGE, str(context))
    return docker_engine


@pytest.fixture
def workshop(engine, tmp_path, monkeypatch):
    (tmp_path / "project" / "include").mkdir(parents=True)
    for name, value in {
        "PROJECT": tmp_path / "project",
        "HOME": tmp_path / "home",
        "TASK_RUNNER": "docker",
        "TASK_IMAGE_TRAIN": IMAGE,
        "TASK_MEMORY": "96m",
        "TASK_CPUS": "0.5",
        "DOCKER_URL": engine.url,
    }.items():
        monkeypatch.setenv(f"NIGHTSHIFT_{name}", str(value))
    yield tmp_path
    for name in containers(engine):
        engine.docker("rm", "--force", name)


def containers(engine) -> list[str]:
    return engine.docker(
        "ps", "--all", "--filter", "label=nightshift.home", "--format", "{{.Names}}"
    ).split()


def create(engine, like, name, *command) -> None:
    """A container of a name, labelled and mounted like another one, that is not started."""
    labels = [f"--label={k}={v}" for k, v in like["Config"]["Labels"].items()]
    mounts = [f"--mount=type=bind,src={m['Source']},dst={m['Target']}"
              for m in like["HostConfig"]["Mounts"]]  # fmt: skip
    engine.docker("create", "--network=none", f"--name={name}", *labels, *mounts, IMAGE, *command)


def ended_and_removed(airflow, workshop, engine):
    """A deferred run whose container has ended and is gone: the run, its name and what it was."""
    run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
    assert run.try_task("x", run_triggerer=False) == "deferred"
    let_go(workshop)
    (name,) = containers(engine)
    engine.docker("wait", name)
    spec = json.loads(engine.docker("inspect", name))[0]
    engine.docker("rm", name)
    return run, name, spec


@pytest.mark.parametrize("deferrable", [False, True])
class TestBothModes:
    def test_a_task_that_ends_well(self, airflow, workshop, engine, deferrable, capfd):
        run = airflow.run(body(workshop, "go", f"deferrable={deferrable}"))
        assert run.try_task("x") == "success"
        assert run.xcom("x")["status"] == "ok"
        said = capfd.readouterr().out
        assert said.count("started blue") == 1
        assert said.count("all done") == 1
        assert len(starts(workshop)) == 1
        assert containers(engine) == []

    def test_exit_codes(self, airflow, workshop, engine, deferrable, capfd):
        run = airflow.run(body(workshop, "exit64", f"deferrable={deferrable}, retries=3"))
        assert run.try_task("x") == "failed"
        assert "exit code 64: because" in capfd.readouterr().out
        run = airflow.run(body(workshop, "exit75", f"deferrable={deferrable}, retries=3"))
        assert run.try_task("x") == "up_for_retry"
        assert containers(engine) == []

    def test_a_deadline_stops_it(self, airflow, workshop, engine, deferrable, capfd):
        more = f"deferrable={deferrable}, timeout_s=1.5, stop_grace_s=5, retries=3"
        run = airflow.run(body(workshop, "wait", more))
        assert run.try_task("x") == "up_for_retry"
        said = capfd.readouterr().out
        assert "had not ended by its deadline" in said
        assert "told to stop" in said
        assert containers(engine) == []

    def test_a_million_lines_do_not_reach_the_log(self, airflow, workshop, deferrable, capfd):
        run = airflow.run(body(workshop, "noise", f"deferrable={deferrable}"))
        assert run.try_task("x") == "success"
        said = capfd.readouterr().out
        assert said.count("x" * 80) <= LOG_MAX_LINES + LOG_LAST_LINES
        assert "all done" in said

    def test_too_little_memory_is_said_and_not_retried(
        self, airflow, workshop, engine, deferrable, capfd
    ):
        run = airflow.run(body(workshop, "hungry", f"deferrable={deferrable}, retries=3"))
        assert run.try_task("x") == "failed"
        assert "NIGHTSHIFT_TASK_MEMORY" in capfd.readouterr().out
        assert containers(engine) == []


class TestFoundAgain:
    def test_a_dead_workers_container_is_followed(self, airflow, workshop, engine, capfd):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        (name,) = containers(engine)
        until(lambda: starts(workshop), "the task starts")
        threading.Timer(1.0, let_go, [workshop]).start()
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 1
        said = capfd.readouterr().out
        assert re.search(rf"{name} of an earlier try is (running|exited); found again", said)
        assert said.count("started blue") == 1

    def test_an_ended_one_is_read_not_run(self, airflow, workshop, engine):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        let_go(workshop)
        (name,) = containers(engine)
        engine.docker("wait", name)
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 1

    def test_one_created_and_not_started_is_started(self, airflow, workshop, engine):
        run, name, spec = ended_and_removed(airflow, workshop, engine)
        # What a worker leaves that dies between the engine's two calls.
        create(engine, spec, name, *spec["Config"]["Cmd"])
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 2
        assert containers(engine) == []

    @pytest.mark.parametrize("command", ["/no/such/program", "true"])
    def test_one_that_the_engine_lost_while_it_started_is_made_anew(
        self, airflow, workshop, engine, command
    ):
        run, name, spec = ended_and_removed(airflow, workshop, engine)
        # One that cannot be started, or that ended with 0 and has written nothing.
        Path(spec["Config"]["Cmd"][3]).unlink()
        create(engine, spec, name, command)
        if command == "true":
            engine.docker("start", name)
            assert engine.docker("wait", name).strip() == "0"
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 2
        assert containers(engine) == []

    def test_a_cleared_task_removes_and_starts_anew(self, airflow, workshop, engine):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        run.clear("x")
        let_go(workshop)
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 2
        assert containers(engine) == []

    def test_an_engine_that_crashes_is_waited_for(self, airflow, workshop, engine, capfd):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0, retries=3"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        engine.kill()
        assert run.try_task("x") == "up_for_retry"
        assert "is it running?" in capfd.readouterr().out
        engine.restart()
        let_go(workshop)
        assert run.try_task("x") == "success"
        assert containers(engine) == []

    @pytest.mark.parametrize("shim_dies", [False, True])
    def test_what_ended_while_the_engine_was_down_is_read_not_run(
        self, airflow, workshop, engine, shim_dies
    ):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0, retries=3"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        (name,) = containers(engine)
        task = int(engine.docker("inspect", "--format", "{{.State.Pid}}", name))
        engine.kill()
        assert alive(task), "a container outlives its engine"
        if shim_dies:  # with it goes the exit code; without, that is a matter of luck
            for pid in engine.processes():
                os.kill(pid, signal.SIGKILL)
        let_go(workshop)
        until(lambda: not alive(task), "the task ends")
        engine.restart()
        if shim_dies:
            code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", name)
            assert code.strip() == "255"
        assert run.try_task("x") == "success"
        assert len(starts(workshop)) == 1
        assert containers(engine) == []


class TestContainer:
    def test_it_may_do_only_what_a_task_must(self, airflow, workshop, engine):
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        (name,) = containers(engine)
        found = json.loads(engine.docker("inspect", name))[0]
        host, config = found["HostConfig"], found["Config"]
        assert host["ReadonlyRootfs"] is True
        assert host["NetworkMode"] == "none"
        assert host["Privileged"] is False
        assert host["NanoCpus"] == 500_000_000
        assert host["Memory"] == host["MemorySwap"] == 96 * 1024 * 1024
        assert host["CapDrop"] == ["ALL"]
        assert not host["DeviceRequests"]
        assert host["LogConfig"]["Config"]["max-size"]
        assert config["User"].split(":")[0] not in ("", "0", "root")
        assert not any(name.startswith(("AIRFLOW", "NIGHTSHIFT")) for name in config["Env"])
        writable = [m["Destination"] for m in found["Mounts"] if m["RW"]]
        assert writable == [str(workshop / "home" / "runs" / "r")]
        labels = config["Labels"]
        assert labels["nightshift.dag_id"] == run.dag.dag_id
        assert labels["nightshift.run_id"] == run.run_id
        assert labels["nightshift.task_id"] == "x"

    def test_a_gpu_is_asked_for_only_where_configured(
        self, airflow, workshop, engine, monkeypatch, capfd
    ):
        monkeypatch.setenv("NIGHTSHIFT_TASK_DEVICE", "cuda")
        run = airflow.run(body(workshop, "go", "retries=3"))
        # This engine has no GPU: that it refuses shows that it was asked.
        assert run.try_task("x") == "failed"
        assert "gpu" in capfd.readouterr().out
        assert containers(engine) == []

    def test_a_missing_image_says_what_to_build(self, airflow, workshop, engine, capfd):
        run = airflow.run(body(workshop, "go", "image='nightshift/nowhere:1', retries=3"))
        assert run.try_task("x") == "failed"
        said = capfd.readouterr().out
        assert "nightshift/nowhere:1" in said
        assert "NIGHTSHIFT_TASK_IMAGE_TRAIN" in said


class TestKill:
    async def test_the_triggers_kill_leaves_nothing(self, airflow, workshop, engine, monkeypatch):
        from nightshift_provider.operators import task as module

        triggers = []
        original = module.NightshiftTaskTrigger
        monkeypatch.setattr(
            module, "NightshiftTaskTrigger", lambda **kw: triggers.append(kw) or original(**kw)
        )
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        until(lambda: starts(workshop), "the task starts")
        await original(**triggers[0]).on_kill()
        assert containers(engine) == []

    def test_the_reaper_takes_leftovers(self, airflow, workshop, engine):
        run = airflow.run(
            body(workshop, "wait", "deferrable=True, defer_after_s=0, timeout_s=3600")
        )
        assert run.try_task("x", run_triggerer=False) == "deferred"
        (name,) = containers(engine)
        settings = Settings.from_env()
        late = time.time() + 3600 + GRACE_S + 1
        assert reap(settings) == []
        assert reap(settings, now=late, sparing=name) == []
        assert reap(settings, now=late) == [name]
        assert containers(engine) == []
        run = airflow.run(body(workshop, "wait", "deferrable=True, defer_after_s=0, timeout_s=60"))
        assert run.try_task("x", run_triggerer=False) == "deferred"
        let_go(workshop)
        (name,) = containers(engine)
        engine.docker("wait", name)
        assert reap(settings, now=time.time() + 3600) == []
        assert name in reap(settings, now=time.time() + ENDED_S + 120)
        assert containers(engine) == []


def test_an_engine_that_is_not_there(tmp_path: Path):
    with pytest.raises(ServiceUnavailable, match=r"nowhere\.sock.*is it running"):
        DockerRunner(f"unix://{tmp_path}/nowhere.sock").containers("home")


def test_an_unknown_runner():
    from nightshift_provider.runners import make_runner

    with pytest.raises(ConfigurationError, match="process or docker"):
        make_runner("podman")
