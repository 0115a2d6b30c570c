"""The production profile, brought up as a whole: one night through it, and what it promises.

Everything is docker-compose.yaml's but the three images that a registry would give
(tests/docker/standins). The night's preprocessing, training and scoring run as containers, started
by Airflow through the socket proxy; the same command lines run as local processes afterwards.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from nightshift_provider.runners.base import Phase, TaskSpec
from nightshift_provider.runners.process import ProcessRunner

from laptop import night
from laptop.airflow_api import AirflowApi
from laptop.data.generate import Spec, generate
from laptop.demo import example_request
from nightshift.errors import NightshiftError
from nightshift.layout import RunFolder
from nightshift.settings import Settings
from tests.docker import images
from tests.docker.engine import PROJECT, Engine
from tests.docker.production import UID, Production

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1500)]

DS = dt.date(2026, 1, 31)
DAYS = 32
TRAIN_DAYS = DAYS - 14
SERVICES = (
    "postgres",
    "openmldb",
    "triton",
    "predict",
    "docker-proxy",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
)


@dataclass(frozen=True)
class Night:
    """A night that ran in the production profile."""

    production: Production
    settings: Settings
    outcome: night.Outcome

    @property
    def run(self) -> RunFolder:
        return RunFolder.of(self.settings.runs, DS.isoformat(), self.outcome.run_id)


@pytest.fixture(scope="module")
def ran(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    images.build_services(docker_engine)
    home = tmp_path_factory.mktemp("home")
    generate(home / "data", Spec(), end=DS, days=DAYS)
    production = Production(docker_engine, home, tmp_path_factory.mktemp("compose"))
    settings = Settings(
        home=home,
        airflow_port=production.airflow_port,
        airflow_password=production.password,
        predict_port=production.predict_port,
        # The same containers that Compose's settings name, so the same arguments come out.
        task_runner="docker",
    )
    try:
        began = time.monotonic()
        production.up()
        production.wait_healthy(*SERVICES)
        print(f"[production] healthy after {time.monotonic() - began:.0f} s")
        conf = {"ds": DS.isoformat(), "train_days": TRAIN_DAYS}
        outcome = night.run(settings, night.RETRAIN, "production", conf)
        if outcome.state != "success":
            print(production.compose("logs", "--no-color", "--tail", "40"))
        yield Night(production, settings, outcome)
    except NightshiftError:
        print(production.compose("logs", "--no-color", "--tail", "40"))
        raise
    finally:
        production.down()


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_night_ends_in_a_served_release(ran: Night) -> None:
    assert ran.outcome.state == "success"
    live = json.loads((ran.settings.releases / "live.json").read_text())
    request = example_request(ran.settings.data, DS.isoformat())

    status, answer = call(ran.settings.predict_port, "POST", "/predict", request)

    assert status == 200, answer
    assert answer["release"] == live["release_id"]
    assert str(live["model_version"]).startswith(f"{DS:%Y%m%d}")


def test_its_tasks_were_containers_started_through_the_proxy(ran: Night) -> None:
    log = ran.production.compose("logs", "--no-color", "docker-proxy")
    created = re.findall(r" 201 .*POST /v1\.\d+/containers/create\?name=(\S+) HTTP", log)
    removed = re.findall(r" 204 .*DELETE /v1\.\d+/containers/([^ ?]+)", log)
    assert {name.rsplit("-", 1)[0] for name in created} == {
        "nightshift-preprocess",
        "nightshift-train",
        "nightshift-score",
    }
    assert sorted(created) == sorted(removed)
    assert " 403 " not in log


def test_training_is_followed_in_airflows_log_each_line_once(ran: Night) -> None:
    api, run_id = AirflowApi(ran.settings), ran.outcome.run_id
    train = next(task for task in api.tasks(night.RETRAIN, run_id) if task.name == "train")

    lines = api.log_lines(night.RETRAIN, run_id, train)

    shown = [int(found[1]) for line in lines if (found := re.search(r"epoch (\d+): train", line))]
    metrics = (ran.run.model / "metrics.jsonl").read_text().splitlines()
    assert shown == [json.loads(line)["epoch"] for line in metrics]


def test_no_task_container_outlives_the_night(ran: Night) -> None:
    left = ran.production.engine.docker("ps", "--all", "--filter", "label=nightshift.task", "-q")
    assert left == ""


def test_everything_written_belongs_to_the_common_group(ran: Night) -> None:
    for folder, _, names in os.walk(ran.settings.home):
        if Path(folder).is_relative_to(ran.settings.data):
            continue
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            assert path.lstat().st_gid == UID, path


def test_services_stayed_within_their_limits(ran: Night) -> None:
    for service in SERVICES:
        state = ran.production.inspect(service)
        assert state["RestartCount"] == 0, service
        assert not state["State"]["OOMKilled"], service
        assert state["State"]["Health"]["Status"] == "healthy", service


def test_a_restart_keeps_serving_the_release(ran: Night) -> None:
    # Given the live release, when everything that serves is started anew
    request = example_request(ran.settings.data, DS.isoformat())
    before = call(ran.settings.predict_port, "POST", "/predict", request)
    ran.production.compose("restart", "--timeout", "20", "openmldb", "triton", "predict")
    ran.production.wait_healthy("openmldb", "triton", "predict")

    # Then deployment, online rows and model are there again, and the answer is the same
    deadline = time.monotonic() + 60
    while (after := call(ran.settings.predict_port, "POST", "/predict", request))[0] != 200:
        assert time.monotonic() < deadline, after
        time.sleep(1)
    assert after[1]["predictions"] == before[1]["predictions"]
    assert after[1]["release"] == before[1]["release"]


def test_local_processes_give_equal_results(ran: Night, tmp_path: Path) -> None:
    # Given the night's features and the command lines of its containers, when the operator's other
    # runner runs them
    if not ran.settings.task_python.exists():
        pytest.skip(f"{ran.settings.task_python} is not there: run any ./nightshift command")
    local = RunFolder(tmp_path / "run")
    run_process("preprocess", ran, local, [
        "--features", ran.run.features, "--spec", ran.settings.feature_spec,
        "--ds", DS.isoformat(), "--train-days", TRAIN_DAYS, "--out", local.dataset,
    ])  # fmt: skip
    run_process("train", ran, local, [
        "--dataset", local.dataset, "--spec", ran.settings.feature_spec,
        "--hyperparameters", ran.settings.hyperparameters, "--out", local.model,
        "--checkpoint", local.root / "checkpoint", "--device", "cpu",
    ])  # fmt: skip

    # Then the rows, the parameters and the scores are the containers' own
    for split in ("train", "valid", "test"):
        assert pq.read_table(local.dataset / split).equals(
            pq.read_table(ran.run.dataset / split)
        ), split
    assert parameters(local.model) == parameters(ran.run.model)
    golden = [json.loads((run.model / "golden.json").read_text()) for run in (local, ran.run)]
    assert golden[0]["scores"] == golden[1]["scores"]


def run_process(task: str, ran: Night, local: RunFolder, arguments: list[object]) -> None:
    result = local.result(task)
    result.parent.mkdir(parents=True, exist_ok=True)
    settings = ran.settings
    spec = TaskSpec(
        name=f"{task}-local", generation=1,
        command=["python", "-m", f"tasks.{task}", *map(str, arguments), "--result", str(result)],
        environment={"PYTHONPATH": "src:.", "PYTHONDONTWRITEBYTECODE": "1"},
        project=str(PROJECT), python=str(settings.task_python),
        state_dir=str(local.root / "state" / task), result_path=str(result),
        writable=[str(local.root)], readable=[], image="", user="", memory=settings.task_memory,
        cpus=settings.task_cpus, device="cpu", deadline=time.time() + 600, stop_grace_s=5.0,
    )  # fmt: skip
    runner = ProcessRunner()
    runner.start(spec)
    while (status := runner.status(spec)).phase is not Phase.EXITED:
        assert time.time() < spec.deadline, status
        time.sleep(0.5)
    assert status.exit_code == 0, "\n".join(runner.log_tail(spec, 40))
    assert json.loads(result.read_text())["status"] == "ok"


def parameters(model: Path) -> dict[str, str]:
    """Hashes of the trained parameters, by file."""
    files = [path for path in model.rglob("*") if path.is_file() and path.name == "out"]
    assert files
    return {str(p.relative_to(model)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
