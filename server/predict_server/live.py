"""The live release of a pipeline, followed without a restart.

`live.json` is replaced by a rename, so a new file shows as a new inode. Each request looks
(one `stat`) and, if there is a new pointer, waits until that release is ready to answer or
known not to be, a moment at most; then the old one goes on and `/health` says why.
A request keeps the one release that it began with: no answer mixes two.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nightshift.errors import ContractError, NightshiftError
from nightshift.registry.pointer import LivePointer, read_live
from predict_server.families.base import Context, Family, Release

WAIT_S = 2.0
"""How long requests wait for a new release before the old one answers them."""

RETRY_S = 1.0
"""Pause before a release that could not be followed is tried again."""

MAX_HUNG = 32
"""Reads of one pipeline's files that may hang at a time, each in a thread of its own."""

_Stamp = tuple[int, int, int]
_Read = tuple[LivePointer | None, Any]
"""A pointer, and what its family read by it."""


class Follower:
    """Keeps the release that `<releases>/live.json` names.

    Args:
        releases: root of the pipeline's releases.
        family_of: how a release is read and made ready.
        context: the server.
    """

    def __init__(
        self, releases: Path, family_of: Callable[[LivePointer], Family], context: Context
    ) -> None:
        self._releases = releases
        self._path = releases / "live.json"
        self._family_of = family_of
        self._context = context
        self._timeout_s = context.settings.predict_timeout_s
        self._live: Release | None = None
        self._stamp: _Stamp | None = None
        self._waited_for: _Stamp | None = None
        self._following: asyncio.Task[None] | None = None
        self._tried = 0.0
        self._reads: dict[_Stamp | None, asyncio.Future[_Read]] = {}
        self.problem: str | None = f"{self._path} is not there: no release is live yet"

    @property
    def current(self) -> Release | None:
        """The release that answered last, without looking for a newer one."""
        return self._live

    def _look(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return 0, 0, 0  # reading it will say why
        return found.st_ino, found.st_mtime_ns, found.st_size

    async def live(self) -> Release | None:
        """The live release, the newest if it is ready; None before the first one."""
        stamp = self._look()
        end = time.monotonic() + WAIT_S
        # More than once: the attempt under way may be at an earlier pointer.
        while stamp not in (self._stamp, self._waited_for):
            following = self._follow_once()
            _, slow = await asyncio.wait({following}, timeout=max(0.0, end - time.monotonic()))
            if slow:
                self._waited_for = stamp
            stamp = self._look()
        return self._live

    async def retry(self) -> None:
        """Follow a new pointer, or try again the one that could not be followed."""
        stamp = self._look()
        again = stamp is not None and self.problem is not None
        if stamp != self._stamp or (again and time.monotonic() - self._tried >= RETRY_S):
            await self._follow_once()

    def _follow_once(self) -> asyncio.Task[None]:
        """The one attempt that is under way; a request that is given up does not end it."""
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        return self._following

    async def _follow(self) -> None:
        stamp = self._look()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._take(stamp)
            self.problem = None
        except Exception as error:
            # Whatever is wrong with the new release, the old one goes on.
            known = isinstance(error, (NightshiftError, OSError)) and str(error)
            self.problem = str(error) if known else f"following {self._path}: {error!r}"
            if isinstance(error, TimeoutError):
                self.problem = f"{self._path}: not ready within {self._timeout_s:g} s"
            if stamp is not None:
                self._context.metrics.refused.inc()
        self._tried = time.monotonic()
        self._stamp = stamp
        self._waited_for = None

    async def _take(self, stamp: _Stamp | None) -> None:
        if stamp is None and self._live is not None:
            raise ContractError(f"{self._path} is not there: the release that answered goes on")
        # Without a file too: a pointer that was lost is read from the log.
        pointer, read = await self._in_thread(stamp)
        if pointer is None:
            why = "is not there: no release is live yet" if stamp is None else "was taken away"
            raise ContractError(f"{self._path} {why}")
        if self._live is None or pointer != self._live.pointer:
            release = await self._family_of(pointer).prepare(pointer, read, self._context)
            self._live = release
            self._context.metrics.took_up(release.names())

    def _read(self) -> _Read:
        pointer = read_live(self._releases)
        if pointer is None or (self._live is not None and pointer == self._live.pointer):
            return pointer, None
        return pointer, self._family_of(pointer).read(pointer, self._releases)

    async def _in_thread(self, stamp: _Stamp | None) -> _Read:
        """Read what a pointer names, which may hang for ever: its drive may not answer.

        Each read has a thread of its own: a pool would be full of them one day, and everything
        else that needs it would wait. While one hangs, the same pointer is not read again; a
        newer one is. The process ends without waiting for them.
        """
        reading = self._reads.get(stamp)
        if reading is None:
            if len(self._reads) >= MAX_HUNG:
                raise ContractError(
                    f"{self._path}: {len(self._reads)} earlier reads of it or of the files that "
                    "it named hang; is their drive there?"
                )
            loop = asyncio.get_running_loop()
            reading = self._reads[stamp] = loop.create_future()
            reading.add_done_callback(lambda _: self._reads.pop(stamp, None))
            threading.Thread(
                target=_run, args=(self._read, reading, loop), daemon=True, name="read a release"
            ).start()
        return await asyncio.shield(reading)


def _run(
    read: Callable[[], _Read], reading: asyncio.Future[_Read], loop: asyncio.AbstractEventLoop
) -> None:
    try:
        found = read()
    except Exception as error:
        told: Callable[[], None] = partial(_tell, reading, error)
    else:
        told = partial(_tell, reading, found)
    with contextlib.suppress(RuntimeError):  # the loop ended meanwhile
        loop.call_soon_threadsafe(told)


def _tell(reading: asyncio.Future[_Read], found: _Read | Exception) -> None:
    if isinstance(found, Exception):
        reading.set_exception(found)
        reading.exception()  # looked at, even if whoever asked has given up
    else:
        reading.set_result(found)
