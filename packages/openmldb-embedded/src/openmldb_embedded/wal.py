"""The write-ahead log: what is acknowledged is on the disk first.

A log is a folder of files ``<number>.log``. A record is a header (length and CRC-32 of the payload,
both unsigned 32-bit little-endian) and a JSON object as payload. Writers append under the store's lock and
then wait for ``sync``: the first to wait flushes for all who appended meanwhile (group commit).

So that no file can be emptied, removed or exchanged without being missed, the first record of a file
(its title) has its number and the size of the file before it, and ``<log>.head``, beside the folder,
has the number of the newest file. Both are on the disk before anything in that file is acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from openmldb_sql.errors import SqlError

from openmldb_embedded.durable import sync, write_durably

LOG = logging.getLogger("openmldb_embedded")

_HEADER = struct.Struct("<II")
MAX_RECORD = 2**30
_TITLE = "log"
"""The key of a title; other records have none of this name."""


class LogError(SqlError):
    """The log cannot be written or read."""

    default_code = 2001


def log_files(folder: Path) -> list[tuple[int, Path]]:
    """The log's files by number.

    Raises:
        LogError: one is a link, a folder or a device: what it leads to would be written over.
    """
    found = sorted((int(path.stem), path) for path in folder.glob("*.log") if path.stem.isdecimal())
    for _, path in found:
        if path.is_symlink() or not path.is_file():
            raise LogError(f"{path} is not a plain file: remove it, or restore it from a copy")
    return found


@dataclass(frozen=True)
class _Head:
    """What ``<log>.head`` says.

    Attributes:
        since: number of the first file that has a title.
        last: number of the newest file.
    """

    since: int
    last: int


def _head_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.head")


def _read_head(folder: Path) -> _Head | None:
    path = _head_path(folder)
    try:
        found = json.loads(path.read_bytes())
        return _Head(int(found["since"]), int(found["last"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(
            f"{path} cannot be read ({error}): restore the data folder from a copy, or remove the "
            f"file if all of {folder} is there"
        ) from error


def newest_file(folder: Path, first: int) -> int:
    """Number of the newest file that was begun; ``first`` where none was."""
    head = _read_head(folder)
    return max([first, *(number for number, _ in log_files(folder)), head.last if head else first])


def read_log(folder: Path, first: int, *, snapshot: bool, repair: bool = False) -> Iterator[Any]:
    """The records of all files from ``first`` on, in order.

    Args:
        folder: of the log.
        first: the file that a start begins with; older ones are superfluous.
        snapshot: whether a snapshot, taken at the begin of ``first``, has what was before it.
        repair: go on without the last file where it is gone or empty, and as of ``read_file``.

    Raises:
        LogError: A file is missing, empty, shorter than it was, or damaged.
    """
    head = _read_head(folder)
    files = {number: path for number, path in log_files(folder) if number >= first}
    begun = newest_file(folder, first)
    if not files and head is None and not snapshot:
        return  # a new folder
    for number in range(first, begun + 1):
        path = folder / f"{number:08d}.log"
        titled = head is not None and head.since <= number <= head.last
        if number in files and (not titled or _title(path) is not None):
            continue
        what = f"{path}, which may hold acknowledged changes, is missing, empty or damaged at its start"
        if number < begun:
            raise LogError(f"{what}, and later files exist: restore the data folder from a copy")
        if not repair:
            raise LogError(
                f"{what}: restore the data folder from a copy, or start once with --repair, which "
                f"goes on without it"
            )
        LOG.warning("%s: going on without it", what)
    size = None
    for number, path in sorted(files.items()):
        _check_title(path, number, size)
        for record in read_file(path, last=number == begun, repair=repair):
            if _TITLE not in record:
                yield record
        size = path.stat().st_size


def _title(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        payload = _record(file, path.stat().st_size)
    record = None if payload is None else json.loads(payload)
    found = record.get(_TITLE) if isinstance(record, dict) else None
    return found if isinstance(found, dict) else None


def _check_title(path: Path, number: int, size: int | None) -> None:
    """Raise where a file has another's title, or the one before it is not as long as it was."""
    title = _title(path)
    if title is None:
        return
    if title["number"] != number:
        raise LogError(
            f"{path} was written as file {title['number']}: restore the data folder from a copy"
        )
    if size is not None and title["before"] not in (None, size):
        raise LogError(
            f"the file before {path} has {size} bytes and had {title['before']} when it was "
            f"finished: restore the data folder from a copy"
        )


def read_file(path: Path, *, last: bool, repair: bool = False) -> Iterator[Any]:
    """The records of one file.

    What a crash leaves at the end of the last file (a cut record, zeros) was never acknowledged: it
    is put aside and cut off. Damage before whole records is none of that: those were acknowledged.

    Args:
        path: the file.
        last: whether it is the last.
        repair: put a damaged last file aside and go on without what follows the damage.

    Raises:
        LogError: Damage before whole records, or in a file that is not the last.
    """
    size = path.stat().st_size
    good = 0
    with path.open("rb") as file:
        while (payload := _record(file, size - good)) is not None:
            good += _HEADER.size + len(payload)
            yield json.loads(payload)
    if good == size:
        return
    if not last:
        raise LogError(
            f"{path} is damaged at byte {good} of {size} though later files exist: restore the "
            f"data folder from a copy"
        )
    with path.open("rb") as file:
        file.seek(good)
        tail = file.read()
    if not tail.strip(b"\0"):
        tail = b""
    lost = sum(1 for _ in _whole_records(tail))
    if lost and not repair:
        raise LogError(
            f"{path} is damaged at byte {good} of {size}, and {lost} whole records follow, which "
            f"clients may rely on: restore the data folder from a copy, or start once with --repair, "
            f"which keeps what follows the damage aside and goes on without it"
        )
    aside = _put_aside(path, good, tail) if tail else None
    with path.open("r+b") as file:
        file.truncate(good)
        file.flush()
        os.fsync(file.fileno())
    if aside is not None:
        LOG.warning(
            "%s was cut at byte %d of %d: %s; what was cut off is kept in %s",
            path, good, size,
            f"{lost} whole records after the damage are lost" if lost
            else "its end is no whole record, as a crash in mid-write leaves it",
            aside,
        )  # fmt: skip


