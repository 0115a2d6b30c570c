"""Work of several threads over one stream of blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Block = TypeVar("Block")


def ahead(blocks: Iterator[Block], pool: Executor) -> Iterator[Block]:
    """The same blocks; the next one is made by `pool` while the caller works on one.

    One block more is in memory. An error of `blocks` is raised where its block would come.
    """
    end = object()

    def following() -> Block | object:
        return next(blocks, end)

    coming: Future[Block | object] = pool.submit(following)
    while (block := coming.result()) is not end:
        coming = pool.submit(following)
        yield block  # type: ignore[misc]


def in_turn(units: Iterable[Iterator[Block]], pool: Executor, most: int) -> Iterator[Block]:
    """The blocks of all units, one unit after the other, made by `pool` in advance.

    Of each of the next `most` units one block at most is made before it is asked for. An error of
    a unit is raised where its block would come.
    """
    end = object()

    def following(unit: Iterator[Block]) -> Block | object:
        return next(unit, end)

    waiting = iter(units)
    begun: deque[tuple[Iterator[Block], Future[Block | object]]] = deque()
    while True:
        while len(begun) < most and (unit := next(waiting, None)) is not None:
            begun.append((unit, pool.submit(following, unit)))
        if not begun:
            return
        unit, coming = begun.popleft()
        if (block := coming.result()) is not end:
            begun.appendleft((unit, pool.submit(following, unit)))
            yield block  # type: ignore[misc]
