"""Names of partitions and of run folders."""

import datetime as dt
from pathlib import Path

import pytest

from nightshift import layout
from nightshift.errors import PartitionMissing


def test_a_glob_lists_exactly_its_days():
    days = layout.days_back(dt.date(2016, 3, 1), 2)
    got = layout.event_glob(Path("/data"), "bo_action", days)
    assert got == "/data/bo_action/ds={2016-02-29,2016-03-01}/*.parquet"
    with pytest.raises(PartitionMissing, match="bo_action"):
        layout.event_glob(Path("/data"), "bo_action", [])


def test_an_empty_folder_is_no_partition(tmp_path):
    day = dt.date(2016, 2, 1)
    layout.partition(tmp_path, "action", day).mkdir(parents=True)
    assert layout.present(tmp_path, "action", [day]) == []


def test_a_runs_artefacts_lie_under_its_date(tmp_path):
    run = layout.RunFolder.of(tmp_path, "2016-02-01", "scheduled__2016-02-02T02:00")
    assert run.root.parent == tmp_path / "2016-02-01"
    for path in (run.features, run.dataset, run.model, run.reports, run.result("train")):
        assert run.root in path.parents
