"""Spool files: answers as a worker appends them, before they become parquet.

A file is a row of frames: length and CRC-32 of the content (little-endian, 4 bytes each), then
MessagePack. A frame that a kill cut off ends the file. The writer holds a lock on its `.open` file
from before it has that name, so what a dead writer left can be told from what is still written; a
closed file is `.done`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nightshift.errors import LockHeld

OPEN, DONE = ".open", ".done"
_NEW, _NEW_S = ".new", 3600.0
_ROLL = "roll"
_FRAME = struct.Struct("<II")


class Context(msgspec.Struct, array_like=True, tag="c", frozen=True):
    """What the answers of one release share; a frame before the first of them.

    Attributes:
        number: that the answers of this file name it by.
        request: name and SQL type of each column of a request row.
        features: the same of a feature row.
        key: place of the request's id in a feature row.
        hashed: columns whose values are keyed hashes.
        omitted: columns that are not kept.
    """

    number: int
    release: str
    deployment: str | None
    model: str
    model_version: int
    request: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    key: int | None
    hashed: tuple[str, ...]
    omitted: tuple[str, ...]


class Answer(msgspec.Struct, array_like=True, tag="a", frozen=True):
    """One answer.

    Attributes:
        context: number of its context.
        at_us: microseconds of UTC at which it was scored.
        began_us: and before its features were asked for.
        order: of a ranking, the rows returned, best first.
        scores: float32, little-endian, a row each.
        rows: request rows.
        features: feature rows.
        of: of shadow scores, the receipt of the answer.
    """

    context: int
    receipt: str
    operation: str
    role: str
    at_us: int
    began_us: int
    request_hash: str
    feature_hash: str
    watermark: str
    order: list[int] | None
    scores: bytes
    rows: Any
    features: Any
    of: str | None = None

    def scores_as_floats(self) -> list[float]:
        """The scores."""
        return list(struct.unpack(f"<{len(self.scores) // 4}f", self.scores))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Context | Answer).decode


def packed(rows: Sequence[Any]) -> bytes:
    """Rows as MessagePack, which `frame` takes in an `Answer` by `msgspec.Raw`."""
    return _encode(rows)


def frame(value: Context | Answer) -> bytes:
    """A value as a frame."""
    content = _encode(value)
    return _FRAME.pack(len(content), zlib.crc32(content)) + content


def frames(path: Path) -> Iterator[Context | Answer]:
    """The frames of a file, up to the first one that is not whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # Closed meanwhile: `.open` became `.done`. Compacted meanwhile: nothing is left to give.
        try:
            data = path.with_suffix(DONE).read_bytes()
        except FileNotFoundError:
            return
    at = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        content = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(content) < length or zlib.crc32(content) != checksum:
            return
        yield _decode(content)
        at += _FRAME.size + length


def paths(folder: Path) -> list[Path]:
    """All spool files of a folder, open ones included."""
    return sorted([*folder.glob(f"*{OPEN}"), *folder.glob(f"*{DONE}")])


def asked_to_roll(folder: Path, opened: float) -> bool:
    """Whether a file that was opened at `opened` (`time.time()`) is asked to end."""
    try:
        return (folder / _ROLL).stat().st_mtime >= opened
    except FileNotFoundError:
        return False


def roll(folder: Path, *, timeout_s: float = 10.0) -> None:
    """Have the live workers close their files, so that all of them can be compacted.

    Raises:
        LockHeld: a worker did not within `timeout_s`.
    """
    if not folder.is_dir():
        return
    (folder / _ROLL).touch()
    before = list(folder.glob(f"*{OPEN}"))
    deadline = time.monotonic() + timeout_s
    while True:
        adopt(folder)
        before = [path for path in before if path.exists()]
        if not before:
            return
        if time.monotonic() >= deadline:
            raise LockHeld(
                f"{before[0]} is still written after {timeout_s:g} s; is its predict server stopped "
                "in a debugger, or its drive away?"
            )
        time.sleep(0.05)


def adopt(folder: Path) -> None:
    """Close what dead writers left open, and remove what they left empty."""
    for path in folder.glob(f"*{_NEW}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _NEW_S:
                path.unlink()
    for path in folder.glob(f"*{OPEN}"):
        with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # it is being written
            path.rename(path.with_suffix(DONE))


class Spool:
    """One worker's spool file, appended to.

    Args:
        path: without suffix; nothing is there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + OPEN)
        self.size = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + _NEW)
        self._fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Locked before it is found by `adopt`, which would take it for a dead writer's.
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(self.path)

    def append(self, data: bytes) -> None:
        """Add frames; on an error none of them stays.

        Raises:
            OSError: the disk is full or gone.
        """
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
                os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self.size += len(data)

    def close(self) -> None:
        """Sync it and let it be compacted; an empty one goes."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if self.size:
                os.fsync(fd)
                self.path.rename(self.path.with_suffix(DONE))
            else:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(fd)
