"""Events over HTTP, and scored requests that follow their answers into the store."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import random

import pyarrow as pa
import pytest
from openmldb_embedded.moods import LATE_SECONDS
from predict_server.ingest import ARROW, ID_COLUMN, MAX_EVENTS
from predict_server.pipelines import of_installation

from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.loads import HISTORY
from nightshift.openmldb.rows import stored_rows
from nightshift.pipeline import Pipeline
from tests.server.predict_server.conftest import FEATURES, NOW, TABLE, Client, row

THEN = NOW - 400 * 86_400_000
"""Long before what the other tests count."""

COLUMNS = {
    "reqId": "string", "eventTime": "timestamp", "user": "string", "product": "string",
    "ratio": "double", "rate": "float", "seen": "int32", "big": "int64", "small": "int16",
    "flag": "bool", "day": "date",
}  # fmt: skip
PATH = "/v1/pipelines/streamed/events/requests"
FILES = {
    "pipeline.yaml": "version: 1\ndatabase: {database}\nlive: {insert_requests: true}\n",
    "tables.yaml": "version: 1\nevents: {requests: eventTime}\n"
    "requests: {table: requests, id: reqId}\n",
    "create_tables.sql": TABLE + ";",
    "features.sql": FEATURES.format(days=2),
    "feature_spec.yaml": "version: 1\n",
}


@pytest.fixture
async def client(openmldb_server, serving_home, tmp_path):
    """A server before its first release: it takes events already."""
    async with served(serving_home, tmp_path, f"ingest_{random.randrange(1 << 40)}") as made:
        with OpenMLDBClient.of(made.app.settings) as openmldb:
            database = Pipeline.load(made.app.settings).database
            openmldb.execute(database, f"CREATE DATABASE {database}")
            openmldb.execute(database, TABLE)
        yield made


@contextlib.asynccontextmanager
async def served(settings, home, database):
    folder = home / "pipelines" / "streamed"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("{database}", database))
    settings = dataclasses.replace(
        settings, home=home, data=home / "data", pipelines=home / "pipelines", pipeline="streamed"
    )
    made = Client(settings, of_installation(settings)())
    await made.app._start()
    yield made
    await made.app._stop()
    await made.http.aclose()


@pytest.fixture
def stored(client):
    return lambda moment: rows_of(client, moment)


def rows_of(client, moment):
    settings = client.app.settings
    with OpenMLDBClient.of(settings) as openmldb:
        database = Pipeline.load(settings).database
        found = stored_rows(
            openmldb, database, "requests", COLUMNS, "eventTime", moment, moment + 1
        )
        return sorted(one[0] for one in found)


def event(number, moment, **changes):
    return {"id": f"{moment}-{number}", "row": row(number, **{"eventTime": moment, **changes})}


async def test_a_batch_is_inserted_once_however_often_it_is_sent(client, stored):
    batch = {"events": [event(n, THEN) for n in range(3)]}
    assert await client.ask(PATH, batch) == {"inserted": 3, "duplicates": 0}
    assert await client.ask(PATH, batch) == {"inserted": 0, "duplicates": 3}
    assert stored(THEN) == ["q0", "q1", "q2"]
    metrics = (await client.http.get("/metrics")).text
    assert (
        'nightshift_predict_events_total{pipeline="streamed",result="inserted",table="requests"} 3.0'
        in metrics
    )


async def test_an_arrow_batch_is_the_same(client, stored):
    rows = [row(n, eventTime=THEN + 1) for n in range(2)]
    columns = {name: [one[name] for one in rows] for name in rows[0]}
    table = pa.table(columns).append_column(ID_COLUMN, pa.array(["a1", "a2"]))
    at = table.column_names.index("eventTime")
    table = table.set_column(at, "eventTime", table["eventTime"].cast(pa.timestamp("ms")))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    for wanted in ({"inserted": 2, "duplicates": 0}, {"inserted": 0, "duplicates": 2}):
        answer = await client.http.post(
            PATH, content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW}
        )
        assert (answer.status_code, answer.json()) == (200, wanted)
    assert stored(THEN + 1) == ["q0", "q1"]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([event(0, THEN + 2), event(1, THEN + 2, small=40000)], "row 1, field small"),
        ([event(0, THEN + 2, eventTime=None)], "field eventTime: may not be null"),
        ([event(0, -1)], "field eventTime: lies before 1970"),
        ([event(0, 2**63 - 1)], "or after 9999"),
        ([{"id": "x", "row": {"reqId": "a"}}], "missing"),
        ([{"id": 5, "row": row()}], "field id"),
        ([{"id": "", "row": row()}], "1 to 200 characters"),
        ([{"row": row()}], "an event is"),
        ([], "no event"),
    ],
)
async def test_a_batch_with_one_wrong_event_is_refused_as_a_whole(client, stored, events, says):
    answer = await client.ask(PATH, {"events": events}, status=422)
    assert says in answer["message"]
    assert stored(THEN + 2) == []


@pytest.mark.parametrize("last", [5, {}, {"id": 5, "row": {}}])
async def test_more_events_than_a_batch_may_hold_are_refused_whatever_they_are(client, last):
    events = [{"id": "x", "row": 0}] * MAX_EVENTS
    answer = await client.ask(PATH, {"events": [*events, last]}, status=413)
    assert f"at most {MAX_EVENTS}" in answer["message"]


async def test_an_id_that_is_used_for_another_row_is_named(client):
    await client.ask(PATH, {"events": [event(0, THEN + 3)]})
    other = {**event(1, THEN + 3), "id": f"{THEN + 3}-0"}
    answer = await client.ask(PATH, {"events": [other]}, status=422)
    assert answer["detail"] == [
        {"row": 0, "field": "id", "problem": "was used for another row before"}
    ]


async def test_tables_that_are_not_there_are_404_and_a_store_that_is_away_is_503(client):
    answer = await client.ask(
        "/v1/pipelines/streamed/events/request", {"events": [event(0, THEN)]}, status=404
    )
    assert "requests" in answer["message"]
    assert (await client.http.post("/v1/pipelines/streamed/events", json={})).status_code == 404
    assert (await client.http.post("/events", json={})).status_code == 404
    for host in client.app.hosts:
        host.ingest._read = None
        host.ingest._settings = dataclasses.replace(client.app.settings, openmldb_port=1)
    await client.ask(PATH, {"events": [event(0, THEN + 4)]}, status=503)


async def test_scored_requests_are_inserted_once_by_their_id(house, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "streamed")
    async with served(house.settings, tmp_path, "shop") as client:
        asked = [row(n, eventTime=THEN + 5) for n in range(3)]
        first = await client.ask("/v1/pipelines/streamed/predict", asked)
        await client.ask("/v1/pipelines/streamed/predict", asked)
        for _ in range(100):
            if len(rows_of(client, THEN + 5)) == 3:
                break
            await asyncio.sleep(0.05)
        await client.ask(PATH, {"events": [event(0, THEN + 6)]})  # after all that waited before
        assert rows_of(client, THEN + 5) == ["q0", "q1", "q2"]
        assert first["predictions"][0]["request_id"] == "q0"


async def test_of_a_ranking_the_rows_that_it_returns_are_inserted(house, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "streamed")
    async with served(house.settings, tmp_path, "shop") as client:
        others = [row(n, eventTime=THEN + 7) for n in range(10, 14)]
        asked = {"user": {}, "candidates": others, "n": 2}
        answer = await client.ask("/v1/pipelines/streamed/rank", asked)
        returned = sorted(one["request_id"] for one in answer["ranking"])
        for _ in range(100):
            if rows_of(client, THEN + 7):
                break
            await asyncio.sleep(0.05)
        await client.ask(PATH, {"events": [event(0, THEN + 8)]})  # after all that waited before
        assert len(returned) == 2
        assert sorted(rows_of(client, THEN + 7)) == returned


async def test_requests_of_a_day_that_a_night_has_loaded_are_not_inserted(house, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "streamed")
    async with served(house.settings, tmp_path, "shop") as client:
        closed = THEN + 10 * 86_400_000
        pipeline = Pipeline.load(client.app.settings)
        pipeline.runs.mkdir(parents=True, exist_ok=True)
        day = pipeline.zone.day_of(dt.datetime.fromtimestamp(closed / 1000, dt.timezone.utc))
        line = {"at_ms": 1, "loaded": [["requests", f"{day}"]], "changed": [], "snapshots": []}
        (pipeline.runs / HISTORY).write_text(json.dumps(line) + "\n")
        later = closed + 86_400_000
        asked = [row(1, eventTime=closed), row(2, eventTime=later)]
        await client.ask("/v1/pipelines/streamed/predict", asked)
        for _ in range(100):
            if rows_of(client, later):
                break
            await asyncio.sleep(0.05)
        assert (rows_of(client, closed), rows_of(client, later)) == ([], ["q2"])


@pytest.mark.parametrize("mood", ["timeout=1", "death=1"])
async def test_a_batch_whose_answer_was_lost_is_in_the_store_once_after_it_is_sent_again(
    client, stored, openmldb_server, serving_home, mood
):
    moment = THEN + 100 + len(mood)
    batch = {"events": [event(n, moment) for n in range(3)]}
    moods = serving_home.home / "moods"
    moods.write_text(mood)
    try:
        answer = await client.http.post(PATH, json=batch)
    finally:
        moods.unlink(missing_ok=True)
        if mood.startswith("death"):
            openmldb_server.stop()
            openmldb_server.start()
    # The insert was carried out, or will be: the batch is sent until it is answered.
    for _ in range(600):
        if answer.status_code == 200:
            break
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"]
        await asyncio.sleep(0.1)
        answer = await client.http.post(PATH, json=batch)
    made = answer.json()
    assert made["inserted"] + made["duplicates"] == 3
    await asyncio.sleep(4 * LATE_SECONDS)  # a statement that went on is over, which would double
    assert await client.ask(PATH, batch) == {"inserted": 0, "duplicates": 3}
    assert stored(moment) == ["q0", "q1", "q2"]
