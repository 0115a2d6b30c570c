"""The live release, followed without a restart.

`live.json` is replaced by a rename, so a new file shows as a new inode. Each request looks
(one `stat`) and, if there is a new pointer, waits until that release is ready to answer or
known not to be, a moment at most; then the old one goes on and the reason is told by `/health`.
A request keeps the one `Live` that it began with: no answer mixes two releases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nightshift.errors import ContractError, NightshiftError
from nightshift.features.encoding import Ids, encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.openmldb import AsyncOpenMLDBClient
from nightshift.registry.pointer import LivePointer, read_live
from predict_server.metrics import Metrics
from predict_server.rows import Column
from predict_server.scoring import AsyncTriton

WAIT_S = 2.0
"""How long requests wait for a new release before the old one answers them."""

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Live:
    """All that a request needs of the release that answers it.

    Attributes:
        pointer: the content of live.json.
        spec: the feature specification kept with the release.
        request_schema: columns of a request row.
        feature_names: columns of a feature row, in the deployment's order.
        key: position of the column whose value names a row in the answer, or None.
    """

    pointer: LivePointer
    spec: FeatureSpec
    request_schema: tuple[Column, ...]
    feature_names: tuple[str, ...]
    key: int | None

    def encode(self, rows: Sequence[Sequence[Any]]) -> Ids:
        """Ids of feature rows: int64 [n, fields]."""
        return encode_rows(self.spec, self.feature_names, rows)

    def names(self) -> dict[str, Any]:
        """What every answer says of its release."""
        return {
            "release": self.pointer.release_id,
            "deployment": self.pointer.deployment,
            "model": self.pointer.model,
            "model_version": self.pointer.model_version,
        }


async def prepare(pointer: LivePointer, openmldb: AsyncOpenMLDBClient, triton: AsyncTriton) -> Live:
    """Make a release ready to answer, and see that both its halves do.

    Raises:
        NightshiftError: the specification, the deployment and the model do not fit, or one of
            them does not answer.
    """
    spec = await asyncio.to_thread(FeatureSpec.load, Path(pointer.feature_spec))
    if spec.schema_hash != pointer.spec_hash:
        raise ContractError(
            f"{pointer.feature_spec} has schema hash {spec.schema_hash} and release "
            f"{pointer.release_id} was tested with {pointer.spec_hash}; the file was changed"
        )
    info = await openmldb.deployment(pointer.database, pointer.deployment)
    spec.check_columns(info.output_schema)
    # A model whose process died is READY to Triton: only an inference tells.
    await triton.infer(
        pointer.model, pointer.model_version, np.zeros((1, len(spec.fields)), dtype=np.int64)
    )
    names = tuple(name for name, _ in info.output_schema)
    key = next((names.index(k) for k in spec.keys if k in names), None)
    return Live(pointer, spec, tuple(info.input_schema), names, key)


class Follower:
    """Keeps the `Live` of `<releases>/live.json`.

    Args:
        releases: root of the releases.
        openmldb: client of the API server.
        triton: client of Triton.
        metrics: where switches are counted.
        timeout_s: limit of making one release ready.
    """

    def __init__(
        self,
        releases: Path,
        openmldb: AsyncOpenMLDBClient,
        triton: AsyncTriton,
        metrics: Metrics,
        *,
        timeout_s: float,
    ) -> None:
        self._releases = releases
        self._path = releases / "live.json"
        self._openmldb = openmldb
        self._triton = triton
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._live: Live | None = None
        self._stamp: _Stamp | None = None
        self._waited_for: _Stamp | None = None
        self._following: asyncio.Task[None] | None = None
        self.problem: str | None = f"{self._path} is not there: no release is live yet"

    @property
    def current(self) -> Live | None:
        """The release that answered last, without looking for a newer one."""
        return self._live

    def _look(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return 0, 0, 0  # reading it will tell why
        return found.st_ino, found.st_mtime_ns, found.st_size

    async def live(self) -> Live | None:
        """The live release, the newest if it is ready; None before the first one."""
        stamp = self._look()
        if stamp not in (self._stamp, self._waited_for):
            following = self._follow_once()
            _, slow = await asyncio.wait({following}, timeout=WAIT_S)
            if slow:
                self._waited_for = stamp
        return self._live

    async def retry(self) -> None:
        """Follow a new pointer, or try again the one that could not be followed."""
        stamp = self._look()
        if stamp != self._stamp or (stamp is not None and self.problem is not None):
            await self._follow_once()

    def _follow_once(self) -> asyncio.Task[None]:
        """The one attempt that is under way; a request that is given up does not end it."""
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        return self._following

    async def _follow(self) -> None:
        stamp = self._look()
        try:
            pointer = read_live(self._releases)
            if pointer is None:
                goes_on = (
                    "the release that answered goes on" if self._live else "no release is live yet"
                )
                raise ContractError(f"{self._path} is not there: {goes_on}")
            if self._live is None or pointer != self._live.pointer:
                live = await asyncio.wait_for(
                    prepare(pointer, self._openmldb, self._triton), self._timeout_s
                )
                self._take(live)
            self.problem = None
        except Exception as error:
            # Whatever is wrong with the new release, the old one goes on.
            known = isinstance(error, (NightshiftError, OSError)) and str(error)
            self.problem = str(error) if known else f"following {self._path}: {error!r}"
            if isinstance(error, TimeoutError):
                self.problem = f"{self._path}: not ready within {self._timeout_s:g} s"
            if stamp is not None:
                self._metrics.refused.inc()
        self._stamp = stamp
        self._waited_for = None

    def _take(self, live: Live) -> None:
        self._live = live
        self._metrics.live.clear()
        p = live.pointer
        self._metrics.live.labels(p.release_id, p.deployment, p.model, str(p.model_version)).set(1)
        self._metrics.switches.inc()
