"""How long an event is held back, whatever is done to the clock."""

from types import SimpleNamespace

import pytest
from nightshift_provider.triggers import hold


@pytest.mark.parametrize(
    ("not_before", "held"),
    [
        (1030.0, 30.0),
        (1000.0, 0.0),
        (0.0, 0.0),
        (995.0, 0.0),
        (1010.0 + 7200.0, hold.MOST_S),  # the clock was set back two hours since the deferral
    ],
)
def test_an_event_is_held_back_for_a_minute_at_most(monkeypatch, not_before, held):
    clocks = SimpleNamespace(time=lambda: 1000.0, monotonic=lambda: 5.0)
    monkeypatch.setattr(hold, "time", clocks)
    assert hold.until(not_before) == 5.0 + held
