"""Paths in statements: only below the configured roots, with Hadoop's globs.

A path may carry ``file://``. Another file system's URL (``s3a://``, ``hdfs://``) is for an offline
engine that reaches it: it is given on as it is. Globs are ``*``, ``?``, ``[...]`` and ``{a,b}``; which files of a
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


def is_remote(text: str) -> bool:
    """Whether a path is another file system's URL."""
    match = _SCHEME.match(text)
    return match is not None and match.group(1).lower() != "file"


class Roots:
    """The folders that LOAD DATA may read and INTO OUTFILE may write.

    Args:
        roots: Folders of this machine, and URLs of other file systems.
        private: The server's own data folder, which no statement may name.

    Raises:
        PathError: A URL that holds a pattern or ``..``.
    """

    def __init__(self, roots: Sequence[Path | str], private: Path | None = None) -> None:
        self.remote = [_plain_url(str(root)) for root in roots if is_remote(str(root))]
        self.roots = [Path(os.path.realpath(root)) for root in roots if not is_remote(str(root))]
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
                    f"path {text!r}: this server itself reads local files only (file:// or no "
                    f"scheme); offline jobs of the Spark engine read and write other file systems"
                )
            text = text[match.end() :]
        elif text.startswith("file:"):
            text = text[len("file:") :]
        if not text or "\0" in text:
            raise PathError("the path is empty or holds a zero byte")
        return Path(os.path.abspath(text))  # noqa: PTH100 - normalises without resolving links

    def url(self, text: str) -> str:
        """Another file system's URL as it is, patterns and all, if it lies below a root.

        Raises:
            PathError: It does not, or it holds ``..``.
        """
        found = _parts(text)
        for root in self.remote:
            scheme, authority, path = _parts(root)
            if found[:2] == (scheme, authority) and found[2][: len(path)] == path:
                return text
        raise PathError(
            f"path {text!r} is outside the other file systems that this server may use "
            f"({', '.join(self.remote) or 'none'}): start it with --root {found[0]}://{found[1]}/... "
            f"or name them in spark.kerberos.access.hadoopFileSystems"
        )

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

    def within(self, text: str) -> None:
        """Look whether a path or pattern lies below the roots; nothing need be there.

        Raises:
            PathError: It does not, or the pattern is wrong.
        """
        if is_remote(text):
            self.url(text)
            return
        try:
            for pattern in names.alternatives(str(self.local(text))):
                plain = _base(pattern) if names.has_pattern(pattern) else names.plain(pattern)
                self.check(Path(plain))
        except ValueError as error:
            raise PathError(str(error)) from error

    def _files(self, path: Path) -> list[Path]:
        real = self.check(path)
        if not real.is_dir():
            return [real] if names.is_data_name(path.name) else []
        # Empty files stay: a CSV of 0 bytes is a table of no rows, not a missing path.
        listing = list_files(real)
        return [self.check(file) for file in sorted((*listing.files, *listing.empty))]


def _parts(url: str) -> tuple[str, str, list[str]]:
    """Scheme, authority and the path's names of a URL; ``..`` would lead out of a root.

    Raises:
        PathError: A name is ``..`` or the URL holds a zero byte.
    """
    match = _SCHEME.match(url)
    assert match is not None
    authority, _, path = url[match.end() :].partition("/")
    names_ = [name for name in path.split("/") if name not in ("", ".")]
    # A brace may hold slashes, and so hide a name: {..,a}/b.
    if "\0" in url or any(part == ".." for part in re.split(r"[/{},]", path)):
        raise PathError(f"path {url!r} holds '..' or a zero byte: write it out")
    return match.group(1).lower(), authority.lower(), names_


def _plain_url(root: str) -> str:
    if any(names.has_pattern(part) for part in _parts(root)[2]):
        raise PathError(f"root {root!r} holds a pattern: name a folder")
    return root


def _base(pattern: str) -> str:
    """The folder above a pattern's first magic part."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if names.has_pattern(part):
            break
        parts.append(names.plain(part))
    return "/".join(parts) or "/"
