"""A user's first evening: the demo from nothing, a question, another night, and out with the light.

Everything is real and started through `./nightshift`: Airflow's scheduler runs the DAG, the
embedded OpenMLDB and Triton and the predict server answer. The home's path holds a blank.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from laptop.services import processes
from nightshift import layout, model_repository
from nightshift.release.pointer import read_live
from nightshift.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

DS = "2026-03-10"
DAY_BEFORE = "2026-03-09"


def free_ports(names: tuple[str, ...]) -> dict[str, str]:
    socks = {name: socket.socket() for name in names}
    for sock in socks.values():
        sock.bind(("127.0.0.1", 0))
    ports = {f"NIGHTSHIFT_{name}_PORT": str(s.getsockname()[1]) for name, s in socks.items()}
    for sock in socks.values():
        sock.close()
    return ports


class House:
    """One home with ports of its own, driven through the launcher."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project = project
        names = ("OPENMLDB", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "PREDICT", "AIRFLOW")
        self.variables = {
            "NIGHTSHIFT_HOME": str(folder / "a home"),
            "NIGHTSHIFT_SCHEDULE": "off",
            "NIGHTSHIFT_START_TIMEOUT_S": "600",
            **free_ports(names),
        }
        self.settings = Settings.from_env(self.variables)
        self.folder = folder

    def call(self, *arguments: str, code: int = 0) -> str:
        """Run `./nightshift ...` from a folder that is not the project; its output."""
        outer = {
            k: v for k, v in os.environ.items() if not k.startswith(("NIGHTSHIFT_", "AIRFLOW"))
        }
        done = subprocess.run(
            [sys.executable, str(self.project / "nightshift"), *arguments],
            cwd=self.folder,
            env={**outer, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1500,
            check=False,
        )
        assert done.returncode == code, done.stdout[-6000:]
        return done.stdout

    def requests(self, ds: str, count: int) -> list[dict[str, object]]:
        """The first requests of a day, as JSON takes them."""
        day = layout.partition(self.settings.data, "flattenRequest", dt.date.fromisoformat(ds))
        rows = pq.ParquetFile(day / "part-0.parquet").read().slice(0, count).to_pylist()
        for row in rows:
            utc = row["eventTime"].replace(tzinfo=dt.timezone.utc)
            row["eventTime"] = round(utc.timestamp() * 1000)
        return rows


@pytest.fixture(scope="module")
def house(project, tmp_path_factory):
    house = House(project, tmp_path_factory.mktemp("evening"))
    yield house
    house.call("down")


@pytest.fixture(scope="module")
def demo(house) -> str:
    """What the demo says; the services stay up."""
    return house.call("demo", "--ds", DS, "--keep")


def test_the_demo_learns_something_and_serves_it(demo, house):
    auc = re.search(r"AUC on them +([\d.]+)", demo)
    assert auc, demo
    assert float(auc[1]) > 0.7
    live = read_live(house.settings.releases)
    assert (live.ds, live.model_version) == (DS, 20260310001)
    assert f"{live.model} {live.model_version}" in demo
    assert f'"model_version": {live.model_version}' in demo
    for name in ("data card", "model card", "run folder", "reports"):
        path = re.search(rf"^  {name} +(/.+)$", demo, re.MULTILINE)
        assert Path(path[1]).exists(), name


def test_what_runs_is_told(demo, house):
    rows = json.loads(house.call("status", "--json"))
    assert {row["state"] for row in rows} == {"running"}
    assert "started" not in house.call("up")


def test_predictions_name_their_release_and_differ_between_requests(demo, house):
    request = house.folder / "request.json"
    request.write_text(json.dumps(house.requests(DS, 50)))
    answer = json.loads(house.call("predict", "--request", "request.json"))
    scores = [p["score"] for p in answer["predictions"]]
    assert len(scores) == 50
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) > 25
    live = read_live(house.settings.releases)
    assert (answer["release"], answer["model_version"], answer["deployment"]) == (
        live.release_id,
        live.model_version,
        live.deployment,
    )


def test_a_wrong_request_is_refused_by_field(demo, house):
    row = house.requests(DS, 1)[0]
    (house.folder / "wrong.json").write_text(json.dumps({**row, "split_id": "one"}))
    said = house.call("predict", "--request", "wrong.json", code=1)
    assert "422" in said
    assert "split_id" in said


def test_online_ids_are_the_offline_ids_of_the_held_out_rows(demo, house):
    report = next(house.settings.runs.glob(f"{DS}/*/reports/consistency.json"))
    found = json.loads(report.read_text())
    assert found["status"] == "pass"
    assert found["mismatch_count"] == found["score_mismatch_count"] == 0
    assert found["ids_compared"] == 32 * found["compared"] > 0


def test_a_night_of_a_past_date_is_kept_beside_the_live_release(demo, house):
    before = (house.settings.releases / "live.json").read_bytes()
    house.call("run", "--ds", DAY_BEFORE)
    assert (house.settings.releases / "live.json").read_bytes() == before
    releases = json.loads(house.call("releases", "--json"))
    assert [(r["ds"], r["state"]) for r in releases] == [(DAY_BEFORE, "kept"), (DS, "live")]
    assert model_repository.versions(house.settings.model_repo, house.settings.model)


def test_a_date_without_data_fails_by_name_and_leaves_the_live_release(demo, house):
    before = (house.settings.releases / "live.json").read_bytes()
    said = house.call("run", "--ds", "2031-01-01", code=1)
    assert "PartitionMissing" in said
    assert "2031-01-01" in said
    assert (house.settings.releases / "live.json").read_bytes() == before


def test_down_leaves_no_process_and_every_port_free(demo, house):
    home = house.settings.home
    assert processes.marked(home, processes.every_process().values())
    house.call("down")
    assert not processes.marked(home, processes.every_process().values())
    rows = json.loads(house.call("status", "--json", code=3))
    assert {row["state"] for row in rows} == {"stopped"}
