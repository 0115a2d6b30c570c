"""The threads that columns are computed by, side by side: numpy and Arrow leave Python's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier
from typing import TypeVar

WORKERS = 2

T = TypeVar("T")
R = TypeVar("R")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="columns")


def each(change: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The change of each item, in order; none runs on after an error. Not for use in a change."""
    running = [_threads().submit(change, item) for item in items]
    wait(running)
    return [one.result() for one in running]


def start_threads() -> None:
    """Start the threads now.

    A process whose memory is limited does so before: Python waits for ever for a thread that ended
    for want of memory before it began.
    """
    together = Barrier(WORKERS)
    each(lambda _: together.wait(), range(WORKERS))
