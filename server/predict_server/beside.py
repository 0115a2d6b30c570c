"""Pairs beside the live one: a canary that answers some users, and scores in shadow.

Neither may harm an answer. A pair that cannot be made ready leaves everything to the live one and
is tried again later. Shadow scores are made by one task after the answers, of a bounded queue at a
bounded rate, while no answer waits; what finds no room is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightshift.config.live import ShadowConfig
from nightshift.errors import NightshiftError
from predict_server.metrics import PipelineMetrics

if TYPE_CHECKING:
    from predict_server.families.ctr import CtrRelease

LOG = logging.getLogger("predict_server")

RETRY_S = 5.0
"""Pause before a pair that is not ready is tried again."""

QUEUE_ROWS = 2048
"""Rows that may wait for their shadow scores."""

PATIENCE_S = 10.0
"""Seconds that a request may wait for its shadow scores."""

BUSY_S = 0.01
"""Pause while answers wait."""

Prepare = Callable[[], Awaitable["CtrRelease"]]


class Beside:
    """A pair that is made ready in the background, and again if that failed.

    Args:
        name: its release, for the log.
        prepare: makes it ready.
    """

    def __init__(self, name: str, prepare: Prepare) -> None:
        self._name = name
        self._prepare = prepare
        self._task: asyncio.Task[None] | None = None
        self._tried = -RETRY_S
        self.release: CtrRelease | None = None

    @classmethod
    def ready(cls, release: CtrRelease) -> Beside:
        """A pair that is ready already."""

        async def prepare() -> CtrRelease:
            return release

        made = cls(release.pointer.release_id, prepare)
        made.release = release
        return made

    def get(self) -> CtrRelease | None:
        """The pair if it is ready now."""
        idle = self._task is None or self._task.done()
        if self.release is None and idle and time.monotonic() - self._tried >= RETRY_S:
            self._task = asyncio.create_task(self._make())
        return self.release

    async def wait(self) -> CtrRelease | None:
        """The pair, once it is ready or known not to be."""
        self.get()
        if self._task is not None:
            await asyncio.wait({self._task})
        return self.release

    async def _make(self) -> None:
        try:
            self.release = await self._prepare()
        except Exception as error:
            level = logging.WARNING if isinstance(error, NightshiftError) else logging.ERROR
            LOG.log(level, "%s is not ready beside the live release: %s", self._name, error)
        self._tried = time.monotonic()


@dataclass(frozen=True)
class Answered:
    """An answered request, for its shadow scores.

    Attributes:
        receipt: of the answer.
        operation: `predict`, `rank` or `recommend`.
        began: of `time.time()`.
        rows: its request rows.
        features: its feature rows.
        inserts: inserts the request's rows into the online store, once the shadow has seen the
            store without them; None where they are not inserted, or are already.
    """

    receipt: str
    operation: str
    began: float
    rows: Sequence[Sequence[Any]]
    features: list[list[Any]]
    inserts: Callable[[], None] | None = None


class Shadow:
    """Scores of another pair for the requests that a release answered.

    Args:
        answering: the release that answers.
        by: the pair that scores in shadow.
        config: share and rate.
        logged: share of the requests that the log keeps; only those are scored.
        until: of `time.time()`; None for ever.
        metrics: the pipeline's.
    """

    def __init__(
        self,
        answering: CtrRelease,
        by: Beside,
        config: ShadowConfig,
        logged: float,
        until: float | None,
        metrics: PipelineMetrics,
    ) -> None:
        self._answering = answering
        self._by = by
        self._config = config
        self._logged = logged
        self._metrics = metrics
        self._limit = int(config.share * logged * 2**64)
        self._rate = config.rows_per_s
        self._until = until
        self._results = {
            result: metrics.shadow(result)
            for result in ("scored", "full", "rate", "late", "failed")
        }
        self._queue: deque[tuple[float, Answered]] = deque()
        self._waiting = 0
        self._allowed = self._rate
        self._filled = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def other_way(self, answering: CtrRelease, by: Beside) -> Shadow:
        """A shadow of the same share for another pair."""
        return Shadow(answering, by, self._config, self._logged, self._until, self._metrics)

    def wants(self, receipt: Mapping[str, Any]) -> bool:
        """Whether the request of a receipt is one of the share."""
        if self._until is not None and time.time() >= self._until:
            return False
        return bool(receipt["logged"]) and int(receipt["request"], 16) < self._limit

    def offer(self, answered: Answered) -> None:
        """Take a request that is wanted; returns at once."""
        count = len(answered.rows)
        now = time.monotonic()
        # May go below zero by one request, so that a ranking of many rows has its turn, too.
        self._allowed = min(self._rate, self._allowed + (now - self._filled) * self._rate)
        self._filled = now
        if self._allowed <= 0 or self._waiting + count > QUEUE_ROWS:
            self._results["rate" if self._allowed <= 0 else "full"].inc(count)
            _insert(answered)
            return
        self._allowed -= count
        self._waiting += count
        self._queue.append((now + PATIENCE_S, answered))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._queue:
            deadline, answered = self._queue.popleft()
            try:
                result = await self._score(answered, deadline)
            except NightshiftError as error:
                result = "failed"
                LOG.debug("shadow: %s", error)
            except Exception:
                result = "failed"
                LOG.exception("scoring in shadow")
            finally:
                self._waiting -= len(answered.rows)
                _insert(answered)
            self._results[result].inc(len(answered.rows))

    async def _score(self, answered: Answered, deadline: float) -> str:
        while self._answering.waiting_rows and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(BUSY_S)  # answers first
        release = await self._by.wait()
        if release is None or time.monotonic() >= deadline:
            return "failed" if release is None else "late"
        same = self._answering.same_features(release)
        scored = await release.score_beside(
            answered.rows, answered.features if same else None, deadline
        )
        release.record_shadow(answered, scored)
        return "scored"


def _insert(answered: Answered) -> None:
    if answered.inserts is not None:
        with contextlib.suppress(Exception):  # it drops and counts by itself
            answered.inserts()
