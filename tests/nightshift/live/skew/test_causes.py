"""How late a row was, on the clock of the requests."""

from types import SimpleNamespace

import numpy as np
import pytest

from nightshift.live.skew.causes import BEYOND, Step, on_clock, places
from nightshift.live.skew.world import Rows

HOUR = 3_600_000
DAY = 24 * HOUR


def test_live_requests_have_the_clock_of_the_server():
    times = np.array([0, HOUR, 2 * HOUR])
    moments = np.array([5, HOUR + 7])
    assert on_clock(moments, times, times + 40).tolist() == [5, HOUR + 7]


def test_a_day_that_is_played_faster_has_its_own():
    times = np.array([0, HOUR, 3 * HOUR])
    began = 100 * DAY + times // 60
    at = began[1] + (began[2] - began[1]) // 2
    assert on_clock(np.array([at]), times, began).tolist() == pytest.approx([2 * HOUR])
    # Beyond the last request there is only the server's clock.
    assert on_clock(np.array([began[2] + 500]), times, began).tolist() == [3 * HOUR + 500]
    assert on_clock(np.array([began[0] - 500]), times, began).tolist() == [-500]


def test_days_that_training_does_not_read_are_taken_away_by_their_step():
    rows = Rows(rows=[("a",), ("b",)], times=[-5 * DAY, 10], arrived=[-4 * DAY, 20])
    world = SimpleNamespace(events={"visit": rows}, trained_from={"visit": -2 * DAY})
    times = np.array([100, 200])
    assert places(world, "visit", [], times, times) == [0, 0]
    assert places(world, "visit", [Step(BEYOND, "visit")], times, times) == [2, 0]
