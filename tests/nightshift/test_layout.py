"""Names of partitions and of run folders."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.errors import ConfigurationError, PartitionMissing


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


def _snapshot(folder):
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), folder / "part-0.parquet")


def test_a_run_reads_the_newest_snapshot_that_is_not_later_than_its_date(tmp_path):
    for day in ("2026-11-01", "2026-11-05"):
        _snapshot(tmp_path / "person" / f"ds={day}")
    (tmp_path / "person" / "ds=2026-11-06").mkdir()  # nothing in it
    chosen = {
        day: layout.snapshot_folder(tmp_path, "person", dt.date(2026, 11, day)).name
        for day in (1, 4, 5, 9)
    }
    assert chosen == {
        1: "ds=2026-11-01",
        4: "ds=2026-11-01",
        5: "ds=2026-11-05",
        9: "ds=2026-11-05",
    }
    assert layout.snapshot_folder(tmp_path, "person").name == "ds=2026-11-05"
    with pytest.raises(PartitionMissing, match="2026-11-01"):
        layout.snapshot_folder(tmp_path, "person", dt.date(2026, 10, 31))


def test_an_undated_snapshot_counts_for_every_date_and_both_kinds_together_are_refused(tmp_path):
    _snapshot(tmp_path / "person")
    old = dt.date(2020, 1, 1)
    assert layout.snapshot_glob(tmp_path, "person", old) == f"{tmp_path}/person/*.parquet"
    _snapshot(tmp_path / "person" / "ds=2026-11-01")
    with pytest.raises(ConfigurationError, match=r"part-0\.parquet"):
        layout.snapshot_folder(tmp_path, "person", old)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "1899-12-31", "9999-12-31", "2026-02-30", "2026-1-1"]
)
def test_a_date_without_days_around_it_is_none(text):
    with pytest.raises(ConfigurationError, match=f"ds is .*{text}"):
        layout.parse_date(text)
    assert layout.day_of(f"ds={text}") is None


def test_dates_within_the_calendar_are_read():
    assert layout.parse_date("1900-01-01") == dt.date(1900, 1, 1)
    assert layout.parse_date("9998-12-31") == dt.date(9998, 12, 31)
