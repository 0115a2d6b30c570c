"""Whether names in folders were changed meanwhile, even if they are again what they were.

The kernel tells (inotify). A folder that is swapped for a link and back between two looks leaves
both looks as they were, but not the kernel's list.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator

_CHANGES = 0x40 | 0x80 | 0x100 | 0x200  # MOVED_FROM, MOVED_TO, CREATE, DELETE
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EVENT = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """The names of some folders from now on; `close` it."""

    def __init__(self) -> None:
        self._handle: int = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._handle < 0:
            raise _error("inotify")
        self._names: dict[int, set[bytes]] = {}

    def add(self, folder: int, name: str) -> None:
        """Watch a name in an open folder.

        Raises:
            OSError: the folder may not be read, or the system watches too many.
        """
        path = f"/proc/self/fd/{folder}".encode()
        number: int = _LIBC.inotify_add_watch(self._handle, path, _CHANGES)
        if number < 0:
            raise _error(name)
        self._names.setdefault(number, set()).add(os.fsencode(name))

    def changed(self) -> bool:
        """Whether one of the names was made, moved or removed."""
        return any(
            mask & (_OVERFLOW | _IGNORED) or name in self._names.get(number, ())
            for number, mask, name in self._events()
        )

    def _events(self) -> Iterator[tuple[int, int, bytes]]:
        with contextlib.suppress(BlockingIOError):
            while raw := os.read(self._handle, 65536):
                while raw:
                    number, mask, _, length = _EVENT.unpack_from(raw)
                    end = _EVENT.size + length
                    yield number, mask, raw[_EVENT.size : end].rstrip(b"\0")
                    raw = raw[end:]

    def close(self) -> None:
        """Watch no more."""
        os.close(self._handle)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
