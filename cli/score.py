"""`./nightshift score`: the list of users by items."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import say

if TYPE_CHECKING:
    from nightshift.pipeline import Pipeline


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--ds",
        metavar="YYYY-MM-DD",
        help="features at this day's end (default: the live release's)",
    )
    for name in ("users", "items"):
        parser.add_argument(
            f"--{name}",
            metavar="all|FILE",
            help=f"all {name} that the release knows, or a csv or parquet file "
            "(default: as pipeline.yaml says, else all)",
        )
    parser.add_argument(
        "--requests",
        metavar="FILE",
        help="score the request rows of a csv or parquet file, in its order, at the times that "
        "they name; in place of --users, --items and --top",
    )
    parser.add_argument("--top", type=int, metavar="N", help="only each user's N best items")
    parser.add_argument(
        "--format",
        choices=("parquet", "csv", "spreadsheet"),
        help="of the files; spreadsheet: csv with an apostrophe before what a spreadsheet would "
        "run as a formula",
    )
    parser.add_argument(
        "--replace", action="store_true", help="put an earlier list of the day away"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="gets a folder ds=YYYY-MM-DD"
    )


def run(pipeline: Pipeline, given: argparse.Namespace) -> int:
    """Write the list."""
    from nightshift.config.score import Score
    from nightshift.errors import ConfigurationError
    from nightshift.lists.job import Request
    from nightshift.lists.job import run as write

    if given.top is not None and given.top < 1:
        raise ConfigurationError(f"--top is {given.top}; give at least 1")
    if given.requests is not None:
        for name in ("users", "items", "top"):
            if getattr(given, name) is not None:
                raise ConfigurationError(f"--requests takes no --{name}: a row is a request")
    own = pipeline.config.score or Score()
    asked = Request(
        given.out.resolve(),
        given.ds,
        given.users or pipeline.list_file(own.users),
        given.items or pipeline.list_file(own.items),
        given.top or (None if given.requests else own.top),
        given.format or own.format,
        given.replace,
        given.requests,
    )
    made = write(pipeline, asked, tell=lambda text: say(f"  {text}"))
    if not made["written"]:
        say(
            f"{asked.out / ('ds=' + made['job']['ds'])} is there already: {made['rows']} rows by release {made['release']}"
        )
        return 0
    speed = made["scored_now"] / max(made["seconds"], 1e-9)
    say(
        f"{made['rows']} rows in {len(made['files'])} files by release {made['release']}: "
        f"{asked.out / ('ds=' + made['job']['ds'])} ({made['scored_now']} pairs scored in "
        f"{made['seconds']:.1f} s, {speed:.0f}/s)"
    )
    return 0
