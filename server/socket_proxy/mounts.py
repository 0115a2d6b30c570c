"""Whether a folder is what its path says: below the installation, without a link on the way.

The proxy sees the same folders at the same paths as the host, read-only. A path that is sound now
may be swapped for a link before the engine mounts it, so `server` looks at the create, at the
start and after it, and has the kernel tell whether a name on the way was changed in between.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from socket_proxy.errors import Refused
from socket_proxy.policy import Policy
from socket_proxy.watching import Watch

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def check(path: str, *, read_only: bool, policy: Policy, watch: Watch | None = None) -> None:
    """Return if `path` may be mounted; `watch` is given the names on the way before each is seen.

    Raises:
        Refused: it is none of the folders that may be, it may not be written to, it is not
            there, or a link stands on the way.
    """
    if not (policy.is_run(path) or (read_only and policy.is_readable(path))):
        raise Refused(
            f"{path[:200]!r} may not be mounted{'' if read_only else ' to be written to'}: only "
            "include/, pipelines/, data/, releases/ and runs/ read-only, and the folder of a run or "
            "of an experiment's training"
        )
    root = policy.root_of(path)
    if root is None:
        raise Refused(f"{path[:200]!r} lies outside the installation")
    _walk(root, PurePosixPath(path).relative_to(root).parts, watch)


def _walk(root: PurePosixPath, parts: tuple[str, ...], watch: Watch | None) -> None:
    here = root
    try:
        # The way to the root is the administrator's and may hold links.
        handle = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if watch is not None:
                    watch.add(handle, part)
                here /= part
                handle, above = os.open(part, _OPEN, dir_fd=handle), handle
                os.close(above)
        finally:
            os.close(handle)
    except OSError as error:
        raise Refused(
            f"{str(here)[:200]!r} cannot be mounted: it must be a folder and no link, and the "
            f"proxy's user must see it ({error.strerror})"
        ) from None
