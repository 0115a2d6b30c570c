"""Only what the online store lacks is loaded."""

import dataclasses
import datetime as dt
import uuid
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.config.pipeline import FeatureFiles, PipelineConfig
from nightshift.errors import ConfigurationError, ContractError, PartitionMissing
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.loads import bring_online, plan_online_loads, reload_day
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from nightshift.zones import Zone

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


def test_rows_of_a_day_are_counted_by_the_pipelines_zone(data):
    asked = []
    plan_online_loads(
        data,
        tables=dataclasses.replace(TABLES, zone=Zone.of("Europe/Berlin")),
        ds=LAST.isoformat(),
        lookback_days={},
        count_rows=lambda table, column, *span: asked.append(span) or 0,
    )
    midnight = dt.datetime.combine(LAST, dt.time(), ZoneInfo("Europe/Berlin"))
    assert set(asked) == {
        tuple(int((midnight + dt.timedelta(n)).timestamp()) * 1000 for n in (0, 1))
    }


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


class TestBringOnline:
    @pytest.fixture
    def pipeline(self, openmldb_server, serving_home, tmp_path):
        folder = tmp_path / "shop"
        folder.mkdir()
        (folder / "features.sql").write_text("SELECT id, at, who FROM visit")
        (folder / "create_tables.sql").write_text(
            "CREATE TABLE IF NOT EXISTS visit(id string, at timestamp, who string, "
            "INDEX(key=who, ts=at));"
        )
        (folder / "tables.yaml").write_text(
            "version: 1\nevents: {visit: at}\nrequests: {table: visit, id: id}\n"
        )
        (folder / "feature_spec.yaml").write_text(
            "version: 1\nkeys: [id, at]\ntime: at\nlabel: y\ncategorical: {who: string}\n"
            "test_days: 1\nvalid_days: 1\nlookback_days: {visit: 2}\n"
        )
        config = PipelineConfig(
            version=1, family="ctr", features=FeatureFiles(
                sql="features.sql", create_tables="create_tables.sql", tables="tables.yaml",
                spec="feature_spec.yaml",
            ), database=f"online_{uuid.uuid4().hex[:8]}",
        )  # fmt: skip
        name = f"shop{uuid.uuid4().hex[:6]}"
        return Pipeline(serving_home, name, folder, config)

    def test_a_table_that_keeps_the_newest_rows_is_loaded_once_for_its_files(self, pipeline):
        script = pipeline.features.create_tables
        script.write_text(script.read_text().replace("ts=at", "ts=at, ttl=2, ttl_type=latest"))
        for n, day in enumerate(layout.days_back(LAST, 3)):
            self.write(pipeline, day, [f"{n}{c}" for c in "abcd"])
        with OpenMLDBClient.of(pipeline.settings) as client:
            assert len(bring_online(client, pipeline, ds=LAST.isoformat())["loads"]) == 1
            assert self.ids(client, pipeline) == ["2c", "2d"]
            assert bring_online(client, pipeline, ds=LAST.isoformat())["loads"] == []
            self.write(pipeline, LAST, ["2a", "2b", "2c", "2d", "2e"])
            assert [
                x["rows"] for x in bring_online(client, pipeline, ds=LAST.isoformat())["loads"]
            ] == [5]
            assert self.ids(client, pipeline)[-1] == "2e"

    def test_rows_that_the_tables_let_go_of_are_not_loaded_again(self, pipeline, monkeypatch):
        now = dt.datetime.now(dt.timezone.utc)
        today = Zone().day_of(now)
        days = layout.days_back(today, 6)
        # At any time of day: rows of the third day went half a day ago, the fourth's go in another.
        age_min = (int(now.timestamp() * 1000) - layout.day_start_ms(days[3])) // 60_000
        script = pipeline.features.create_tables
        ttl = f"ts=at, ttl={age_min + 12 * 60}m"
        script.write_text(script.read_text().replace("ts=at", ttl))
        for n, day in enumerate(days):
            self.write(pipeline, day, [f"{n}{c}" for c in "ab"])
        with OpenMLDBClient.of(pipeline.settings) as client:
            first = bring_online(client, pipeline, ds=today.isoformat())
            assert [x["rows"] for x in first["loads"]] == [6]  # lookback_days: 2
            ids = self.ids(client, pipeline)
            assert ids[-2:] == ["5a", "5b"]
            # A night whose days are partly gone already, and another night after it.
            for ds in (days[4], today):
                again = bring_online(client, pipeline, ds=ds.isoformat())
                assert again["loads"] == []
                kinds = {day["day"]: day["how"] for day in again["reconciled"]}
                assert kinds.get(days[2].isoformat(), "skipped") == "skipped"
            # A corrected day that is kept is corrected; one that is gone is left alone.
            self.write(pipeline, days[4], ["4a", "4c"])
            self.write(pipeline, days[2], ["2x"])
            bring_online(client, pipeline, ds=days[4].isoformat())
            assert {"4a", "4c", "5a", "5b"} <= set(self.ids(client, pipeline))
            assert not {"4b", "2x"} & set(self.ids(client, pipeline))

    def test_a_first_night_of_rows_that_expire_at_once_is_refused(self, pipeline):
        script = pipeline.features.create_tables
        script.write_text(script.read_text().replace("ts=at", "ts=at, ttl=9d"))
        self.write(pipeline, dt.date(2016, 4, 1), ["a"])
        with (
            OpenMLDBClient.of(pipeline.settings) as client,
            pytest.raises(ConfigurationError, match=r"expire as soon as .* visit.*ttl=0m"),
        ):
            bring_online(client, pipeline, ds="2016-04-01")

    def write(self, pipeline, day, ids):
        start = layout.day_start_ms(day)
        rows = pa.table(
            {
                "id": ids,
                "at": pa.array([start + n for n in range(len(ids))], pa.timestamp("ms")),
                "who": ["a"] * len(ids),
            }
        )
        folder = layout.partition(pipeline.data, "visit", day)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / "part-0.parquet")

    def ids(self, client, pipeline):
        rows = client.execute(pipeline.database, "SELECT id FROM visit").rows
        return sorted(row[0] for row in rows)

    def test_a_corrected_and_a_shorter_partition_reach_the_store(self, pipeline):
        days = layout.days_back(LAST, 3)
        for n, day in enumerate(days):
            self.write(pipeline, day, [f"{n}{c}" for c in "abcd"])
        with OpenMLDBClient.of(pipeline.settings) as client:
            first = bring_online(client, pipeline, ds=LAST.isoformat())
            assert [load["rows"] for load in first["loads"]] == [12]
            again = bring_online(client, pipeline, ds=LAST.isoformat())
            assert (again["loads"], again["reconciled"]) == ([], [])
            self.write(pipeline, days[0], ["0a", "0b", "0X", "0d"])
            self.write(pipeline, days[1], ["1a", "1b", "1c"])
            done = bring_online(client, pipeline, ds=LAST.isoformat())
            assert done["loads"] == []
            assert [(day["day"], day["how"], day["added"], day["removed"])
                    for day in done["reconciled"]] == [
                (str(days[0]), "rows", 1, 1), (str(days[1]), "rows", 0, 1),
            ]  # fmt: skip
            self.write(pipeline, days[2], ["2a"])
            day = reload_day(client, pipeline, "visit", days[2])
            assert (day.added, day.removed) == (1, 4)
            with pytest.raises(ConfigurationError, match="no event table vist; did you mean"):
                reload_day(client, pipeline, "vist", days[2])
            with pytest.raises(PartitionMissing, match=f"there are {days[0]} to {days[2]}"):
                reload_day(client, pipeline, "visit", days[0] - dt.timedelta(days=1))
            assert self.ids(client, pipeline) == sorted(
                ["0a", "0b", "0X", "0d", "1a", "1b", "1c", "2a"]
            )
