"""Planted faults of every kind, each in the rows of a user of its own, are named by the ledger."""

import dataclasses
import datetime as dt
import json
import random
import struct

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.data.declared import declared_tables
from nightshift.errors import DataError, ServiceUnavailable
from nightshift.live import events as streaming
from nightshift.live.events import Events, insert_sql
from nightshift.live.folders import live_folder
from nightshift.live.log import RequestLog
from nightshift.live.skew import causes as c
from nightshift.live.skew import replay
from nightshift.live.skew.ledger import observe, same
from nightshift.live.skew.part import Part
from nightshift.live.skew.text import as_text
from nightshift.openmldb import OpenMLDBClient, reconcile, split_script
from nightshift.openmldb.deployments import ensure_deployment
from nightshift.openmldb.loads import HISTORY
from nightshift.pipeline import Pipeline
from testing.shop import FILES, QUERY
from tests.nightshift.live.conftest import answer, context, write

DAY = dt.date(2026, 3, 2)
YESTERDAY = DAY - dt.timedelta(days=1)
START = layout.day_start_ms(DAY)
RELEASE = "2026-03-01.001"
CANARY = "2026-03-02.001"


class Shop:
    """A day of live traffic, served for real from an online store, and its partitions."""

    def __init__(self, client, pipeline, monkeypatch):
        self.client, self.pipeline, self.monkeypatch = client, pipeline, monkeypatch
        self.live = live_folder(pipeline.settings, pipeline.name)
        files, database = pipeline.features, pipeline.database
        self.declared = declared_tables(files.tables, files.create_script())
        client.execute(database, f"CREATE DATABASE {database}")
        for statement in split_script(files.create_script()):
            client.execute(database, statement)
        ensure_deployment(client, database, "served", QUERY)
        folder = pipeline.store.folder(RELEASE)
        folder.root.mkdir(parents=True)
        folder.sql.write_text(QUERY)
        folder.spec.write_text(files.spec_file.read_text())
        self.rows = {name: [] for name in self.declared}
        self.answers = []
        self.events = Events(client, database, self.live)

    def canary(self, query):
        """A release of another query that answers some of the users."""
        ensure_deployment(self.client, self.pipeline.database, "canary", query)
        folder = self.pipeline.store.folder(CANARY)
        folder.root.mkdir(parents=True)
        folder.sql.write_text(query)
        folder.spec.write_text(self.pipeline.features.spec_file.read_text())

    def load_snapshot(self, cities, day):
        """A night loads the snapshot of a day."""
        rows = [[who, layout.day_start_ms(day), city] for who, city in cities.items()]
        place = self.write("person", rows, day)
        if day == YESTERDAY:
            self.client.execute(
                self.pipeline.database, insert_sql(self.declared["person"], rows), "online"
            )
            line = {
                "at_ms": START - 1000,
                "loaded": [],
                "changed": [],
                "snapshots": [["person", reconcile.fingerprint([place]), str(place)]],
            }
            self.pipeline.runs.mkdir(parents=True, exist_ok=True)
            (self.pipeline.runs / HISTORY).write_text(json.dumps(line) + "\n")

    def write(self, name, rows, day=DAY):
        place = layout.partition(self.pipeline.data, name, day)
        place.mkdir(parents=True, exist_ok=True)
        schema = self.declared[name].arrow_schema()
        columns = list(zip(*rows, strict=True)) or [[] for _ in schema]
        arrays = [
            pa.array(values, pa.int64()).cast(pa.timestamp("ms")).cast(item.type)
            if pa.types.is_timestamp(item.type)
            else pa.array(values, item.type)
            for values, item in zip(columns, schema, strict=True)
        ]
        path = place / "part-0.parquet"
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)
        return path

    def event(self, name, row, arrives):
        """An event of the partition; it is streamed at `arrives`, unless that is None."""
        self.rows[name].append(row)
        if arrives is not None:
            self.monkeypatch.setattr(streaming, "now_ms", lambda: arrives)
            number = len(self.rows[name])
            self.events.insert(self.declared[name], [f"{name}{number}"], [row])

    def ask(self, who, at, page="p", *, insert=True, keep=True, by="served"):
        """A request is answered from the online store, and logged."""
        number = len(self.answers)
        row = [f"v{number}", at, who, page]
        (features,), _ = self.client.call(self.pipeline.database, by, [row])
        changes = {
            "receipt": f"20260302T00-abc-{number}",
            "rows": [row],
            "features": [features],
            "scores": struct.pack("<f", 0.1 + 0.001 * number),
            "began_us": at * 1000 + 1000,
            **({} if by == "served" else {"role": "canary", "context": 2}),
        }
        self.answers.append(answer(number, at * 1000 + 5000, **changes))
        if keep:
            self.event("visit", row, at + 10 if insert else None)
        return row[0]

    def night(self):
        """Everything becomes partitions, and the log a log."""
        for name, rows in self.rows.items():
            if self.declared[name].time:
                self.write(name, rows)
        info = self.client.deployment(self.pipeline.database, "served")
        kept = context(
            request=tuple(self.declared["visit"].columns.items()),
            features=tuple((name, kind) for name, kind in info.output_schema),
            release=RELEASE,
        )
        other = msgspec.structs.replace(kept, number=2, release=CANARY, deployment="canary")
        write(RequestLog.of(self.pipeline).folder, "w-1", [kept, other, *self.answers])

    def observe(self, **options):
        return observe(self.pipeline, self.client, DAY, DAY, **options)


