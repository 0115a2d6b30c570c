"""The days of a file's rows, by its footer alone."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.check.days import fault
from nightshift.data.declared import Declared
from nightshift.zones import Zone

DAY = dt.date(2026, 3, 1)


def at(text):
    return dt.datetime.fromisoformat(text)


def written(path, moments, kind=None, **options):
    array = pa.array(moments, kind or pa.timestamp("ms"))
    table = pa.table({"k": ["a"] * len(moments), "at": array})
    pq.write_table(table, path, **options)
    return path


def table(zone="+08:00"):
    columns = {"k": "string", "at": "timestamp"}
    return Declared("t", columns, frozenset(), "at", zone=Zone.of(zone))


@pytest.mark.parametrize(
    "kind", [pa.timestamp(u, z) for u in ("ms", "us", "ns") for z in (None, "UTC")]
)
def test_rows_of_the_day_are_right_in_every_unit(tmp_path, kind):
    moments = [at("2026-02-28T16:00:00"), at("2026-03-01T15:59:59.999")]
    assert fault(written(tmp_path / "a", moments, kind), table(), DAY) is None


def test_rows_of_utcs_day_are_named_with_the_key_that_says_so(tmp_path):
    moments = [at("2026-03-01T00:00:00"), at("2026-03-01T23:59:59")]
    path = written(tmp_path / "a", moments, row_group_size=1)
    why, fix = fault(path, table(), DAY)
    assert "2026-03-01 to 2026-03-02" in why
    assert "time_zone: UTC" in fix
    assert fault(path, table("UTC"), DAY) is None


def test_rows_of_other_days_are_to_be_moved(tmp_path):
    why, fix = fault(written(tmp_path / "a", [at("2026-02-20T01:00:00")]), table(), DAY)
    assert "rows are of 2026-02-20 " in why
    assert "data load" in fix


def test_where_the_footer_says_nothing_nothing_is_said(tmp_path):
    path = written(tmp_path / "a", [at("2026-02-20T01:00:00")], write_statistics=False)
    assert fault(path, table(), DAY) is None
    assert fault(written(tmp_path / "b", []), table(), DAY) is None
    assert fault(written(tmp_path / "c", [None]), table(), DAY) is None
    assert fault(written(tmp_path / "d", ["x"], pa.string()), table(), DAY) is None
    path = written(tmp_path / "f", [dt.datetime.max, dt.datetime.min], pa.timestamp("us"))
    assert fault(path, table(), DAY) is None
    (tmp_path / "e").write_text("no parquet")
    assert fault(tmp_path / "e", table(), DAY) is None
