"""Files that are whole or absent: stage beside the target, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nightshift.errors import ContractError, LockHeld

STAGING_PREFIX = ".tmp-"
"""Folders and files that begin so are never read by anything; leftovers may be removed."""


def fsync_dir(path: Path) -> None:
    """Make a rename or a creation in `path` survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def staging_path(target: Path) -> Path:
    """A fresh name beside `target`, on the same file system, that nothing reads."""
    return target.parent / f"{STAGING_PREFIX}{target.name}-{uuid.uuid4().hex[:8]}"


def write_bytes(target: Path, data: bytes) -> None:
    """Replace `target` by `data`; a reader sees the old file or the new one."""
    _write_staged(target, data, mode=0o666, replace=True)


def write_private(target: Path, data: bytes, *, replace: bool = True) -> None:
    """`write_bytes` of what only the owner may read (mode 0600), from its first moment on.

    Raises:
        FileExistsError: `target` is there and `replace` is false.
    """
    _write_staged(target, data, mode=0o600, replace=replace)


def _write_staged(target: Path, data: bytes, *, mode: int, replace: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = staging_path(target)
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            staged.replace(target)
        else:
            os.link(staged, target)
    finally:
        staged.unlink(missing_ok=True)
    fsync_dir(target.parent)


def write_text(target: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(target, text.encode())


def dump_json(value: Any) -> bytes:
    """Canonical JSON: sorted keys, two-space indent, a final newline, no NaN."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def write_json(target: Path, value: Any) -> None:
    """`write_bytes` of canonical JSON."""
    write_bytes(target, dump_json(value))


def read_json(path: Path, *, max_bytes: int = 16 * 1024 * 1024) -> Any:
    """Parse a JSON file.

    Raises:
        ContractError: the file is absent, larger than `max_bytes`, or no JSON, or holds a
            number that JSON cannot write back (NaN, 1e999).
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ContractError(f"{path} is not a file")
        if status.st_size > max_bytes:
            raise ContractError(f"{path} has {status.st_size} bytes; at most {max_bytes} are read")
        return json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise ContractError(f"{path} is not there") from None
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not JSON: {error}"[:500]) from error


def read_plain(path: Path, *, max_bytes: int, links: bool = False) -> bytes:
    """The bytes of a file that a stranger may have put there: a pipe or a device is not waited for.

    Args:
        path: the file.
        max_bytes: a larger one is refused.
        links: whether a link is followed.

    Raises:
        FileNotFoundError: there is none.
        ContractError: it is no file, larger, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags if links else flags | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:  # a link (ELOOP), a socket (ENXIO)
        what = error.strerror if links or error.errno != errno.ELOOP else "it is a link"
        raise ContractError(f"{path} cannot be read: {what}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ContractError(f"{path} cannot be read: it is not a plain file")
    with os.fdopen(fd, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ContractError(
            f"{path} has more than {max_bytes} bytes, which are the most that are read"
        )
    return data


def check_plain(folder: Path) -> None:
    """Return if a folder holds folders and plain files alone.

    Whoever copies or reads what a task wrote does so with rights that the task may not have: a link
    would lead them to files of their own, a pipe would keep them waiting, a device never ends.

    Raises:
        ContractError: it holds a link, a pipe, a socket or a device.
    """
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ContractError(
                    f"{path} is a {_KINDS.get(stat.S_IFMT(mode), 'special file')}: a task's folder "
                    "holds plain files alone; write the file itself there"
                )


_KINDS = {
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of plain files; `target` may be there.

    Raises:
        ContractError: `source` holds a link, a pipe, a socket or a device.
    """
    check_plain(source)
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_tree(root: Path) -> str:
    """Hex SHA-256 over every file's relative path and content, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def staged_dir(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A fresh folder that becomes `target` when the block ends without an error.

    Args:
        target: the folder to appear, whole, in one rename.
        replace: put an older `target` away; without it an existing one is an error.

    Raises:
        FileExistsError: `target` exists and `replace` is false.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = staging_path(target)
    try:
        # Inside the try: a signal's exception may come at any line.
        staged.mkdir()
        yield staged
        for path in staged.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        for folder in (staged, *(p for p in staged.rglob("*") if p.is_dir())):
            fsync_dir(folder)
        if target.exists():
            if not replace:
                raise FileExistsError(f"{target} exists already")
            old = staging_path(target)
            target.rename(old)
            staged.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            staged.rename(target)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    fsync_dir(target.parent)


def sweep_staging(folder: Path, *, older_than_s: float = 3600.0) -> list[Path]:
    """Remove leftovers of killed writers directly below `folder`; return what went."""
    gone = []
    for path in folder.glob(f"{STAGING_PREFIX}*") if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime < older_than_s:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            gone.append(path)
    return gone


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file of lines, durable when this returns.

    It begins a line of its own where an earlier writer was killed in the middle of one, and is not
    lost where `rewrite_lines` replaces the file at this moment.

    Args:
        path: the file, made where there is none.
        line: without its line break.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _newest(path) as fd:
        size = os.fstat(fd).st_size
        torn = size and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, (b"\n" if torn else b"") + line + b"\n")
        os.fsync(fd)


def rewrite_lines(path: Path, keep: Callable[[list[bytes]], list[bytes]]) -> int:
    """Replace the lines of a file that `append_line` writes; a reader sees the old ones or the new.

    Args:
        path: the file; where there is none, nothing happens.
        keep: from all lines, with their line breaks, to those that stay.

    Returns:
        How many lines went.
    """
    if not path.is_file():
        return 0
    with _newest(path):
        with path.open("rb") as file:
            before = file.readlines()
        after = keep(before)
        if after != before:
            write_bytes(path, b"".join(after))
    return len(before) - len(after)


@contextlib.contextmanager
def _newest(path: Path) -> Iterator[int]:
    """A file opened for appending and locked, which is still the one of that name."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_of(path, fd):
            break
        os.close(fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_of(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(
    path: Path, *, timeout_s: float = 60.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Hold an advisory lock on `path`; the kernel releases it when the holder dies.

    Raises:
        LockHeld: another process held it for the whole of `timeout_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "unknown"
                    raise LockHeld(
                        f"{path} is held by {holder} for more than {timeout_s:g} s; "
                        "wait for it to end, or end it"
                    ) from None
                sleep(0.05)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
