"""How late a row was, on the clock of the requests."""

import numpy as np
import pytest

from nightshift.live.skew.causes import on_clock

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
