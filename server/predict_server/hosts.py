"""The pipelines as they are served: each with its own follower, queue, probe and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nightshift.errors import ContractError, NightshiftError
from nightshift.live.folders import live_folder
from predict_server.errors import BackendError, RequestError
from predict_server.families import find
from predict_server.families import of as family_of
from predict_server.families.base import Answer, Call, Context, Family, Release
from predict_server.ingest import Ingest
from predict_server.live import Follower
from predict_server.metrics import PipelineMetrics
from predict_server.payload import printable
from predict_server.pipelines import ListPipelines, PipelineRef
from predict_server.recording import Recorder

LOG = logging.getLogger("predict_server")

LOOK_S = 0.2
"""Pause between two looks at the pointers while nobody asks."""

LIST_S = 1.0
"""Pause between two looks for new pipelines."""

PROBE_S = 2.0
"""How long an answer to "can a prediction be had now" is believed."""

PROBE_TIMEOUT_S = 2.0

_T = TypeVar("_T")
MakeContext = Callable[[PipelineMetrics], Context]


@dataclass(frozen=True)
class Health:
    """Whether a pipeline can answer.

    Attributes:
        parts: what is wrong with each part, or None.
        live: the release that answers, if there is one.
        switch_problem: why a newer pointer is not followed.
    """

    parts: dict[str, str | None]
    live: Release | None
    switch_problem: str | None

    @property
    def ready(self) -> bool:
        """Whether a prediction can be had now."""
        return not any(self.parts.values())

    def body(self) -> dict[str, Any]:
        """JSON of the answer."""
        names = {"release": None} if self.live is None else self.live.names()
        return {
            "status": "ready" if self.ready else "not ready",
            "parts": {name: problem or "ok" for name, problem in self.parts.items()},
            # A pointer that could not be followed: the release below answers meanwhile.
            "switch_problem": self.switch_problem,
            **names,
        }


class Host:
    """One pipeline.

    Args:
        ref: which.
        family: how its releases are served.
        context: the server, with this pipeline's metrics.
    """

    def __init__(self, ref: PipelineRef, family: Family, context: Context) -> None:
        self.ref = ref
        self.metrics = context.metrics
        self.recorder = Recorder(
            live_folder(context.settings, ref.name), ref.live.log, context.metrics
        )
        self.ingest = Ingest(context.settings, ref.name, context.metrics)
        context = replace(
            context,
            recorder=self.recorder,
            scored=self.ingest.request_rows if ref.live.insert_requests else None,
            shadow=ref.live.shadow,
        )
        self.follower = Follower(ref.releases, family_of, context)
        self.in_flight = 0
        self._family = family
        self._context = context
        self._health: tuple[float, Release | None, dict[str, str | None]] | None = None
        self._probing: asyncio.Task[dict[str, str | None]] | None = None

    def close(self) -> None:
        """Write what the request log still holds."""
        self.recorder.close()
        self.ingest.close()

    @property
    def max_body(self) -> int:
        """Bytes of a request at most."""
        live = self.follower.current
        times = self._family.body if live is None else family_of(live.pointer).body
        return times * self._context.settings.predict_max_body

    async def require_live(self) -> Release:
        """The live release.

        Raises:
            BackendError: there is none (503).
        """
        live = await self.follower.live()
        if live is None:
            raise BackendError(503, "no_release", f"{self.follower.problem}")
        return live

    async def answer(self, operation: str, call: Call) -> Answer:
        """Answer a request, all of it by one release.

        Raises:
            RequestError: the request is at fault, or there are too many.
            BackendError: no release is live, or a part behind it does not answer.
        """
        return await self.by_release(lambda live: _operation(live, operation)(call))

    async def by_release(self, ask: Callable[[Release], Awaitable[_T]]) -> _T:
        """Ask the live release, and the next one if it was retired under the request.

        Raises:
            RequestError: the request is at fault.
            BackendError: no release is live, or a part behind it does not answer.
        """
        live = await self.require_live()
        try:
            return await ask(live)
        except NightshiftError as error:
            # A request that began just before a switch may find the old pair retired.
            newer = await self.follower.live()
            if newer is None or newer is live:
                self._health = None
                raise BackendError.of(error) from error
        try:
            return await ask(newer)
        except NightshiftError as error:
            self._health = None
            raise BackendError.of(error) from error

    async def health(self) -> Health:
        """Ask the live release a real question, at most every `PROBE_S`."""
        live = await self.follower.live()
        known = self._health
        if known is None or known[1] is not live or time.monotonic() - known[0] > PROBE_S:
            if self._probing is None or self._probing.done():
                self._probing = asyncio.create_task(self._probe(live))
            parts = await asyncio.shield(self._probing)
        else:
            parts = known[2]
        problem = self.follower.problem
        return Health(
            {"release": None if live else problem, **parts}, live, problem if live else None
        )

    async def _probe(self, live: Release | None) -> dict[str, str | None]:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S + 0.5):
                if live is not None:
                    parts = await live.probe(PROBE_TIMEOUT_S)
                else:
                    parts = await self._servers()
        except TimeoutError:
            parts = dict.fromkeys(self._family.parts, f"no answer within {PROBE_TIMEOUT_S:g} s")
        self._health = (time.monotonic(), live, parts)
        self.metrics.ready.set(float(live is not None and not any(parts.values())))
        return parts

    async def _servers(self) -> dict[str, str | None]:
        """Whether the servers answer at all, before there is a release to ask."""
        found: dict[str, str | None] = {}
        if "openmldb" in self._family.parts:
            found["openmldb"] = None
            try:
                await self._context.openmldb.health(timeout_s=PROBE_TIMEOUT_S)
            except NightshiftError as error:
                found["openmldb"] = str(error)
        found["triton"] = await self._context.triton.live(timeout_s=PROBE_TIMEOUT_S)
        return found

    def status(self) -> dict[str, Any]:
        """What other workers say of this one's release."""
        live = self.follower.current
        return {
            "release": live.pointer.release_id if live else None,
            "sequence": live.pointer.sequence if live else None,
            "problem": self.follower.problem,
        }


