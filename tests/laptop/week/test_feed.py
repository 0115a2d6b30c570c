"""What has landed of a week at each of its days."""

import dataclasses
import datetime as dt

import pytest

from laptop.data.generate import Spec
from laptop.week import feed
from laptop.week.feed import LABELS, LATE_TABLE, Week
from nightshift import layout
from nightshift.data import reading
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

LAST = dt.date(2026, 3, 10)


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("week"))
    return Week.make(Pipeline.load(settings), Spec(rows_per_day=60), last=LAST, days=5, history=2)


def rows(pipeline, table, day):
    return reading.rows(reading.parquet_files(layout.partition(pipeline.data, table, day)))


def test_nothing_of_a_day_is_known_before_it_lands_and_its_labels_come_later(week):
    day = week.days[0]
    assert rows(week.pipeline, "flattenRequest", week.first) == 60
    assert rows(week.pipeline, "flattenRequest", day) == 0
    week.land(day)
    assert rows(week.pipeline, "flattenRequest", day) == 60
    known = [rows(week.pipeline, LABELS, day)]
    for later in week.days[1:]:
        week.land(later)
        known.append(rows(week.pipeline, LABELS, day))
    assert known[0] < 60
    assert known == sorted(known)
    assert known[3:] == [60, 60]  # settled after three days


def test_on_faulty_days_most_events_of_one_table_come_hours_late(week):
    assert week.faulty == {week.days[2], week.days[3]}
    shares = {}
    for day in week.days[:3]:
        moments = week.moments(day)
        assert [one.sent_ms for one in moments] == sorted(one.sent_ms for one in moments)
        sent = [one for one in moments if one.table == LATE_TABLE]
        late = [one for one in sent if one.sent_ms - one.row["ingestionTime"] >= 6 * 3_600_000]
        shares[day] = len(late) / len(sent)
    assert shares[week.days[0]] == 0
    assert shares[week.days[2]] == pytest.approx(feed.FAULT_LATE[0][0], abs=0.15)


@pytest.mark.parametrize("days", range(3, 32))
def test_a_bad_release_serves_a_day_without_late_events(days):
    played = layout.days_back(LAST, days)
    faulty, bad = feed.planted(played)
    after = bad + dt.timedelta(days=1)
    assert bad in played
    assert after in played
    assert after not in faulty


def test_a_week_is_made_the_same_twice(week, tmp_path):
    settings = dataclasses.replace(week.pipeline.settings, home=tmp_path, data=tmp_path / "data")
    again = Week.make(Pipeline.load(settings), Spec(rows_per_day=60), last=LAST, days=5, history=2)
    assert again.moments(LAST) == week.moments(LAST)
