"""What lies in partitions, seen by footers and a few columns."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.data.declared import declared_tables
from nightshift.data.scan import present_days, scan, unread
from nightshift.features.tables import SourceTables

DAY = dt.date(2026, 3, 1)
SCRIPT = """
CREATE TABLE visit (visit_id string, at timestamp, price double, INDEX(key=visit_id, ts=at));
CREATE TABLE page (page bigint, topic string, INDEX(key=page, ttl=1, ttl_type=latest));
"""


@pytest.fixture(scope="module")
def declared():
    content = {
        "version": 1, "events": {"visit": "at"}, "snapshots": ["page"],
        "requests": {"table": "visit", "id": "visit_id"},
    }  # fmt: skip
    return declared_tables(SourceTables.parse(content, source="tables.yaml"), SCRIPT)


def noon(day):
    """Noon of a day in UTC+8, the zone of partitions."""
    return dt.datetime.combine(day, dt.time(4))


def lay(root, day, ids, at, price, **more):
    folder = root / "visit" / f"ds={day}"
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "visit_id": pa.array(ids, pa.string()),
        "at": pa.array(at, pa.timestamp("us")),
        "price": pa.array(price, pa.float64()),
        **more,
    }
    path = folder / f"part-{len(list(folder.iterdir()))}.parquet"
    pq.write_table(pa.table(columns), path, version="2.4")


def facts(root, declared, *days):
    return scan(root, declared, {"visit": [str(day) for day in days]})["visit"]


def test_a_sound_partition_has_rows_and_nothing_to_tell(tmp_path, declared):
    lay(tmp_path, DAY, ["a", "b"], [noon(DAY)] * 2, [1.0, 2.0])
    assert facts(tmp_path, declared, DAY)[str(DAY)].as_json() == {"files": 1, "rows": 2}


def test_what_is_odd_is_counted(tmp_path, declared):
    other = DAY + dt.timedelta(days=1)
    lay(
        tmp_path, DAY, ["a", "a", None], [noon(DAY), noon(other), None],
        [float("nan"), None, float("inf")], more=pa.array([1, 2, 3]),
    )  # fmt: skip
    lay(tmp_path, other, ["a", "c"], [noon(other)] * 2, [1.0, 2.0])
    found = facts(tmp_path, declared, DAY, other)
    first = found[str(DAY)]
    assert (first.rows, first.no_time, first.repeated) == (3, 1, 1)
    assert first.other_days == {other: 1}
    assert first.nulls == {"visit_id": 1, "at": 1, "price": 1}
    assert first.not_finite == {"price": 2}
    assert first.extra == ["more"]
    # Of another day the id was there before.
    assert found[str(other)].repeated == 1


def test_a_file_of_other_types_and_one_that_is_none_are_named(tmp_path, declared):
    folder = tmp_path / "visit" / f"ds={DAY}"
    folder.mkdir(parents=True)
    pq.write_table(
        pa.table({"visit_id": [1], "at": ["noon"], "price": [1.0]}), folder / "a.parquet"
    )
    (folder / "b.parquet").write_bytes(b"no parquet")
    told = facts(tmp_path, declared, DAY)[str(DAY)].unreadable
    assert any("a.parquet" in one and "visit_id" in one for one in told)
    assert any("b.parquet" in one for one in told)


def test_days_are_those_of_folders_that_name_one(tmp_path):
    for name in ("ds=2026-03-02", "ds=2026-03-01", "ds=2026-02-30", "ds=today", "2026-03-03"):
        (tmp_path / "visit" / name).mkdir(parents=True)
    assert present_days(tmp_path, "visit") == ["2026-03-01", "2026-03-02"]
    assert present_days(tmp_path, "absent") == []


def test_what_is_no_days_folder_is_told(tmp_path, declared):
    lay(tmp_path, DAY, ["a"], [noon(DAY)], [1.0])
    assert unread(tmp_path, "visit") == []
    for name in ("ds=20260302", "2026-03-02", "ds=2026-02-30", "_tmp", ".hidden"):
        (tmp_path / "visit" / name).mkdir()
    (tmp_path / "visit" / "part-0.parquet").touch()
    (tmp_path / "visit" / "_SUCCESS").touch()
    told = ["2026-03-02", "ds=2026-02-30", "ds=20260302", "part-0.parquet"]
    assert unread(tmp_path, "visit") == told
    assert unread(tmp_path, "page") == []