@pytest.fixture
def shop(openmldb_server, serving_home, tmp_path, monkeypatch):
    folder = tmp_path / "pipelines" / "shop"
    folder.mkdir(parents=True)
    database = f"skew_{random.randrange(1 << 40)}"
    for name, content in FILES.items():
        (folder / name).write_text(content.replace("{database}", database))
    home = serving_home.home / database
    settings = dataclasses.replace(
        serving_home, home=home, data=home / "data", pipelines=tmp_path / "pipelines",
        installation=f"t{random.randrange(1 << 20):05x}", openmldb_settle_s=0.0,
    )  # fmt: skip
    with OpenMLDBClient.of(settings) as client:
        yield Shop(client, Pipeline.load(settings, "shop"), monkeypatch)


def causes_of(found):
    (one,) = found["releases"]
    return {(cause["cause"], cause["table"]): cause for cause in one["causes"]}


def requests_of(cause):
    return {example["request_id"] for example in cause["examples"]}


def scores(ids):
    """A model that likes high ids."""
    made = np.abs(np.asarray(ids, dtype=np.float64)).sum(axis=1)
    return ((made % 997) / 997).astype(np.float32)


def test_every_planted_fault_is_named_and_nothing_is_left(shop):
    shop.load_snapshot({"ann": "Rome", "eve": "Oslo"}, YESTERDAY)
    at = START + 3_600_000
    # In time: a click before the request, an earlier request of the same user.
    shop.event("click", ["ann", at, "x"], at + 5)
    fine = [shop.ask("ann", at + 1000), shop.ask("ann", at + 2000)]
    # Late by 60 s.
    shop.event("click", ["bob", at + 3000, "x"], None)
    late = shop.ask("bob", at + 4000)
    shop.rows["click"].pop()
    shop.event("click", ["bob", at + 3000, "x"], at + 63_000)
    # A table that only the nights fill.
    shop.event("comment", ["page of cid", at + 3000], None)
    unloaded = shop.ask("cid", at + 5000, "page of cid")
    # A request that was not inserted, before one that should have seen it.
    shop.ask("dan", at + 6000, insert=False)
    alone = shop.ask("dan", at + 7000)
    # An event of the request's own instant.
    together = shop.ask("fay", at + 8000)
    shop.event("click", ["fay", at + 8000, "x"], at + 8050)
    # A person who moves before the next snapshot.
    moved = shop.ask("eve", at + 9000)
    shop.load_snapshot({"ann": "Rome", "eve": "Bergen"}, DAY)
    # A request that no partition has.
    shop.ask("gus", at + 10_000, keep=False)
    for name in (*fine, late, moved):
        shop.event("bought", [name, at + 20_000, 1], None)
    shop.night()
    found = shop.observe(score_of=lambda model, version: scores)
    causes = causes_of(found)
    assert found["status"] == "explained"
    assert (found["requests"], found["not_in_training"], found["compared"]) == (9, 1, 8)
    assert (found["not_reproduced"], found["unexplained"]) == (0, 0)
    assert {key: requests_of(cause) for key, cause in causes.items()} == {
        (c.LATE, "click"): {late},
        (c.NOT_LOADED, "comment"): {unloaded},
        (c.REQUEST_MISSING, "visit"): {alone},
        (c.SAME_INSTANT, "click"): {together},
        (c.SNAPSHOT, "person"): {moved},
    }
    assert causes[c.LATE, "click"]["late_s"]["max"] == pytest.approx(60)
    assert causes[c.LATE, "click"]["features"] == {"clicks": 1}
    assert causes[c.NOT_LOADED, "comment"]["never_arrived"] == 1
    (price,) = [one["price"] for one in found["releases"]]
    assert (price["rows"], price["positives"]) == (8, 4)
    stood = [cause["price"]["auc"]["difference"] for cause in causes.values()]
    assert all(
        cause["price"]["auc"]["low"] <= cause["price"]["auc"]["high"] for cause in causes.values()
    )
    assert len(stood) == 5
    text = as_text(found)
    for word in (c.LATE, c.NOT_LOADED, c.REQUEST_MISSING, c.SAME_INSTANT, c.SNAPSHOT, "60"):
        assert word in text
    # In parts it says the same, prices included.
    assert comparable(shop.observe(score_of=lambda model, version: scores, part=3)) == comparable(
        found
    )


