"""One subcommand, and what all of them share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightshift.settings import Settings

if TYPE_CHECKING:
    from nightshift.pipeline import Pipeline


INSIDE = "_NIGHTSHIFT_INSIDE"
SETUP_S = "_NIGHTSHIFT_SETUP_S"
INTERNAL = (INSIDE, SETUP_S)
"""Variables by which the launcher speaks to itself inside `.venv`."""


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        name: what is typed.
        help: one line.
        run: does it; returns the exit code.
        arguments: declares its arguments.
        needs: environments it needs: `airflow`, `tasks`.
        passes_rest: whether unknown arguments are handed on (to pytest, to Airflow).
        help_of: for such a command: the parser that explains its arguments.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    needs: tuple[str, ...] = ()
    passes_rest: bool = False
    help_of: Callable[[list[str]], argparse.ArgumentParser] | None = None


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """`--pipeline NAME`."""
    parser.add_argument(
        "--pipeline",
        metavar="NAME",
        help="the pipeline (default: NIGHTSHIFT_PIPELINE, else jd)",
    )


def chosen(arguments: argparse.Namespace) -> Pipeline:
    """The pipeline that the arguments name, or the default one.

    Raises:
        ConfigurationError: there is no such pipeline, or its folder is broken.
    """
    from nightshift.pipeline import Pipeline

    return Pipeline.load(Settings.from_env(), arguments.pipeline)
