"""A night: its plan, folders, lease and reports in one place."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import files, layout
from nightshift.errors import ConfigurationError, DataError
from nightshift.night import Night, servers
from nightshift.registry import leases
from nightshift.settings import PROJECT, Settings

RUN_ID = "manual__2026-11-10"


@pytest.fixture
def settings(tmp_path):
    return Settings(project=PROJECT, home=tmp_path / "home", installation="test00")


@pytest.fixture
def plan(tmp_path):
    return {
        "pipeline": "jd",
        "ds": "2026-11-10",
        "run_id": RUN_ID,
        "run_dir": str(tmp_path / "home" / "runs" / "jd" / "x"),
        "database": "jd_elsewhere",
        "workspace": "jd_test00_20261110_0a",
        "first_day": "2026-10-12",
        "train_days": 30,
        "sources": {},
        "partitions": {},
        "missing": {},
        "sql_sha256": "0" * 64,
    }


@pytest.fixture
def night(plan, settings):
    return Night.of(plan, settings)


def test_it_is_the_runs_wherever_it_is_made_again(night, plan, settings):
    again = Night.of(dict(plan), settings)
    assert again.token == night.token == layout.run_token(RUN_ID)
    assert (night.ds, night.run.root) == ("2026-11-10", Path(plan["run_dir"]))
    # The database of its plan, whatever the pipeline's tables say by now.
    assert night.pipeline.database == "jd_elsewhere"
    assert night.settings is settings
    with pytest.raises(ConfigurationError, match="gone"):
        Night.of({**plan, "pipeline": "gone"}, settings)


def test_a_plan_of_an_earlier_version_does_not_refit(night, plan, settings):
    assert not night.refits
    assert night.published_scores == night.scores == night.run.root / "scores" / "test.parquet"
    refit = Night.of({**plan, "refit": True}, settings)
    assert refit.refits
    assert refit.published_scores == night.run.root / "scores" / "refit.parquet"
    assert refit.scores == night.scores


def test_its_lease_grows_by_what_each_task_adds(night):
    night.renew(workspace="w")
    night.renew(release_id="2026-11-10.001", versions=[20261110001])
    lease = night.renew(deployments=["jd_test00_0a"])
    assert (lease.run_id, lease.ds, lease.workspace) == (RUN_ID, night.ds, "w")
    assert lease.versions == (20261110001,)
    assert [one.run_token for one in leases.active(night.store)] == [night.token]


def test_a_report_is_written_under_its_check_and_given_back(night):
    value = {"check": "data", "status": "pass"}
    assert night.write(value) is value
    assert files.read_json(night.run.reports / "data.json") == value
    night.write({**value, "status": "fail"})
    assert files.read_json(night.run.reports / "data.json")["status"] == "fail"


def test_a_release_is_one_of_its_pipeline(night):
    assert night.folder("2026-11-10.001").root == night.store.root / "2026-11-10.001"
    with pytest.raises(ConfigurationError, match="release"):
        night.folder("../../etc")
    assert night.gate("quality") == night.pipeline.gates["quality"]
    with pytest.raises(KeyError):
        night.gate("luck")


def test_requests_are_none_of_a_later_date(night):
    source = night.pipeline.data / night.pipeline.features.tables.request_table
    for day in ("2026-11-09", "2026-11-10", "2026-11-11"):
        folder = source / f"ds={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"reqId": [f"{day} {n}" for n in range(5)]}), folder / "p.parquet")
    rows = night.requests(2)
    assert rows(["reqId"]) == [["2026-11-10 3"], ["2026-11-10 4"]]
    later = dataclasses.replace(night, plan={**night.plan, "ds": "2026-11-08"})
    with pytest.raises(DataError, match="no request"):
        later.requests(2)(["reqId"])


def test_no_server_is_asked_before_it_is_used(settings, free_port):
    away = dataclasses.replace(settings, openmldb_port=free_port, triton_grpc_port=free_port)
    with servers(away) as both:
        assert not both.triton.live()