def comparable(found):
    """A report without the order of its parts."""
    (one,) = found["releases"]
    causes = [
        {**cause, "examples": sorted(cause["examples"], key=str)}
        for cause in sorted(one["causes"], key=lambda cause: (cause["cause"], cause["table"]))
    ]
    price = {
        name: value
        for name, value in one["price"].items()
        if name in ("rows", "positives", "served", "training")
    }
    for cause in causes:  # intervals depend on the order of rows
        cause["price"] = {k: v["difference"] for k, v in cause["price"].items() if k == "auc"}
    for side in ("served", "training"):
        price[side] = {**price[side], "auc_interval": None, "logloss": None}
    return {**found, "releases": [{**one, "causes": causes, "price": price}]}


def test_rows_that_came_in_time_are_loaded_and_only_others_are_inserted_on_the_way(
    shop, monkeypatch
):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    at = START + 5000
    inserted = []

    def counted(table, rows):
        inserted.extend((table.name, row[1]) for row in rows)
        return insert_sql(table, rows)

    shop.event("click", ["ann", at + 1000, "x"], at + 1000)
    shop.ask("ann", at + 1000)  # of the click's own time
    shop.ask("ann", at + 3000)
    shop.event("click", ["ann", at + 4000, "x"], at + 4000)
    shop.event("click", ["ann", at + 2000, "x"], at + 4500)  # late
    shop.ask("ann", at + 5000)
    # Neither reaches a request: one of nobody, one of later.
    shop.event("click", ["bob", at + 2000, "x"], at + 4500)
    shop.event("click", ["ann", at + 9000, "x"], at + 9000)
    shop.night()
    monkeypatch.setattr(replay, "insert_sql", counted)
    found = shop.observe()
    assert (found["not_reproduced"], found["unexplained"], found["rows_differing"]) == (0, 0, 1)
    # As the store stood; a request's own row comes after it, where another one may see it.
    assert sorted(inserted) == [
        ("click", at + 2000), ("visit", at + 1000), ("visit", at + 3000),
    ]  # fmt: skip