def _record(file: BinaryIO, left: int) -> bytes | None:
    """The payload of the record that begins here; None where none does."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack(header)
    # A length of 0 is not a record: a file that was made longer and never written to holds zeros.
    if not 0 < length <= min(MAX_RECORD, left - _HEADER.size):
        return None
    payload = file.read(length)
    return payload if zlib.crc32(payload) == checksum else None


def _whole_records(tail: bytes) -> Iterator[int]:
    """Where whole records begin in what follows a damage, wherever they are."""
    place = 0
    while (brace := tail.find(b"{", place)) >= 0:
        start = brace - _HEADER.size
        place = brace + 1
        if start < 0:
            continue
        length, checksum = _HEADER.unpack_from(tail, start)
        end = brace + length
        # The text of a record, taken for a length, leads far beyond the file.
        if length > 0 and end <= len(tail) and zlib.crc32(tail[brace:end]) == checksum:
            yield start
            place = end


def _put_aside(path: Path, good: int, tail: bytes) -> Path:
    """Keep what is cut off, for a person; a second cut at the same place replaces it."""
    aside = path.with_name(f"{path.stem}.cut-{good}")
    with aside.open("wb") as file:
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)
    return aside


def _frame(record: Any) -> bytes:
    payload = json.dumps(record, separators=(",", ":")).encode()
    if len(payload) > MAX_RECORD:
        raise LogError("the statement is too large for the log: insert fewer rows at once")
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class Log:
    """The file that is being appended to. Thread-safe."""

    def __init__(self, folder: Path, number: int) -> None:
        """Go on in file ``number``, or begin it; what a crash left of it is gone by now."""
        self.folder = folder
        self.number = number
        self.size = 0
        self._pending: list[bytes] = []
        self._appended = 0
        self._synced = 0
        self._flushing = False
        self._failed: OSError | None = None
        self._changed = threading.Condition()
        self._file = self._open(number)
        head = _read_head(folder)
        # A file of before titles and heads is read as it is; what comes now is in a new one.
        old = head is None and _title(self._path()) is None
        self._since = head.since if head else number + old
        if old:
            self.rotate()
        elif head is None or head.last != number:
            self._announce()

    def _path(self) -> Path:
        return self.folder / f"{self.number:08d}.log"

    def _announce(self) -> None:
        head = {"since": self._since, "last": self.number}
        write_durably(_head_path(self.folder), json.dumps(head).encode())

    def _open(self, number: int, before: int | None = None) -> int:
        """Open a file, begun with its title; ``before`` is the size of the file before it."""
        path = self.folder / f"{number:08d}.log"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        try:
            if os.fstat(handle).st_size == 0:
                _write(handle, _frame({_TITLE: {"number": number, "before": before}}))
                os.fsync(handle)
            sync(self.folder)
            self.size = os.fstat(handle).st_size
        except BaseException:
            os.close(handle)
            if before is not None:
                path.unlink(missing_ok=True)
            raise
        return handle

    def check(self) -> None:
        """Refuse work once a write has failed.

        Raises:
            LogError: An earlier write failed, so memory may be ahead of the disk.
        """
        if self._failed is not None:
            raise LogError(
                f"the log in {self.folder} could not be written ({self._failed.strerror}): the "
                f"server only reads until it is restarted; free space or repair the disk first"
            )

    def append(self, record: Any) -> int:
        """Queue a record and return the number to ``sync`` with."""
        frame = _frame(record)
        with self._changed:
            self.check()
            self._pending.append(frame)
            self._appended += 1
            return self._appended

    def sync(self, number: int) -> None:
        """Return once record ``number`` and all before it are on the disk.

        Raises:
            LogError: The disk refused; the record may or may not be there after a restart.
        """
        with self._changed:
            while True:
                if self._synced >= number:
                    return
                self.check()
                if not self._flushing:
                    break
                self._changed.wait()
            self._flushing = True
            frames, self._pending = self._pending, []
            upto = self._appended
            handle = self._file
        try:
            data = b"".join(frames)
            _write(handle, data)
            os.fdatasync(handle)
        except OSError as error:
            with self._changed:
                self._failed = error
                self._flushing = False
                self._changed.notify_all()
                self.check()
        with self._changed:
            self.size += len(data)
            self._synced = upto
            self._flushing = False
            self._changed.notify_all()

    def rotate(self) -> int:
        """Flush, then continue in a new file; its number is returned."""
        with self._changed:
            upto = self._appended
        self.sync(upto)
        with self._changed:
            while self._flushing:
                self._changed.wait()
            begun = self._open(self.number + 1, before=self.size)
            os.close(self._file)
            self._file = begun
            self.number += 1
            try:
                self._announce()
            except OSError as error:
                self._failed = error
                raise
            return self.number

    def close(self) -> None:
        """Flush and close."""
        with contextlib.suppress(LogError):
            self.sync(self._appended)
        with self._changed:
            while self._flushing:
                self._changed.wait()
            os.close(self._file)


def drop_before(folder: Path, number: int) -> None:
    """Remove the files that a snapshot has made superfluous; what was put aside stays."""
    for found, path in log_files(folder):
        if found < number:
            path.unlink(missing_ok=True)
    sync(folder)
