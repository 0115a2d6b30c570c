"""The supervisor's housekeeping of the request logs, in a process of its own and of low priority."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from nightshift.settings import Settings

LOG = logging.getLogger("predict_server")

EVERY_S = 60.0
"""Pause between two compactions."""

LIMIT_S = 600.0
"""Seconds that one may take: its drive may hang."""


async def compact_for_ever(settings: Settings, every_s: float = EVERY_S) -> None:
    """Compact what the workers logged, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            if any(settings.home.glob("live/*/requests/spool/*-*")):
                await _compact()
        except OSError as error:
            LOG.warning("the request logs cannot be compacted: %s", error)


async def _compact() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "nightshift.live.compact", "--background"),
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            await process.wait()
    except TimeoutError:
        LOG.warning("compacting the request logs took more than %g s; it is ended", LIMIT_S)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