def test_a_request_that_is_asked_again_sees_itself(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    at = START + 5000
    asked = shop.ask("ann", at)
    number = len(shop.answers)
    shop.ask("ann", at, keep=False)  # the same again: its row is in the store by now
    shop.answers[number].rows[0][0] = asked
    shop.answers[number].features[0][0] = asked
    shop.answers[number] = msgspec.structs.replace(
        shop.answers[number], began_us=(at + 1000) * 1000
    )
    shop.night()
    causes = causes_of(shop.observe())
    assert {key: requests_of(cause) for key, cause in causes.items()} == {
        (c.AGAIN, "visit"): {asked}
    }


def test_a_query_that_was_changed_since_is_a_cause_of_its_own_that_counts_as_no_skew(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    asked = shop.ask("ann", START + 5000)
    shop.night()
    clean = shop.observe()
    assert (clean["values_differing"], clean["status"]) == (0, "explained")
    assert clean["releases"][0]["price"]["why"]
    changed = QUERY.replace("count(page) OVER own", "count(page) OVER own + 1")
    shop.pipeline.features.sql.write_text(changed)
    found = shop.observe()
    causes = causes_of(found)
    assert {key: requests_of(cause) for key, cause in causes.items()} == {(c.QUERY, ""): {asked}}
    assert causes[c.QUERY, ""]["features"] == {"visits": 1}
    (example,) = causes[c.QUERY, ""]["examples"]
    assert (example["served"], example["training"]) == (1, 2)
    assert causes[c.QUERY, ""]["price"] is None
    assert (found["rows_differing"], found["values_differing"], found["status"]) == (
        0, 0, "explained",
    )  # fmt: skip
    assert f"{c.QUERY}: 1 values" in as_text(found)
    # Layout alone is no change.
    shop.pipeline.features.sql.write_text(QUERY.replace("\n", "\n  ") + "\n;\n")
    assert not causes_of(shop.observe())


def test_serving_that_computes_otherwise_than_training_is_code(shop, monkeypatch):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    asked = shop.ask("ann", START + 5000)
    shop.night()
    given = replay.training

    def otherwise(*args, **options):
        table = given(*args, **options)
        at = table.column_names.index("visits")
        return table.set_column(at, "visits", pc.add(table["visits"], 1))

    monkeypatch.setattr(replay, "training", otherwise)
    causes = causes_of(shop.observe())
    assert {key: requests_of(cause) for key, cause in causes.items()} == {(c.CODE, ""): {asked}}


def test_what_a_canary_answered_is_replayed_by_its_own_query(shop):
    shop.load_snapshot({"ann": "Rome", "bob": "Oslo"}, YESTERDAY)
    shop.canary(QUERY.replace("count(page) OVER own", "count(page) OVER own + 10"))
    at = START + 5000
    asked = [shop.ask("ann", at), shop.ask("bob", at + 1, by="canary")]
    # Each sees what the other release answered of the same user.
    asked += [shop.ask("bob", at + 2000), shop.ask("ann", at + 2001, by="canary")]
    # A shadow's score was nobody's answer.
    shop.ask("ann", at + 3000, by="canary", keep=False)
    shop.answers[-1] = msgspec.structs.replace(shop.answers[-1], role="shadow", of="x")
    shop.night()
    found = shop.observe()
    assert (found["requests"], found["compared"]) == (4, 4)
    assert (found["not_reproduced"], found["unexplained"]) == (0, 0)
    live, canary = found["releases"]
    assert (live["release"], live["requests"], live["values_differing"]) == (RELEASE, 2, 0)
    assert (canary["release"], canary["requests"], canary["rows_differing"]) == (CANARY, 2, 0)
    # The pipeline's files have the live release's query.
    (cause,) = canary["causes"]
    assert (cause["cause"], requests_of(cause)) == (c.QUERY, {asked[1], asked[3]})
    assert cause["features"] == {"visits": 2}


def test_what_was_served_and_cannot_be_replayed_is_a_bug_or_a_corrected_partition(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    shop.event("click", ["ann", START + 1000, "x"], START + 1100)
    asked = shop.ask("ann", START + 5000)
    # A partition that lost the click after it was served.
    shop.rows["click"].clear()
    shop.night()
    found = shop.observe()
    (one,) = found["releases"][0]["served_otherwise"]
    assert (one["request_id"], one["feature"], one["cause"]) == (asked, "clicks", c.CHANGED)
    assert (one["served"], one["replayed"]) == (2, 1)  # with the request's own empty row
    assert found["not_reproduced"] == 0


def test_a_value_that_the_store_cannot_have_given_is_a_bug(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    shop.ask("ann", START + 5000)
    (only,) = shop.answers
    info = shop.client.deployment(shop.pipeline.database, "served")
    place = [name for name, _ in info.output_schema].index("visits")
    only.features[0][place] = 17
    shop.night()
    found = shop.observe()
    assert (found["status"], found["not_reproduced"]) == ("bug", 1)
    assert found["releases"][0]["served_otherwise"][0]["served"] == 17
    assert "17" in as_text(found)


def test_a_part_that_fails_ends_the_run_and_leaves_no_database(shop, monkeypatch):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    for n in range(8):
        shop.ask(f"user {n}", START + 5000 + n)
    shop.night()
    given, asked = Part.found, []

    def fails(part):
        asked.append(part)
        if len(asked) == 2:
            raise ServiceUnavailable("away")
        return given(part)

    monkeypatch.setattr(Part, "found", fails)
    with pytest.raises(ServiceUnavailable, match="away"):
        shop.observe(part=1)
    assert len(asked) < 8
    assert not [name for name in shop.client.databases() if "_observe" in name]


def test_days_without_requests_are_said_to_be(shop):
    with pytest.raises(DataError, match="no request"):
        shop.observe()


def test_values_are_equal_as_their_columns_hold_them():
    assert same(0.1, float(np.float32(0.1)), "float")
    assert not same(0.1, 0.2, "float")
    assert same(None, float("nan"), "double")
    assert same("2026-03-02", "2026-3-2", "date")
    assert not same(None, 0, "int64")
    assert same(1.0, 1.0 + 1e-12, "double")
