"""Why a result could not be written, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A disk that is full, or a user's share of it."""


def why_not_written(error: OSError, folder: Path, what: str = "the result") -> str | None:
    """What kept something from being written, how much is free and what to do.

    Args:
        error: what writing raised.
        folder: where it was written; it need not be there.
        what: what was written there.

    Returns:
        The message; None where the error is not about room or rights.
    """
    reason = _REASONS.get(error.errno or 0)
    if reason is None:
        return None
    cause, fix = reason
    return f"{cause}: {what} is written to {folder}, {_free(folder)}; {fix}"


_REASONS = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("the user's quota is used up", "make room, or raise the quota"),
    errno.EROFS: (
        "the disk is read-only",
        "mount it for writing; the kernel's log says whether it is damaged",
    ),
    errno.EACCES: ("permission denied", "let the user write to the folder"),
}


def _free(folder: Path) -> str:
    there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    found = os.statvfs(there)
    if found.f_files and not found.f_favail:
        return "where there may be no more files"
    free, total = (blocks * found.f_frsize for blocks in (found.f_bavail, found.f_blocks))
    return f"where {_size(free)} of {_size(total)} are free without it"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
