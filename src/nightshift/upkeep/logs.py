"""Logs: old ones go, long ones are cut."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
from pathlib import Path


def sweep(folder: Path, *, before: dt.datetime) -> int:
    """Remove files that were last written before a moment, and the folders that this empties.

    Links are not followed.

    Args:
        folder: of task logs; it itself stays.
        before: with a zone.

    Returns:
        How many files went.
    """
    oldest, gone = before.timestamp(), 0
    # Their times as they are now: removing what is in a folder is a change of it.
    found = [
        (Path(root), Path(root).stat().st_mtime, [Path(root, name) for name in names])
        for root, _, names in os.walk(folder)
    ]
    for root, changed, paths in reversed(found):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()
                    gone += 1
        if root != folder and changed < oldest:
            with contextlib.suppress(OSError):  # it is not empty
                root.rmdir()
    return gone


def cut(folder: Path, *, most: int) -> list[str]:
    """Put away what services have written to logs that are too long, beside each as `<log>.1`.

    A service goes on writing to the file that it has open, which begins anew. What it writes in
    this very moment may be lost.

    Args:
        folder: of `*.log` files that are opened for appending.
        most: bytes of a log.

    Returns:
        Names of the logs that were cut.
    """
    found = []
    for path in sorted(folder.glob("*.log")):
        if path.is_symlink() or path.stat().st_size <= most:
            continue
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)
        found.append(path.name)
    return found
