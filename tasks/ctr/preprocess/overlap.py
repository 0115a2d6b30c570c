"""Work of several threads over one stream of blocks."""

from __future__ import annotations

from collections.abc import Iterator
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


def done(work: list[Future[None]]) -> None:
    """Wait for all of it.

    Raises:
        Exception: the first one that a part of it ended by.
    """
    for part in work:
        part.result()
