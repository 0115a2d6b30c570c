"""`python -m tasks.ctr.preprocess`: feature files in, dataset out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.features.specification import FeatureSpec
from nightshift.zones import OPENMLDB, Zone
from tasks.ctr.preprocess.pipeline import build_dataset
from tasks.ctr.preprocess.window import SPLITS, rule_of
from tasks.entry import TaskParser, leave, run_task


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of the task."""
    parser = TaskParser(prog="tasks.ctr.preprocess", description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="folder of feature files")
    parser.add_argument("--spec", type=Path, required=True, help="feature specification (YAML)")
    parser.add_argument("--ds", required=True, help="the run's date, YYYY-MM-DD")
    parser.add_argument("--train-days", type=int, required=True, help="days up to ds to use")
    parser.add_argument("--time-zone", default=OPENMLDB, help="whose days (default: %(default)s)")
    parser.add_argument("--label-settle-days", type=int, help="default: the specification's")
    parser.add_argument("--test-days", type=int, help="default: the specification's")
    parser.add_argument("--valid-days", type=int, help="default: the specification's")
    parser.add_argument(
        "--label-absent",
        type=int,
        choices=(0, 1),
        help="what a row without a label counts as once its day has settled (default: left out)",
    )
    parser.add_argument(
        "--refit",
        action="store_true",
        help="every judged day to train on, the held-out ones included; no other split",
    )
    parser.add_argument("--out", type=Path, required=True, help="dataset folder to write")
    parser.add_argument("--result", type=Path, required=True, help="result file (JSON) to write")
    return parser.parse_args(arguments)


def preprocess(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task; returns the result's figures."""
    spec = FeatureSpec.load(options.spec)
    days = {}
    for name, least in (("label_settle_days", 0), ("test_days", 1), ("valid_days", 1)):
        given = getattr(options, name)
        days[name] = getattr(spec, name) if given is None else given
        if days[name] < least:
            raise ConfigurationError(f"{name} is {days[name]}; give {least} or more")
    rule = rule_of(options.ds, options.train_days, **days, zone=Zone.of(options.time_zone))
    card = build_dataset(
        *(options.features, spec, rule, options.out),
        label_absent=options.label_absent,
        refit=options.refit,
    )
    return {
        "ds": card["ds"],
        "rows": card["rows"],
        "splits": {
            name: {key: card["splits"][name][key] for key in ("rows", "positives")}
            for name in SPLITS
        },
        "fields": len(card["fields"]),
        "table_rows": sum(card["table_sizes"]),
        "schema_hash": card["schema_hash"],
        "warnings": card["warnings"],
        "artefacts": {
            "dataset": str(options.out),
            "data_card": str(options.out / "data_card.json"),
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    # Its threads leave the interpreter to each other for short calls of Arrow and numpy.
    sys.setswitchinterval(0.0001)
    return run_task("preprocess", options.result, options.out, lambda: preprocess(options))


if __name__ == "__main__":
    leave(main())
