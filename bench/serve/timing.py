"""Processor time of a call; needs nothing but Python, so that a bench of any environment has it."""

from __future__ import annotations

import time
from collections.abc import Callable


def best_ms(work: Callable[[], object], rounds: int = 200) -> float:
    """The least processor time of one call, in milliseconds."""
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return round(1000 * min(taken), 4)
