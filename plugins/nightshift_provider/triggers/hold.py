"""A moment before which a trigger gives no event, by a clock that nobody sets."""

from __future__ import annotations

import time

MOST_S = 60.0
"""No event is held back for longer: more is a clock that was set back since the deferral."""


def until(not_before: float) -> float:
    """`not_before`, in seconds since the epoch, as a moment of `time.monotonic`."""
    return time.monotonic() + min(max(0.0, not_before - time.time()), MOST_S)
