"""Only what the online store lacks is loaded."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.errors import ContractError
from nightshift.openmldb.loads import plan_online_loads
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

TABLES = Pipeline.load(Settings()).features.tables
LAST = dt.date(2026, 11, 10)
LOOKBACK = {"flattenRequest": 3, "action": 0, "bo_action": 3, "bo_comment": 0}


@pytest.fixture
def data(tmp_path):
    for table in TABLES.events:
        for n, day in enumerate(layout.days_back(LAST, 5), start=1):
            folder = layout.partition(tmp_path, table, day)
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"x": list(range(n))}), folder / "part-0.parquet")
    return tmp_path


def store(held):
    """A store that holds `held[table][day]` rows, asked by time range as the real one is."""

    def count(table, column, from_ms, until_ms):
        assert column == TABLES.events[table]
        days = held.get(table, {})
        return sum(
            rows for day, rows in days.items() if from_ms <= layout.day_start_ms(day) < until_ms
        )

    return count


def loads(data, held):
    got = plan_online_loads(
        data, tables=TABLES, ds=LAST.isoformat(), lookback_days=LOOKBACK, count_rows=store(held)
    )
    return {item["table"]: [i for i in got if i["table"] == item["table"]] for item in got}


def test_an_empty_store_takes_each_tables_reach_in_one_load(data):
    got = loads(data, {})
    assert [item["expect_rows"] for item in got["flattenRequest"]] == [2 + 3 + 4 + 5]
    assert [item["expect_rows"] for item in got["action"]] == [5]
    assert got["action"][0]["path"].endswith("action/ds={2026-11-10}/*.parquet")
    assert set(got) == {*TABLES.events, *TABLES.snapshots}


def test_a_store_that_holds_all_takes_the_snapshots_only(data):
    held = {
        table: dict(zip(layout.days_back(LAST, 5), range(1, 6), strict=True))
        for table in TABLES.events
    }
    assert set(loads(data, held)) == set(TABLES.snapshots)


def test_a_gap_splits_the_load_and_a_half_loaded_day_is_deleted_first(data):
    days = layout.days_back(LAST, 4)
    got = loads(data, {"bo_action": {days[1]: 3, days[2]: 1}})["bo_action"]
    by_path = {item["path"].split("=")[1]: item for item in got}
    assert sorted(by_path) == [
        "{2026-11-07}/*.parquet",
        "{2026-11-09}/*.parquet",
        "{2026-11-10}/*.parquet",
    ]
    half = by_path["{2026-11-09}/*.parquet"]
    # 2026-11-09 in UTC+8 begins at 2026-11-08T16:00:00Z.
    start = int(dt.datetime(2026, 11, 8, 16, tzinfo=dt.timezone.utc).timestamp() * 1000)
    assert half["delete_sql"] == (
        f"DELETE FROM `bo_action` WHERE `ingestionTime` >= {start} "
        f"AND `ingestionTime` < {start + 86_400_000}"
    )


def test_more_rows_online_than_in_the_partition_stop_the_night(data):
    with pytest.raises(ContractError, match=r"flattenRequest holds 9 rows of 2026-11-10.*only 5"):
        loads(data, {"flattenRequest": {LAST: 9}})


def test_days_without_rows_neither_split_a_load_nor_make_one(data):
    empty = pa.table({"x": pa.array([], pa.int64())})
    days = layout.days_back(LAST, 4)
    for day in days[1:3]:
        pq.write_table(empty, layout.partition(data, "bo_action", day) / "part-0.parquet")
    assert [item["expect_rows"] for item in loads(data, {})["bo_action"]] == [2 + 5]
    assert "bo_action" not in loads(data, {"bo_action": {days[0]: 2, days[3]: 5}})
