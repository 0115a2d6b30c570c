"""Paths in statements: only below the configured roots, with Hadoop's globs.

A path may carry ``file://``. Globs are ``*``, ``?``, ``[...]`` and ``{a,b}``; which files of a
folder or a pattern are data is Spark's rule, kept in ``openmldb_files``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from openmldb_files import expand, list_files, names
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
            PathError: Outside the roots, a wrong pattern, or no data file is there.
        """
        local = str(self.local(text))
        found: list[Path] = []
        try:
            for pattern in names.alternatives(local):
                if names.has_pattern(pattern):
                    self.check(Path(_base(pattern)))
                    matches = expand(pattern)
                else:
                    plain = Path(names.plain(pattern))
                    self.check(plain)
                    matches = [plain] if plain.exists() else []
                for match in matches:
                    found.extend(self._files(match))
        except ValueError as error:
            raise PathError(str(error)) from error
        if not found:
            raise PathError(f"path does not exist: {text}")
        return list(dict.fromkeys(found))

    def _files(self, path: Path) -> list[Path]:
        real = self.check(path)
        if not real.is_dir():
            return [real] if names.is_data_name(path.name) else []
        # Empty files stay: a CSV of 0 bytes is a table of no rows, not a missing path.
        listing = list_files(real)
        return [self.check(file) for file in sorted((*listing.files, *listing.empty))]


def _base(pattern: str) -> str:
    """The folder above a pattern's first magic part."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if names.has_pattern(part):
            break
        parts.append(names.plain(part))
    return "/".join(parts) or "/"