def _operation(live: Release, name: str) -> Callable[[Call], Awaitable[Answer]]:
    found = live.operations.get(name)
    if found is None:
        known = ", ".join(sorted(live.operations))
        why = ""
        if name == "recommend":
            why = ": its live release has no retrieval (the part recommend of pipeline.yaml)"
        raise RequestError(404, "no_operation", f"this pipeline answers {known}, not {name}{why}")
    return found


class Hosts:
    """All pipelines of the installation; a new one appears, a removed one goes.

    Args:
        listed: lists them.
        make_context: gives a pipeline its server.
        default: name of the pipeline that the paths without a name mean; empty: the first.
    """

    def __init__(self, listed: ListPipelines, make_context: MakeContext, make_metrics: Any) -> None:
        self._list = listed
        self._make_context = make_context
        self._make_metrics = make_metrics
        self._hosts: dict[str, Host] = {}
        self._listing: asyncio.Future[list[PipelineRef]] | None = None
        self.default: str | None = None
        self.problem: str | None = None

    def __iter__(self) -> Any:
        return iter(list(self._hosts.values()))

    def get(self, name: str | None) -> Host:
        """A pipeline by its name; None is the default one.

        Raises:
            RequestError: there is none of that name (404).
        """
        host = self._hosts.get(self.default or "" if name is None else name)
        if host is None:
            known = printable(", ".join(sorted(self._hosts)) or "none", 300)
            why = f" ({self.problem})" if self.problem else ""
            raise RequestError(
                404,
                "no_pipeline",
                f"no pipeline {printable(str(name), 60)!r}; there are: {known}" + why,
            )
        return host

    async def refresh(self) -> None:
        """Look for new pipelines; whatever is wrong with the list, those that are served stay."""
        if self._listing is None:
            loop = asyncio.get_running_loop()
            self._listing = loop.create_future()
            threading.Thread(
                target=_list_in_thread, args=(self._list, self._listing, loop), daemon=True
            ).start()
        try:
            async with asyncio.timeout(LIST_S):
                refs = await asyncio.shield(self._listing)
        except TimeoutError:
            self.problem = "the pipelines' folders do not answer"
            return
        except Exception as error:
            self._listing = None
            self.problem = f"the pipelines cannot be listed: {error}"
            return
        self._listing = None
        self.problem = None
        self._take(refs)

    def _take(self, refs: list[PipelineRef]) -> None:
        known: dict[str, Host] = {}
        for ref in refs:
            try:
                family = find(ref.family)
            except ContractError as error:
                self.problem = f"pipeline {ref.name}: {error}"
                continue
            host = self._hosts.get(ref.name)
            if host is None or host.ref != ref:
                metrics = self._make_metrics(ref.name)
                host = Host(ref, family, self._make_context(metrics))
            known[ref.name] = host
        for name, host in self._hosts.items():
            if known.get(name) is not host:
                host.close()
        self._hosts = known
        self.default = refs[0].name if refs else None

    async def follow(self) -> None:
        """Look at every pointer once; one that takes long holds no other up."""
        await asyncio.gather(*(self._follow(host) for host in self._hosts.values()))

    async def _follow(self, host: Host) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.shield(_quietly(host.follower.retry())), LOOK_S)


async def _quietly(asked: Awaitable[None]) -> None:
    try:
        await asked
    except Exception:
        LOG.exception("following a release")


def _list_in_thread(
    listed: ListPipelines,
    listing: asyncio.Future[list[PipelineRef]],
    loop: asyncio.AbstractEventLoop,
) -> None:
    def tell(refs: list[PipelineRef] | None, error: Exception | None) -> None:
        if error is not None:
            listing.set_exception(error)
        else:
            listing.set_result(refs or [])

    try:
        refs, error = listed(), None
    except Exception as found:
        refs, error = None, found
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell, refs, error)
