"""Many folders that appear together: staged, fsynced, and moved into place by a journal.

The journal is the moment of decision. Before it is there nothing has changed; once it is there the
moves are made, and made again by whoever finds it, however often they are interrupted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nightshift import files

JOURNAL = ".publish.json"
LOCK = ".lock"


@contextlib.contextmanager
def held(data: Path) -> Iterator[None]:
    """Hold the data folder; what a killed holder had decided is finished first.

    Raises:
        LockHeld: another process lays out tables here.
    """
    data.mkdir(parents=True, exist_ok=True)
    with files.locked(data / LOCK, timeout_s=5.0):
        recover(data)
        yield


def recover(data: Path) -> bool:
    """Finish what a killed process had decided; whether there was anything."""
    journal = data / JOURNAL
    if not journal.exists():
        return False
    _apply(data, files.read_json(journal))
    return True


@contextlib.contextmanager
def staging(data: Path) -> Iterator[Path]:
    """A folder on the file system of `data` that nothing reads; it goes when the block ends."""
    folder = data / f"{files.STAGING_PREFIX}load-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        if not (data / JOURNAL).exists():
            shutil.rmtree(folder, ignore_errors=True)


def publish(
    data: Path,
    stage: Path,
    *,
    moves: Sequence[tuple[Path, Path]],
    remove: Sequence[Path] = (),
    contents: Mapping[Path, Any] | None = None,
) -> None:
    """Move staged folders to their places, all or none.

    Args:
        data: the folder that holds both.
        stage: from `staging`.
        moves: (staged folder, its place); what is at the place goes.
        remove: folders that go first.
        contents: JSON files to write with the rest.
    """
    for root, folders, names in os.walk(stage):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        for name in folders:
            files.fsync_dir(Path(root) / name)
    files.fsync_dir(stage)

    def inside(path: Path) -> str:
        return path.relative_to(data).as_posix()

    record = {
        "stage": inside(stage),
        "remove": [inside(path) for path in remove if path.exists()],
        "moves": [[inside(staged), inside(place)] for staged, place in moves],
        "contents": {inside(path): value for path, value in (contents or {}).items()},
    }
    files.write_json(data / JOURNAL, record)
    _apply(data, record)


def _apply(data: Path, record: Mapping[str, Any]) -> None:
    stage = data / record["stage"]
    old = stage / "old"
    old.mkdir(parents=True, exist_ok=True)
    for name in record["remove"]:
        _put_away(data / name, old / f"removed-{name.replace('/', '-')}")
    parents = set()
    for number, (staged, place) in enumerate(record["moves"]):
        source, target = data / staged, data / place
        if not source.exists():
            continue  # moved before
        _put_away(target, old / f"replaced-{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        parents.add(target.parent)
    for parent in sorted(parents):
        files.fsync_dir(parent)
    files.fsync_dir(data)
    for name, value in record["contents"].items():
        files.write_json(data / name, value)
    (data / JOURNAL).unlink(missing_ok=True)
    files.fsync_dir(data)
    shutil.rmtree(stage, ignore_errors=True)


def _put_away(path: Path, to: Path) -> None:
    if path.exists() and not to.exists():
        path.rename(to)
