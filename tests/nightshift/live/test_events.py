"""Events reach the store exactly once, whatever is cut off."""

import json
import random
import time

import pytest

from nightshift import layout
from nightshift.errors import OpenMLDBError, ServiceUnavailable, TerminalError
from nightshift.live import events as streaming
from nightshift.live.events import Events, Inserted, ReusedIds, arrivals
from nightshift.live.watermark import Watermark
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.rows import digest, fitted
from tests.nightshift.openmldb.test_reconcile import DAY, DECLARED, House, visit

CLICK = DECLARED["click"]
START = layout.day_start_ms(DAY)


def click(number):
    return ["it's" if number % 2 else None, f"p{number % 3}\n", START + 1000 * number]


class Cut(BaseException):
    """The process was killed here."""


class Stream:
    def __init__(self, house, folder):
        self.house = house
        self.folder = folder
        self.events = Events(house.client, house.database, folder)

    def send(self, numbers, table=CLICK, rows=None):
        ids = [f"e{number}" for number in numbers]
        return self.events.insert(table, ids, rows or [click(number) for number in numbers])

    def stored(self, table="click"):
        return self.house.stored(table)

    def cut(self, monkeypatch, *, before):
        """Kill the next INSERT before or after it has its effect."""
        execute = self.house.client.execute

        def dying(database, sql, mode="onsync", **options):
            if sql.startswith("INSERT"):
                if not before:
                    execute(database, sql, mode, **options)
                raise Cut
            return execute(database, sql, mode, **options)

        monkeypatch.setattr(self.house.client, "execute", dying)


@pytest.fixture
def stream(openmldb_server, serving_home, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "SETTLE_S", 0.0)
    name = f"events_{random.randrange(1 << 40)}"
    with OpenMLDBClient(serving_home.openmldb_url) as client:
        yield Stream(House(client, name, serving_home.home / "data" / name), tmp_path / "live")


def test_an_event_that_is_sent_again_is_inserted_once_and_after_a_restart_too(stream):
    assert stream.send([1, 2]) == Inserted(2, 0)
    assert stream.send([2, 3]) == Inserted(1, 1)
    stream.events = Events(stream.house.client, stream.house.database, stream.folder)
    assert stream.send([1, 2, 3]) == Inserted(0, 3)
    assert stream.send([4, 4]) == Inserted(1, 1)
    assert sorted(row[2] for row in stream.stored()) == [START + 1000 * n for n in (1, 2, 3, 4)]
    assert {row[:2] for row in stream.stored()} >= {("it's", "p1\n"), (None, "p2\n")}


def test_equal_rows_of_different_ids_are_both_kept(stream):
    stream.send([1, 2], rows=[click(1), click(1)])
    assert len(stream.stored()) == 2


def test_an_id_of_another_row_is_refused_and_nothing_of_its_batch_inserted(stream):
    stream.send([1])
    with pytest.raises(ReusedIds) as caught:
        stream.send([5, 1], rows=[click(5), click(7)])
    assert caught.value.rows == (1,)
    assert len(stream.stored()) == 1
    assert stream.send([5]) == Inserted(1, 0)


@pytest.mark.parametrize("before", [True, False])
def test_killed_around_the_insert_nothing_is_lost_or_doubled(stream, monkeypatch, before):
    stream.send([1])
    with monkeypatch.context() as patched:
        stream.cut(patched, before=before)
        with pytest.raises(Cut):
            stream.send([2, 3, 3])
    made = stream.send([1, 2, 3, 4])
    assert made == (Inserted(3, 1) if before else Inserted(1, 3))
    assert len(stream.stored()) == 4
    assert stream.send([1, 2, 3, 4]) == Inserted(0, 4)


def test_killed_among_equal_rows_each_id_has_one(stream, monkeypatch):
    stream.send([1], rows=[click(1)])
    with monkeypatch.context() as patched:
        stream.cut(patched, before=False)
        with pytest.raises(Cut):
            stream.send([2], rows=[click(1)])
    stream.send([3], rows=[click(1)])
    assert stream.send([1, 2, 3], rows=[click(1)] * 3) == Inserted(0, 3)
    assert len(stream.stored()) == 3


def test_just_after_a_cut_the_store_is_not_yet_believed(stream, monkeypatch):
    with monkeypatch.context() as patched:
        stream.cut(patched, before=True)
        with pytest.raises(Cut):
            stream.send([1])
    monkeypatch.setattr(streaming, "SETTLE_S", 60.0)
    with pytest.raises(ServiceUnavailable, match="send the batch again"):
        stream.send([1])


def test_a_store_that_refuses_a_batch_leaves_it_to_be_sent_again(stream):
    with pytest.raises(OpenMLDBError):
        Events(stream.house.client, "nowhere", stream.folder).insert(CLICK, ["e1"], [click(1)])
    assert stream.send([1]) == Inserted(1, 0)
    assert len(stream.stored()) == 1


def test_arrivals_and_the_watermark_say_what_came_when(stream):
    began = int(time.time() * 1000)
    stream.send([3, 1])
    mark = digest(fitted(click(3), CLICK.columns))
    (arrived,) = arrivals(stream.folder, "click")[mark]
    assert began <= arrived <= time.time() * 1000
    assert arrivals(stream.folder, "visit") == {}
    seen = Watermark(stream.folder)
    seen.refresh()
    assert seen.tables == {"click": START + 3000}
    assert json.loads(seen.text) == seen.tables
    stream.send([2])
    seen.refresh()
    assert seen.tables == {"click": START + 3000}


def test_ids_are_forgotten_after_their_days(stream, monkeypatch):
    stream.events = Events(
        stream.house.client, stream.house.database, stream.folder, remember_days=1
    )
    stream.send([1])
    now = streaming.now_ms()
    monkeypatch.setattr(streaming, "now_ms", lambda: now + 2 * layout.DAY_MS)
    stream.send([2])
    assert len(arrivals(stream.folder, "click")) == 1


def test_a_night_takes_streamed_rows_for_what_they_are(stream):
    """Rows streamed before their partition is written, some of which it does not have."""
    house = stream.house
    rows = [visit(n) for n in range(6)]
    streamed = [[*row[:7], row[7].isoformat()] for row in rows[:4]]
    stream.send(range(4), DECLARED["visit"], streamed)
    assert house.run().how == "absent"
    house.write("visit", rows[1:])
    report = house.run()
    assert (report.how, report.removed, report.added) == ("rows", 1, 2)
    assert sorted(row[0] for row in house.stored()) == [f"v{n}" for n in range(1, 6)]
    assert stream.send(range(1, 4), DECLARED["visit"], streamed[1:]) == Inserted(0, 3)
    assert house.run().how in ("equal", "unchanged")


def test_a_snapshot_takes_no_events(stream):
    snapshot = type(CLICK)("click", CLICK.columns, frozenset(), None)
    with pytest.raises(TerminalError, match="snapshot"):
        stream.send([1], snapshot)
