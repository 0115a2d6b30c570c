"""The data files of a folder or of a path pattern: Spark's rule, for every reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openmldb_files import names
from openmldb_files.errors import FileError


@dataclass(frozen=True)
class PassedOver:
    """A file or folder that is not data."""

    path: Path
    why: str


@dataclass(frozen=True)
class Listing:
    """What lies somewhere.

    Attributes:
        files: the data files in the order of their paths.
        empty: files of 0 bytes, which Spark passes over, too.
        passed_over: everything else that is not data.
    """

    files: tuple[Path, ...] = ()
    empty: tuple[Path, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


def data_files(path: str | Path, *, suffix: str = "") -> list[Path]:
    """The data files of a folder (or the file itself), empty files left out.

    Args:
        path: a folder or a file; one that does not exist has none.
        suffix: only names that end so, as under a pattern `*.parquet`.
    """
    return list(list_files(path, suffix=suffix).files)


def list_files(path: str | Path, *, suffix: str = "") -> Listing:
    """What Spark makes of a folder: its files, and those below partition folders (`k=v`).

    Hidden names count at no level; other folders inside are not entered.

    Raises:
        FileError: data files lie beside partition folders that hold some, too.
    """
    path = Path(path)
    if path.is_file():
        return _sort([path], suffix)
    if not path.is_dir():
        return Listing()
    here: list[Path] = []
    partitions: list[Path] = []
    folders: list[PassedOver] = []
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            if names.is_data_name(entry.name) and names.is_partition_name(entry.name):
                partitions.append(entry)
            else:
                folders.append(PassedOver(entry, "a folder that is not a partition"))
        else:
            here.append(entry)
    own = _sort(here, suffix)
    below = [list_files(folder, suffix=suffix) for folder in partitions]
    inner = tuple(file for one in below for file in one.files)
    if own.files and inner:
        raise FileError(
            path,
            f"data files ({own.files[0].name}) lie beside partition folders "
            f"({inner[0].parent.name}), which Spark reads as one or the other",
            hint="move one of them away",
        )
    return Listing(
        own.files + inner,
        own.empty + tuple(file for one in below for file in one.empty),
        (*own.passed_over, *folders, *(item for one in below for item in one.passed_over)),
    )


def _sort(paths: Sequence[Path], suffix: str) -> Listing:
    files: list[Path] = []
    empty: list[Path] = []
    passed: list[PassedOver] = []
    for path in paths:
        if not names.is_data_name(path.name):
            passed.append(PassedOver(path, "a hidden or unfinished file"))
        elif not path.name.endswith(suffix):
            passed.append(PassedOver(path, f"its name does not end in {suffix}"))
        elif path.stat().st_size == 0:
            empty.append(path)
        else:
            files.append(path)
    return Listing(tuple(files), tuple(empty), tuple(passed))


def expand(pattern: str) -> list[Path]:
    """The files and folders that an absolute path pattern (Hadoop's syntax, no braces) means.

    Hidden names match no wildcard; a part without a wildcard is taken as it is. The result is
    sorted; nothing is followed that the pattern does not name.

    Raises:
        ValueError: the pattern is wrong.
    """
    parts = [part for part in pattern.split("/") if part]
    found = [Path("/")]
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if not names.has_pattern(part):
            found = [base / names.plain(part) for base in found]
            found = [path for path in found if path.exists()]
            continue
        matcher = names.component(part)
        following: list[Path] = []
        for base in found:
            try:
                entries = sorted(base.iterdir())
            except OSError:
                continue
            following.extend(
                entry
                for entry in entries
                if matcher.fullmatch(entry.name)
                and names.is_data_name(entry.name)
                and (last or entry.is_dir())
            )
        found = following
    return found
