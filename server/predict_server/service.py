"""Features from OpenMLDB, ids, a score from Triton: the three stages of an answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from nightshift.errors import ContractError, NightshiftError, OpenMLDBError, ServiceUnavailable
from nightshift.features.encoding import Ids
from nightshift.openmldb import AsyncOpenMLDBClient
from nightshift.registry.pointer import LivePointer
from predict_server.errors import BackendError
from predict_server.live import Follower, Live
from predict_server.metrics import Metrics
from predict_server.scoring import AsyncTriton

_CUT_OFF = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)

_THREAD_ROWS = 64
"""From so many rows on, encoding leaves the event loop: it takes a millisecond or more."""

ReadRows = Callable[[Live], list[list[Any]]]


@dataclass(frozen=True)
class Scored:
    """Rows scored by one release.

    Attributes:
        live: the release.
        features: n feature rows, in the order of `live.feature_names`.
        ids: int64 [n, fields].
        scores: float32 [n], probabilities.
    """

    live: Live
    features: list[list[Any]]
    ids: Ids
    scores: npt.NDArray[np.float32]

    def prediction(self, row: int, *, explain: bool = False) -> dict[str, Any]:
        """One row's part of an answer."""
        found: dict[str, Any] = {}
        if self.live.key is not None:
            found["request_id"] = self.features[row][self.live.key]
        found["score"] = float(self.scores[row])
        if explain:
            pairs = zip(self.live.feature_names, self.features[row], strict=True)
            found["features"] = {name: _finite(value) for name, value in pairs}
            # Text: JavaScript's numbers hold 53 bits.
            ids = zip(self.live.spec.names, self.ids[row].tolist(), strict=True)
            found["ids"] = {name: str(value) for name, value in ids}
        return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Service:
    """Answers rows by the live release.

    Args:
        follower: gives the live release.
        openmldb: client of the API server.
        triton: client of Triton.
        metrics: where the stages' times go.
    """

    def __init__(
        self,
        follower: Follower,
        openmldb: AsyncOpenMLDBClient,
        triton: AsyncTriton,
        metrics: Metrics,
    ) -> None:
        self.follower = follower
        self._openmldb = openmldb
        self._triton = triton
        self._metrics = metrics

    async def require_live(self) -> Live:
        """The live release.

        Raises:
            BackendError: there is none (503).
        """
        live = await self.follower.live()
        if live is None:
            raise BackendError(503, "no_release", f"{self.follower.problem}")
        return live

    async def score(self, read: ReadRows) -> Scored:
        """Score a request's rows, all by one release.

        Args:
            read: gives the request's rows by a release's request schema.

        Raises:
            RequestError: the rows do not fit that schema.
            BackendError: no release is live, or a part behind it does not answer.
        """
        live = await self.require_live()
        try:
            return await self._score(live, read(live))
        except NightshiftError as error:
            # A request that began just before a switch may find the old pair retired.
            newer = await self.follower.live()
            if newer is None or newer is live:
                raise _backend_error(error) from error
        try:
            return await self._score(newer, read(newer))
        except NightshiftError as error:
            raise _backend_error(error) from error

    async def _score(self, live: Live, rows: Sequence[Sequence[Any]]) -> Scored:
        p = live.pointer
        with self._metrics.timed("features"):
            features = await self._features(p, rows)
        if len(features) != len(rows):
            raise ContractError(
                f"deployment {p.deployment} answered {len(features)} rows to {len(rows)}"
            )
        with self._metrics.timed("encode"):
            if len(features) < _THREAD_ROWS:
                ids = live.encode(features)
            else:
                ids = await asyncio.to_thread(live.encode, features)
        with self._metrics.timed("score"):
            scores = await self._triton.infer(p.model, p.model_version, ids)
        self._metrics.rows.labels(p.release_id).inc(len(rows))
        return Scored(live, features, ids, scores)

    async def _features(
        self, pointer: LivePointer, rows: Sequence[Sequence[Any]]
    ) -> list[list[Any]]:
        for last in (False, True):
            try:
                features, _ = await self._openmldb.call(
                    pointer.database, pointer.deployment, rows, need_schema=False
                )
                break
            except ServiceUnavailable as error:
                # The server may close an idle connection at the moment that it is used again.
                # A deployment only reads, so asking twice is safe.
                if last or not isinstance(error.__cause__, _CUT_OFF):
                    raise
        return features


def _backend_error(error: NightshiftError) -> BackendError:
    if isinstance(error, ServiceUnavailable):
        return BackendError(503, "unavailable", str(error))
    if isinstance(error, OpenMLDBError):
        return BackendError(502, "features", str(error))
    return BackendError(502, "contract", str(error))
