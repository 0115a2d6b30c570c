"""One night by local processes, run through `./nightshift demo`, for all tests that ask for it.

tests/e2e looks at it as a user does; tests/docker compares it with the same night by containers.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.layout import RunFolder
from nightshift.pipeline import Pipeline
from nightshift.registry.manifest import Manifest
from nightshift.registry.pointer import read_live
from nightshift.settings import Settings
from testing.serving import free_ports

DS = "2026-03-10"
DAYS = 45
"""Days of requests that `demo` makes where it is not told otherwise."""
TRAIN_DAYS = 30


def checkout(project: Path, folder: Path) -> Path:
    """A project folder whose `dags/` and `pipelines/` are copies, and whose rest are links.

    Args:
        project: the folder it is made of.
        folder: the folder to make; a pipeline may be added to it.
    """
    folder.mkdir()
    for path in project.iterdir():
        if path.name in ("dags", "pipelines"):
            shutil.copytree(path, folder / path.name)
        elif path.name not in (".git", "var"):
            (folder / path.name).symlink_to(path)
    return folder


class House:
    """One home with ports of its own, driven through the launcher. Its path holds a blank.

    Pipelines are those of a checkout of its own, so that a test may add one.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.project = project
        names = ("OPENMLDB", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "PREDICT", "AIRFLOW")
        ports = zip(names, free_ports(len(names)), strict=True)
        self.variables = {
            "NIGHTSHIFT_HOME": str(folder / "a home"),
            "NIGHTSHIFT_PROJECT": str(checkout(project, folder / "checkout")),
            "NIGHTSHIFT_SCHEDULES": "off",
            # Nobody asks the release that a switch has just replaced.
            "NIGHTSHIFT_RETIRE_GRACE_S": "2",
            "NIGHTSHIFT_START_TIMEOUT_S": "600",
            **{f"NIGHTSHIFT_{name}_PORT": str(port) for name, port in ports},
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


def requests(data: Path, ds: str, count: int) -> list[dict[str, Any]]:
    """The first requests of a day, as JSON takes them."""
    day = layout.partition(data, "flattenRequest", dt.date.fromisoformat(ds))
    rows: list[dict[str, Any]] = (
        pq.ParquetFile(day / "part-0.parquet").read().slice(0, count).to_pylist()
    )
    for row in rows:
        utc = row["eventTime"].replace(tzinfo=dt.timezone.utc)
        row["eventTime"] = round(utc.timestamp() * 1000)
    return rows


def live_manifest(settings: Settings) -> Manifest:
    """What the live release was made of."""
    pipeline = Pipeline.load(settings)
    live = read_live(pipeline.releases)
    assert live is not None
    return pipeline.store.folder(live.release_id).manifest()


def live_run(settings: Settings) -> RunFolder:
    """The folder of the run that made the live release."""
    manifest = live_manifest(settings)
    return RunFolder.of(Pipeline.load(settings).runs, manifest.ds, manifest.run.id)


@pytest.fixture(scope="session")
def laptop_house(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A home with nothing in it at first."""
    house = House(project, tmp_path_factory.mktemp("evening"))
    yield house
    house.call("down")


@pytest.fixture(scope="session")
def demo(laptop_house: House) -> str:
    """What the demo says; the services stay up."""
    return laptop_house.call("demo", "--ds", DS, "--keep")
