"""The command line of tasks.ctr.train."""

from __future__ import annotations

import argparse
from pathlib import Path

from tasks.entry import TaskParser


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of the task."""
    parser = TaskParser(prog="tasks.ctr.train", description="dataset in, model out")
    parser.add_argument(
        "--dataset", type=Path, required=True, help="folder of tasks.ctr.preprocess"
    )
    parser.add_argument("--spec", type=Path, required=True, help="feature specification (YAML)")
    recipe = parser.add_mutually_exclusive_group(required=True)
    recipe.add_argument("--hyperparameters", type=Path, help="YAML file")
    recipe.add_argument(
        "--refit-of",
        type=Path,
        help="a judged model's folder: train the same once more, on a dataset of preprocess --refit",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one of them"
    )
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--warm-start", type=Path, help="earlier model folder to begin from")
    parser.add_argument(
        "--test-scores", type=Path, help="also write labels and scores of the test rows (.npz)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--result", type=Path, required=True, help="result file (JSON) to write")
    return parser.parse_args(arguments)
