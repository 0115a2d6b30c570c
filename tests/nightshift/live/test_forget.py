"""A person's rows are gone from log, partitions and store, and nobody else's are."""

import dataclasses
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError
from nightshift.live.compact import compact
from nightshift.live.events import Events, arrivals, insert_sql
from nightshift.live.explain import explain, text
from nightshift.live.folders import hiding_key, live_folder
from nightshift.live.forget import forget
from nightshift.live.hiding import keyed_hash
from nightshift.live.log import RequestLog
from nightshift.openmldb import OpenMLDBClient, split_script
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.shop import pipelines
from tests.nightshift.live.conftest import answer, context, write
from tests.nightshift.openmldb.test_reconcile import DAY

START = layout.day_start_ms(DAY)
FILES = {
    "pipeline.yaml": "version: 1\ndatabase: {database}\n",
    "tables.yaml": "version: 1\nevents: {visit: at, click: at, bought: at}\nsnapshots: [person]\n"
    "requests: {table: visit, id: id}\nlabel: bought\n",
    "create_tables.sql": "CREATE TABLE visit(id string, at timestamp, who string, page string, "
    "INDEX(key=who, ts=at)); CREATE TABLE click(page string, at timestamp, INDEX(key=page, ts=at));"
    "CREATE TABLE bought(id string, at timestamp, n int, INDEX(key=id, ts=at));"
    "CREATE TABLE person(who string, at timestamp, INDEX(key=who, ts=at, ttl=1, ttl_type=latest));",
    "features.sql": "SELECT id, at, who, count(page) OVER w AS seen FROM visit WINDOW w AS "
    "(UNION (SELECT '' AS id, at, page AS who, page FROM click) PARTITION BY who ORDER BY at "
    "ROWS_RANGE BETWEEN 1d PRECEDING AND 1s PRECEDING)",
}
ROWS = {
    "visit": [[f"v{n}", START + n, "ann" if n % 2 else "bob", f"p{n % 4}"] for n in range(8)],
    "click": [[f"p{n % 4}", START + n] for n in range(8)],
    "bought": [[f"v{n}", START + 50, 1] for n in range(8)],
    "person": [["ann", START], ["bob", START]],
}


REQUEST = (("id", "string"), ("at", "timestamp"), ("who", "string"), ("page", "string"))
FEATURES = (("id", "string"), ("at", "timestamp"), ("who", "string"), ("seen", "int64"))
RECEIPT = "20260228T16-abc-{}"


class World:
    """A pipeline whose rows are in partitions, online store and log."""

    def __init__(self, client, pipeline):
        self.client, self.pipeline = client, pipeline
        self.log = RequestLog.of(pipeline)
        self.live = live_folder(pipeline.settings, pipeline.name)
        database, files = pipeline.database, pipeline.features
        client.execute(database, f"CREATE DATABASE {database}")
        for statement in split_script(files.create_script()):
            client.execute(database, statement)
        self.declared = declared_tables(files.tables, files.create_script())
        for name, rows in ROWS.items():
            self.write(name, rows)
            self.insert(name, rows)

    def write(self, name, rows):
        table = self.declared[name]
        place = self.pipeline.data / name / (f"ds={DAY}" if table.time else "")
        place.mkdir(parents=True)
        schema = table.arrow_schema()
        arrays = [
            pa.array(values, pa.int64()).cast(pa.timestamp("ms")).cast(item.type)
            if item.name == "at"
            else pa.array(values, item.type)
            for values, item in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), place / "part-0.parquet")

    def insert(self, name, rows):
        table = self.declared[name]
        if table.time:
            events = Events(self.client, self.pipeline.database, self.live)
            events.insert(table, [f"{name}{n}" for n in range(len(rows))], rows)
        else:
            self.client.execute(self.pipeline.database, insert_sql(table, rows), "online")

    def answer(self, hashed=()):
        key = hiding_key(self.live)
        frames = [context(request=REQUEST, features=FEATURES, hashed=tuple(hashed))]
        for number, row in enumerate(ROWS["visit"]):
            kept = [*row[:2], keyed_hash(row[2], key) if "who" in hashed else row[2], row[3]]
            frames.append(
                answer(
                    number,
                    (START + number) * 1000,
                    receipt=RECEIPT.format(number),
                    rows=[kept],
                    features=[[*kept[:3], number]],
                )
            )
        write(self.log.folder, f"w-{len(hashed)}", frames)

    def stored(self, table):
        found = self.client.execute(self.pipeline.database, f"SELECT * FROM {table}")
        return sorted(map(tuple, found.rows))

    def files(self, table):
        found = []
        for path in sorted((self.pipeline.data / table).rglob("*.parquet")):
            found += pq.ParquetFile(path).read().to_pylist()
        return found


