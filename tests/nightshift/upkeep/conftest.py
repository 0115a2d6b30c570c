"""A pipeline without data or servers, and releases that are as old as one likes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from nightshift.pipeline import Pipeline
from nightshift.registry.manifest import ModelStamp, Run
from nightshift.registry.store import ReleaseFolder
from nightshift.settings import Settings
from testing.releases import HASH, put_release

NAME = "small"

FILES = {
    "pipeline.yaml": "version: 1\nkeep_releases: 2\nscore: {keep: 3}\n",
    "tables.yaml": "version: 1\nevents: {requests: eventTime}\n"
    "requests: {table: requests, id: reqId}\n",
    "create_tables.sql": "CREATE TABLE requests(reqId string, eventTime timestamp, "
    "index(key=reqId, ts=eventTime));",
    "features.sql": "SELECT reqId, 1 AS one FROM requests",
    "feature_spec.yaml": "version: 1\nkeys: [reqId]\n",
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.delenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", raising=False)
    folder = tmp_path / "pipelines" / NAME
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    settings = Settings(
        home=tmp_path / "home", pipelines=tmp_path / "pipelines", pipeline=NAME,
        keep_days=60, keep_log_days=30, log_max_mb=1,
    )  # fmt: skip
    return Pipeline.load(settings)


def put(
    pipeline: Pipeline, ds: str, made: dt.datetime, *, sequence: int = 1, accepted: bool = True
) -> ReleaseFolder:
    """A release of a pipeline, made at some time, with a data card."""
    version = int(ds.replace("-", "")) * 1000 + sequence
    folder = put_release(
        pipeline.releases, ds, sequence, accepted=accepted,
        created_at=text(made), run=Run(id=f"scheduled__{ds}", token=f"{version % 2**32:08x}"),
        model=ModelStamp(name=pipeline.model, version=version, sha256=HASH),
    )  # fmt: skip
    folder.data_card.write_bytes(b"x" * 20_000)
    return folder


def text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
