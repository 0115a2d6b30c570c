"""A day of live traffic, served for real, whose rows a test places."""

import dataclasses
import datetime as dt
import json
import random
import struct

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.data.declared import declared_tables
from nightshift.live import events as streaming
from nightshift.live.events import Events, insert_sql
from nightshift.live.folders import live_folder
from nightshift.live.log import RequestLog
from nightshift.live.skew.ledger import observe
from nightshift.openmldb import OpenMLDBClient, reconcile, split_script
from nightshift.openmldb.deployments import ensure_deployment
from nightshift.openmldb.loads import HISTORY
from nightshift.pipeline import Pipeline
from testing.shop import QUERY, pipelines
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
        hour = dt.datetime.fromtimestamp(at / 1000, dt.timezone.utc)
        (features,), _ = self.client.call(self.pipeline.database, by, [row])
        changes = {
            "receipt": f"{hour:%Y%m%dT%H}-abc-{number}",
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
    database = f"skew_{random.randrange(1 << 40)}"
    folder = pipelines(tmp_path, database)
    home = serving_home.home / database
    settings = dataclasses.replace(
        serving_home, home=home, data=home / "data", pipelines=folder,
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