@pytest.fixture
def pipeline(tmp_path):
    """The pipeline without a store."""
    folder = pipelines(tmp_path, "forget", FILES)
    settings = Settings(home=tmp_path / "home", pipelines=folder)
    return Pipeline.load(settings, "shop")


@pytest.fixture
def world(openmldb_server, serving_home, tmp_path):
    database = f"forget_{random.randrange(1 << 40)}"
    folder = pipelines(tmp_path, database, FILES)
    home = serving_home.home / database
    settings = dataclasses.replace(serving_home, home=home, data=home / "data", pipelines=folder)
    with OpenMLDBClient.of(settings) as client:
        yield World(client, Pipeline.load(settings, "shop"))


def test_a_persons_rows_go_everywhere_and_nobody_elses(world):
    world.answer()
    counted = forget(world.pipeline, world.client, "who", "ann", dry=True)
    assert counted.removed == {
        "partitions.visit": 4, "online.visit": 4, "partitions.bought": 4, "online.bought": 4,
        "partitions.person": 1, "online.person": 1, "log": 4,
    }  # fmt: skip
    assert counted.untouched == ["click"]
    assert len(world.stored("visit")) == 8
    done = forget(world.pipeline, world.client, "who", "ann")
    assert done.removed == counted.removed
    assert done.complete
    assert set(done.left.values()) == {0}
    assert [row[0] for row in world.stored("visit")] == ["v0", "v2", "v4", "v6"]
    assert [row[0] for row in world.stored("bought")] == ["v0", "v2", "v4", "v6"]
    assert len(world.stored("click")) == 8
    assert [row[0] for row in world.stored("person")] == ["bob"]
    assert [row["who"] for row in world.files("visit")] == ["bob"] * 4
    assert [row["who"] for row in world.files("person")] == ["bob"]
    assert world.log.read()["request.who"].to_pylist() == ["bob"] * 4
    assert sum(map(len, arrivals(world.live, "visit").values())) == 4
    again = forget(world.pipeline, world.client, "who", "ann")
    assert set(again.removed.values()) == {0}


def test_followed_columns_take_rows_of_further_tables(world):
    done = forget(world.pipeline, world.client, "who", "ann", follow=["page"])
    assert done.removed["online.click"] == 4
    assert [row[0] for row in world.stored("click")] == ["p0", "p0", "p2", "p2"]
    assert done.complete


def test_a_hashed_person_is_found_in_the_log(world):
    world.answer(hashed=["who"])
    compact(world.log, None)
    assert forget(world.pipeline, world.client, "who", "bob").removed["log"] == 4
    assert world.log.read()["request_id"].to_pylist() == ["v1", "v3", "v5", "v7"]


def test_a_column_that_no_table_has_is_refused(world):
    with pytest.raises(ConfigurationError, match="nobody"):
        forget(world.pipeline, world.client, "nobody", "x")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("n", "1_0", "not a value of n"),  # Python's int() would take these for 10, 1 and 1
        ("n", "+1", "not a value of n"),
        ("n", " 1", "not a value of n"),
        ("n", "0x1", "not a value of n"),
        ("n", "1 OR 1=1", "not a value of n"),
        ("n", "2147483648", "not a value of n"),
        ("at", "0", "names nobody"),
        ("who", "a\0b", "not a value of who"),
        ("who", "\udcff", "not a value of who"),
        ("who; DROP TABLE visit", "ann", "has a column"),
        ("who = 'ann' OR who", "bob", "has a column"),
        ("", "ann", "has a column"),
    ],
)
def test_a_value_or_column_that_cannot_be_is_refused(pipeline, column, value, why):
    with pytest.raises(ConfigurationError, match=why):
        forget(pipeline, None, column, value)


def test_hostile_texts_are_texts(world):
    world.answer()
    before = [world.stored(name) for name in ROWS]
    for value in ("ann' OR '1'='1", "ann\\", "%", "*", "ann'--", '"who"', "NULL", "a" * 100_000):
        done = forget(world.pipeline, world.client, "who", value, follow=["page"])
        assert set(done.removed.values()) == {0}, value
        assert done.complete
    assert [world.stored(name) for name in ROWS] == before


def test_an_explanation_shows_the_rows_in_reach(world):
    world.answer()
    found = explain(world.pipeline, RECEIPT.format(5), world.client)
    (row,) = found["rows"]
    assert row["request"] == {"id": "v5", "at": START + 5, "who": "ann", "page": "p1"}
    assert row["score"] == pytest.approx(0.1)
    assert found["release"] == "2023-11-13.001"
    # The events arrived only now, long after the answer: none of them was seen by it.
    (tables,) = row["windows"].values()
    assert tables == {"visit": [], "click": []}
    assert "visit: 0 rows in reach" in text(found)
    assert explain(world.pipeline, RECEIPT.format(5))["rows"][0]["features"]["seen"] == 5
