"""`python -m nightshift.live.compact`: spools to parquet by hour, merged and bounded.

It may be killed at any moment and run again: a part has the name of its spool, which goes after
it; a merged file names the parts it holds, and readers skip those.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import files
from nightshift.config.live import LogConfig
from nightshift.errors import LockHeld, NightshiftError
from nightshift.live import spool
from nightshift.live.log import SOURCES, RequestLog, sources, tables_of, unite
from nightshift.pipeline import Pipeline, Pipelines
from nightshift.settings import Settings

LOCK = ".compact.lock"
LATE = dt.timedelta(hours=1)
"""How long after its end an hour is merged."""


def compact(log: RequestLog, config: LogConfig | None, *, now: dt.datetime | None = None) -> None:
    """Bring a log in order: spools to parts, parts of past hours to one, old hours away.

    Args:
        log: the log.
        config: its bounds; None removes no hour.
        now: the moment that counts as now.

    Raises:
        LockHeld: another process is at it.
    """
    if not log.folder.is_dir():
        return
    now = now or dt.datetime.now(dt.timezone.utc)
    with files.locked(log.folder / LOCK, timeout_s=10.0):
        files.sweep_staging(log.folder)
        _spools(log)
        _merge(log, now)
        if config is not None:
            _bound(log, config, now)


def _spools(log: RequestLog) -> None:
    folder = log.folder / "spool"
    spool.adopt(folder)
    for path in sorted(folder.glob(f"*{spool.DONE}")):
        for hour, table in tables_of(path).items():
            target = log.folder / f"hour={hour:%Y-%m-%dT%H}" / f"{path.stem}.parquet"
            held = {name for part in target.parent.glob("merged-*") for name in sources(part)}
            if target.name not in held:
                write_part(target, table)
        path.unlink()


def _merge(log: RequestLog, now: dt.datetime) -> None:
    for hour in log.hours():
        folder = log.folder / f"hour={hour:%Y-%m-%dT%H}"
        files.sweep_staging(folder)
        if hour + dt.timedelta(hours=1) + LATE > now:
            continue
        parts = log.parts(hour)
        if len(parts) > 1:
            held = sorted({name for part in parts for name in (part.name, *sources(part))})
            table = unite([pq.ParquetFile(part).read() for part in parts])
            digest = hashlib.sha256("\n".join(held).encode()).hexdigest()[:16]
            write_part(folder / f"merged-{digest}.parquet", table, held)
        kept = set(log.parts(hour))
        for path in folder.glob("[!.]*.parquet"):
            if path not in kept:
                path.unlink()


def write_part(target: Path, table: pa.Table, held: Sequence[str] = ()) -> None:
    """Write a part of an hour, whole or not at all.

    Args:
        target: the file.
        table: its rows.
        held: names of other parts whose rows these are.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    meta = {SOURCES: json.dumps(list(held)).encode()} if held else None
    buffer = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(meta), buffer, compression="zstd")
    files.write_bytes(target, buffer.getvalue().to_pybytes())


def _bound(log: RequestLog, config: LogConfig, now: dt.datetime) -> None:
    """Remove the oldest hours until the rest is young and small enough."""
    hours = log.hours()
    left = log.bytes_on_disk()
    oldest = now - dt.timedelta(days=config.keep_days)
    for hour in hours:
        if hour + dt.timedelta(hours=1) > oldest and left <= config.max_mb * 1_000_000:
            return
        folder = log.folder / f"hour={hour:%Y-%m-%dT%H}"
        left -= sum(path.stat().st_size for path in folder.glob("*"))
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Compact the logs of all pipelines; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--background", action="store_true", help="give way to everything else")
    if parser.parse_args().background:
        os.nice(10)
    wrong = [_one(pipeline) for pipeline in Pipelines(Settings.from_env())]
    return int(any(wrong))


def _one(pipeline: Pipeline) -> bool:
    """Whether something was wrong."""
    try:
        compact(RequestLog.of(pipeline), pipeline.config.live.log)
    except LockHeld:
        return False  # it is being done
    except (NightshiftError, OSError, pa.ArrowException) as error:
        print(f"{pipeline.name}: {error}", file=sys.stderr)  # noqa: T201
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
