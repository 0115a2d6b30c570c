"""`python -m tasks.recommend.train`: interactions in, the retrieval of a release out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from nightshift import layout
from nightshift.config.reading import parse
from nightshift.config.recommend import Recommend
from nightshift.errors import ConfigurationError
from nightshift.features.tables import SourceTables
from nightshift.recommend import fitting, interactions, listed
from tasks.entry import TaskParser, log, run_task


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of the task."""
    parser = TaskParser(prog="tasks.recommend.train", description=__doc__)
    parser.add_argument(
        "--options", required=True, help="the part `recommend` of pipeline.yaml, as JSON"
    )
    parser.add_argument("--tables", type=Path, required=True, help="its tables.yaml")
    parser.add_argument("--data", type=Path, required=True, help="root of the source tables")
    parser.add_argument("--ds", required=True, help="last day, YYYY-MM-DD")
    parser.add_argument("--last-ms", type=int, required=True, help="its last millisecond")
    parser.add_argument("--days", type=int, required=True, help="days of interactions")
    parser.add_argument("--test-days", type=int, required=True, help="held-out days")
    parser.add_argument("--list", type=Path, help="what the query of recommend.sql_list exported")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--result", type=Path, required=True, help="result file (JSON) to write")
    return parser.parse_args(arguments)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task; returns the result's figures."""
    config, problems = parse(Recommend, json.loads(options.options), source="--options")
    if config is None:
        raise ConfigurationError("\n".join(map(str, problems)))
    last = layout.parse_date(options.ds)
    tables = SourceTables.load(options.tables)
    found = interactions.read(options.data, tables, config, last=last, days=options.days)
    log(f"{len(found.day)} interactions, {len(found.users)} users, {len(found.items)} items")
    chosen = None
    if config.sql_list is not None:
        if options.list is None:
            raise ConfigurationError("recommend.sql_list is given, and no --list")
        chosen, dropped = listed.read(
            options.list, found.users, found.items[interactions.ID].combine_chunks()
        )
        left_out = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in dropped.items())
        log(f"the list has {len(chosen.values)} rows; left out: {left_out}")
    card = fitting.build(
        found,
        config,
        options.out,
        last=last,
        last_ms=options.last_ms,
        test_days=options.test_days,
        request={"id": tables.request_id, "time": tables.request_time},
        listed=chosen,
    )
    held_out = card["held_out"]
    if held_out["users"]:
        log(
            f"held-out days: recall at 100 {held_out['recall']['100']:.4f}, popular items "
            f"{held_out['by_retriever']['popular']['100']:.4f} ({held_out['users']} users)"
        )
    return {
        "users": card["users"],
        "items": card["items"],
        "interactions": card["interactions"],
        "held_out": held_out,
        "artefacts": {"recommend": str(options.out)},
    }


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    return run_task("train", options.result, options.out, lambda: train(options))


if __name__ == "__main__":
    sys.exit(main())
