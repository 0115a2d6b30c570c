"""Paths in statements: only below the configured roots, with Hadoop's globs.

A path may carry ``file://``. Globs are ``*``, ``?``, ``[...]`` and ``{a,b}``; a folder means the
data files in it, hidden and underscored ones left out, as Spark reads folders.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from openmldb_sql.errors import SqlError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class PathError(SqlError):
    """A path outside the roots, or one that leads nowhere."""

    default_code = 2000


class Roots:
    """The folders that LOAD DATA may read and INTO OUTFILE may write."""

    def __init__(self, roots: Sequence[Path], private: Path | None = None) -> None:
        self.roots = [Path(os.path.realpath(root)) for root in roots]
        self.private = None if private is None else Path(os.path.realpath(private))

    def local(self, text: str) -> Path:
        """The absolute local path that ``text`` names; not yet checked against the roots.

        Raises:
            PathError: Another file system's path, or no path at all.
        """
        match = _SCHEME.match(text)
        if match is not None:
            if match.group(1).lower() != "file":
                raise PathError(
                    f"path {text!r}: this server reads local files only (file:// or no scheme)"
                )
            text = text[match.end() :]
        elif text.startswith("file:"):
            text = text[len("file:") :]
        if not text or "\0" in text:
            raise PathError("the path is empty or holds a zero byte")
        return Path(os.path.abspath(text))  # noqa: PTH100 - normalises without resolving links

    def check(self, path: Path) -> Path:
        """The path itself, links followed, if it lies below a root.

        Raises:
            PathError: It does not.
        """
        real = Path(os.path.realpath(path))
        if self.private is not None and real.is_relative_to(self.private):
            raise PathError(f"path {path} lies in the server's own data folder {self.private}")
        if not any(real.is_relative_to(root) for root in self.roots):
            roots = ", ".join(str(root) for root in self.roots)
            raise PathError(
                f"path {path} is outside the folders this server may use ({roots}): start it "
                f"with --root {real.parent} to allow it"
            )
        return real

    def target(self, text: str) -> Path:
        """Where INTO OUTFILE writes.

        Raises:
            PathError: Outside the roots, or a root itself.
        """
        real = self.check(self.local(text))
        if real in self.roots or real.parent == real:
            raise PathError(f"path {real} is one of the server's roots: name a folder below it")
        return real

    def sources(self, text: str) -> list[Path]:
        """The files that LOAD DATA reads, sorted by name.

        Raises:
            PathError: Outside the roots, or nothing is there.
        """
        local = str(self.local(text))
        found: list[Path] = []
        for pattern in _alternatives(local):
            if glob.has_magic(pattern):
                self.check(Path(_base(pattern)))
                matches = sorted(glob.glob(pattern))  # noqa: PTH207 - absolute patterns
            else:
                self.check(Path(pattern))
                matches = [pattern] if os.path.exists(pattern) else []  # noqa: PTH110
            for match in matches:
                found.extend(self._files(Path(match)))
        if not found:
            raise PathError(f"path does not exist: {text}")
        return list(dict.fromkeys(found))

    def _files(self, path: Path) -> list[Path]:
        real = self.check(path)
        if not real.is_dir():
            return [real]
        return [
            self.check(entry)
            for entry in sorted(real.iterdir())
            if entry.is_file() and not entry.name.startswith((".", "_"))
        ]


def _base(pattern: str) -> str:
    """The folder above a pattern's first magic part."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if glob.has_magic(part):
            break
        parts.append(part)
    return "/".join(parts) or "/"


def _alternatives(pattern: str) -> list[str]:
    """The patterns that ``{a,b}`` stands for, nested ones too.

    Raises:
        PathError: The braces stand for too many.
    """
    done: list[str] = []
    todo = [pattern]
    while todo:
        current = todo.pop(0)
        match = re.search(r"\{([^{}]*)\}", current)
        if match is None:
            done.append(current)
        else:
            todo.extend(
                current[: match.start()] + choice + current[match.end() :]
                for choice in match.group(1).split(",")
            )
        if len(todo) + len(done) > 10_000:
            raise PathError("the path's braces stand for more than 10000 patterns")
    return done
