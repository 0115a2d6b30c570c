"""A day is played in the order of its times, against a server that answers as the real one."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.errors import ConfigurationError, PartitionMissing, ServiceUnavailable
from nightshift.live import stream
from nightshift.live.stream import loaded_already, play, timeline
from nightshift.openmldb.loads import HISTORY
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.shop import pipelines
from tests.nightshift.live.skew.conftest import DAY as SHOP_DAY
from tests.nightshift.live.skew.conftest import START as CLICKED
from tests.nightshift.live.skew.conftest import shop
from tests.nightshift.live.test_forget import FILES
from tests.nightshift.openmldb.test_reconcile import DAY

__all__ = ["shop"]

START = layout.day_start_ms(DAY)
ROWS = {
    "visit": {"id": ["v1", "v2"], "at": [5000, 9000], "who": ["ann", "bob"], "page": ["p", "q"]},
    "click": {"page": ["p", "q", "r"], "at": [9000, 1000, None]},
    "bought": {"id": ["v1"], "at": [9500], "n": [1]},
}


@pytest.fixture
def pipeline(tmp_path):
    folder = pipelines(tmp_path, "shop", FILES)
    made = Pipeline.load(Settings(home=tmp_path, pipelines=folder), "shop")
    for name, columns in ROWS.items():
        place = layout.partition(made.data, name, DAY)
        place.mkdir(parents=True)
        moments = [None if at is None else START + at for at in columns["at"]]
        table = pa.table({**columns, "at": pa.array(moments, pa.timestamp("ms"))})
        pq.write_table(table, place / "part-0.parquet")
    return made


@pytest.fixture
def sent(monkeypatch):
    """What is posted; every answer is the real server's."""
    found = []

    def post(http, url, body, sleep):
        found.append((url.rsplit("/shop/")[1], body))
        if url.endswith("predict"):
            return {"receipt": {"id": f"receipt{len(found)}"}}
        return {"inserted": len(body["events"]), "duplicates": 0}

    monkeypatch.setattr(stream, "_post", post)
    return found


def test_rows_go_in_the_order_of_their_times_and_requests_before_events_of_theirs(pipeline, sent):
    made = play(pipeline, timeline(pipeline, DAY), speed=0)
    assert [path for path, _ in sent] == ["events/click", "predict", "predict", "events/click"]
    assert sent[0][1] == {
        "events": [{"id": f"click-{DAY}-1", "row": {"page": "q", "at": START + 1000}}]
    }
    assert sent[1][1][0]["id"] == "v1"
    assert (made.requests, made.events, made.receipts) == (2, 2, ["receipt2", "receipt3"])


def test_what_led_to_a_request_goes_before_it_where_the_pipeline_says_so(pipeline):
    live = pipeline.config.live.model_copy(update={"same_instant": "before"})
    config = pipeline.config.model_copy(update={"live": live})
    made = timeline(dataclasses.replace(pipeline, config=config), DAY)
    assert [one.table for one in made] == ["click", "visit", "click", "visit"]


def test_labels_are_sent_when_they_are_asked_for(pipeline):
    assert {one.table for one in timeline(pipeline, DAY)} == {"visit", "click"}
    assert {one.table for one in timeline(pipeline, DAY, labels=True)} == {*ROWS}


def test_late_events_keep_their_times_and_ids(pipeline):
    late = timeline(pipeline, DAY, late=[(1.0, 60.0)])
    assert [one.table for one in late] == ["visit", "visit", "click", "click"]
    assert [one.sent_ms - one.row["at"] for one in late] == [0, 0, 60_000, 60_000]
    assert {one.id for one in late} == {one.id for one in timeline(pipeline, DAY)}


def test_pauses_are_those_of_the_day_divided_by_the_speed(pipeline, sent):
    pauses = []
    play(pipeline, timeline(pipeline, DAY), speed=0.001, sleep=pauses.append)
    # Nothing is waited for, so each is the whole time since the beginning.
    assert pauses == pytest.approx([4000, 8000, 8000], rel=0.01)


def test_a_day_without_requests_and_a_speed_below_nothing_are_refused(pipeline):
    with pytest.raises(PartitionMissing, match="--day"):
        timeline(pipeline, DAY.replace(year=2020))
    with pytest.raises(ConfigurationError, match="--speed"):
        play(pipeline, timeline(pipeline, DAY), speed=-1)


def test_a_server_that_stays_away_is_said_to_be(pipeline, monkeypatch):
    monkeypatch.setattr(stream, "RETRY_S", 0.0)
    settings = dataclasses.replace(pipeline.settings, predict_port=1)
    away = dataclasses.replace(pipeline, settings=settings)
    with pytest.raises(ServiceUnavailable, match="no predict server"):
        play(away, timeline(away, DAY), speed=0)


def test_events_that_a_night_has_loaded_are_counted_and_those_that_were_streamed_are_not(shop):
    for number in range(3):
        shop.event("click", [f"u{number}", CLICKED + number, "x"], None)
    shop.event("click", ["u1", CLICKED + 1, "x"], CLICKED + 50)  # one more, which was streamed
    shop.event("comment", ["p", CLICKED], None)
    shop.rows["visit"].append(["v1", CLICKED, "ann", "p"])
    shop.night()
    moments = timeline(shop.pipeline, SHOP_DAY)
    assert loaded_already(shop.pipeline, moments) == {}
    line = {"at_ms": CLICKED, "changed": [], "snapshots": []}
    line["loaded"] = [["click", SHOP_DAY.isoformat()], ["visit", SHOP_DAY.isoformat()]]
    shop.pipeline.runs.mkdir(parents=True)
    (shop.pipeline.runs / HISTORY).write_text(json.dumps(line) + "\n")
    # Two equal rows, of which one came as an event; comments are not loaded; requests go beside.
    assert loaded_already(shop.pipeline, moments) == {"click": 3}
