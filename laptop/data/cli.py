"""`./nightshift data`: make, lay out and list source tables."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.dataset as pads

from laptop.console import progress, say, seconds, table, warn
from laptop.data import jd, partitions
from laptop.data.generate import Spec, generate
from nightshift import layout
from nightshift.errors import NightshiftError
from nightshift.features.tables import SourceTables
from nightshift.settings import Settings

DEFAULT_DAYS = 45
"""Enough for the default training window and the windows' look back before it."""


def yesterday() -> dt.date:
    """The last whole day in UTC+8, in which partitions are dated."""
    return (dt.datetime.now(dt.timezone(dt.timedelta(hours=8))) - dt.timedelta(days=1)).date()


def main(argv: Sequence[str]) -> int:
    """Run one of the `data` commands."""
    parser = argparse.ArgumentParser(prog="nightshift data", description=__doc__)
    sub = parser.add_subparsers(dest="command", required=True)
    default = Spec()
    make = sub.add_parser("generate", help="make JD-shaped tables; days that are there stay")
    make.add_argument("--days", type=int, default=DEFAULT_DAYS, help="days with requests")
    make.add_argument("--rows-per-day", type=int, default=default.rows_per_day)
    make.add_argument("--seed", type=int, default=default.seed)
    make.add_argument("--end", metavar="YYYY-MM-DD", help="the last day (default: yesterday)")
    load = sub.add_parser("load", help="lay out the tutorial's parquet files")
    load.add_argument("--from", dest="folder", type=Path, required=True, metavar="FOLDER")
    for child in (make, load):
        child.add_argument("--replace", action="store_true", help="remove another source's tables")
    sub.add_parser("list", help="tell what is there")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    data = settings.data
    began = time.monotonic()
    try:
        if arguments.command == "generate":
            end = (
                yesterday()
                if arguments.end is None
                else layout.parse_date(arguments.end, what="--end")
            )
            spec = Spec(arguments.seed, arguments.rows_per_day)
            written = make_tables(data, spec, end, arguments.days, replace=arguments.replace)
            say(f"{written} partition(s) written in {seconds(time.monotonic() - began)}: {data}")
        elif arguments.command == "load":
            lay_out(data, arguments.folder, replace=arguments.replace)
        else:
            list_tables(settings.data, SourceTables.load(settings.tables))
    except NightshiftError as error:
        warn(f"nightshift: {error}")
        return 1
    return 0


def make_tables(data: Path, spec: Spec, end: dt.date, days: int, *, replace: bool = False) -> int:
    """`generate` with progress shown."""
    now = ""

    def said(text: str) -> None:
        nonlocal now
        now = text

    title = f"Tables of {days} days up to {end}, {spec.rows_per_day} requests a day"
    with progress(title, lambda: now):
        return generate(data, spec, end=end, days=days, replace=replace, said=said)


def lay_out(data: Path, folder: Path, *, replace: bool = False) -> None:
    """`jd.load` with progress shown."""
    now = ""

    def said(text: str) -> None:
        nonlocal now
        now = text

    with progress(f"Tables of {folder}", lambda: now):
        jd.load(data, folder, replace=replace, said=said)


def list_tables(data: Path, tables: SourceTables) -> None:
    """Print rows and days of each table."""
    rows = []
    for name in tables.names:
        folder = data / name
        if not folder.is_dir():
            rows.append((name, "-", "-", "-"))
            continue
        days = sorted(p.name[3:] for p in folder.glob("ds=*"))
        count = pads.dataset(folder, format="parquet").count_rows()
        span = f"{days[0]} to {days[-1]}" if days else "snapshot"
        rows.append((name, str(count), str(len(days) or "-"), span))
    say(f"{data}: {partitions.describe(partitions.source_of(data))}")
    say(table(("table", "rows", "days", "from to"), rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
