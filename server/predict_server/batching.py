"""Rows of requests that arrive together go to the parts behind this server together.

A row costs those parts far more alone than in a batch. Nothing is held back to fill one: a request
that finds no call under way is sent on in the same turn of the event loop, and those that arrive
during a call form the next. So the batches grow with the load and by nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nightshift.errors import DeadlineExceeded, TerminalError

_T = TypeVar("_T")

Run = Callable[[list[Any], float], Awaitable[_T]]
"""Answers rows within a number of seconds."""

Cut = Callable[[_T, int, int], _T]
"""The part of an answer that belongs to the rows from one place up to another."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[_T]):
    rows: Sequence[Any]
    deadline: float
    answer: asyncio.Future[_T]


class Batcher(Generic[_T]):
    """Joins rows of requests into calls, and cuts the answers apart again.

    A terminal error of a joint call may be one request's alone: then each request is asked by
    itself, and only the one at fault gets the error.

    Args:
        run: answers rows.
        cut: takes a part of an answer.
        max_rows: rows of one call at most, unless one request alone holds more.
        concurrency: calls under way at once.
    """

    def __init__(self, run: Run[_T], cut: Cut[_T], *, max_rows: int, concurrency: int) -> None:
        self._run = run
        self._cut = cut
        self._max_rows = max_rows
        self._concurrency = concurrency
        self._queue: deque[_Waiting[_T]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self.waiting_rows = 0
        """Rows that no call has taken yet."""

    async def submit(self, rows: Sequence[Any], deadline: float) -> _T:
        """The answer to one request's rows.

        Args:
            rows: at least one.
            deadline: of `time.monotonic()`; the call is given what is left until then.

        Raises:
            DeadlineExceeded: it passed before the rows' turn came, or before the answer.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(rows, deadline, loop.create_future())
        self._queue.append(waiting)
        self.waiting_rows += len(rows)
        if not self._scheduled and len(self._running) < self._concurrency:
            self._scheduled = True
            loop.call_soon(self._dispatch)
        # A little more than the call is given, whose own error says which part did not answer.
        timer = loop.call_at(
            loop.time() + max(0.0, deadline - time.monotonic()) + 0.25, _expire, waiting.answer
        )
        try:
            answer: _T = await waiting.answer
            return answer
        finally:
            timer.cancel()

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._queue and len(self._running) < self._concurrency:
            batch = self._take()
            if batch:
                task = asyncio.get_running_loop().create_task(self._answer(batch))
                self._running.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # what may be raised was given to the requests already
        self._dispatch()

    def _take(self) -> list[_Waiting[_T]]:
        batch: list[_Waiting[_T]] = []
        count = 0
        while self._queue:
            size = len(self._queue[0].rows)
            if batch and count + size > self._max_rows:
                break
            waiting = self._queue.popleft()
            self.waiting_rows -= size
            if not waiting.answer.done():
                batch.append(waiting)
                count += size
        return batch

    async def _answer(self, batch: list[_Waiting[_T]]) -> None:
        try:
            await self._ask(batch)
        except TerminalError as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                await asyncio.gather(*(self._answer([waiting]) for waiting in batch))
        except Exception as error:
            _fail(batch, error)
        except BaseException:
            for waiting in batch:
                waiting.answer.cancel()
            raise

    async def _ask(self, batch: list[_Waiting[_T]]) -> None:
        left = max(waiting.deadline for waiting in batch) - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed while the request waited its turn")
        if len(batch) == 1:
            rows = list(batch[0].rows)
        else:
            rows = [row for waiting in batch for row in waiting.rows]
        answer = await self._run(rows, left)
        start = 0
        for waiting in batch:
            stop = start + len(waiting.rows)
            if not waiting.answer.done():
                waiting.answer.set_result(self._cut(answer, start, stop))
            start = stop


def _fail(batch: Sequence[_Waiting[Any]], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)


def _expire(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("the deadline passed before there was an answer"))
