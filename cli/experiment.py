"""`./nightshift experiment`: run, show, list and apply experiments."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.command import add_pipeline, chosen
from cli.console import progress, say, table
from nightshift.errors import ConfigurationError

if TYPE_CHECKING:
    # The launcher declares the arguments with whatever Python there is.
    from nightshift.experiment.config import ExperimentConfig

_MOST_NAME = 60
"""Characters of a configuration's name that a table shows."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `experiment` and its parts."""
    sub = parser.add_subparsers(dest="part", required=True, metavar="PART")
    run = sub.add_parser("run", help="train what is not trained yet, and report")
    run.add_argument("name", metavar="NAME", help="the experiment; the same name goes on with it")
    run.add_argument("--file", type=Path, help="YAML file of the experiment (docs/experiments.md)")
    for word, text in (
        ("vary", "values tried one at a time, such as --vary learning_rate='[0.001, 0.01]'"),
        ("grid", "values of which every combination is tried"),
    ):
        run.add_argument(
            f"--{word}", action="append", default=[], metavar="KEY=[VALUE, ...]", help=text
        )
    run.add_argument(
        "--base", action="append", default=[], metavar="KEY=VALUE",
        help="a hyper-parameter of every configuration",
    )  # fmt: skip
    run.add_argument(
        "--leave-out", action="append", default=[], metavar="FEATURE[,FEATURE]",
        help="features that are left out together",
    )  # fmt: skip
    run.add_argument("--seeds", metavar="N[,N]", help="seeds of each configuration (default: 1)")
    run.add_argument(
        "--nights", metavar="N|DATE[,DATE]", help="so many of the newest nights, or their dates"
    )
    run.add_argument("--step-days", type=int, help="days between two nights (default: 1)")
    run.add_argument("--last", metavar="YYYY-MM-DD", help="the newest night (default: by the data)")
    run.add_argument("--train-days", type=int, help="default: the pipeline's")
    run.add_argument("--measure", choices=("auc", "logloss"), help="what chooses (default: auc)")
    run.add_argument(
        "--features", type=Path, metavar="FOLDER",
        help="an export that is there, such as a run's features/; else OpenMLDB is asked for one",
    )  # fmt: skip
    run.add_argument("--jobs", type=int, help="trainings at a time (default: the machine's cores)")
    run.add_argument("--threads", type=int, help="threads of each training (default: 1)")
    show = sub.add_parser("show", help="the table of an experiment")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--json", action="store_true", help="all figures, as JSON")
    listed = sub.add_parser("list", help="the experiments of a pipeline")
    use = sub.add_parser("apply", help="write a configuration into the pipeline's files")
    use.add_argument("name", metavar="NAME")
    use.add_argument(
        "configuration", nargs="?", metavar="CONFIGURATION",
        help="its id, or its whole name (default: the best one)",
    )  # fmt: skip
    for child in (run, show, listed, use):
        add_pipeline(child)


def run(options: argparse.Namespace) -> int:
    """Do one of the parts."""
    return {"run": _run, "show": _show, "list": _list, "apply": _apply}[options.part](options)


def config_of(options: argparse.Namespace) -> ExperimentConfig:
    """The experiment of a file, changed by the command's options.

    Raises:
        ConfigurationError: the file or an option is wrong.
    """
    from nightshift.experiment import job

    content: dict[str, Any] = {}
    for word in ("vary", "grid", "base"):
        given = dict(_assigned(text, word) for text in getattr(options, word))
        for key, value in given.items():
            if word != "base" and not isinstance(value, list):
                raise ConfigurationError(f"--{word} {key}: give a list, such as '[0.001, 0.01]'")
        if given:
            content[word] = given
    if options.leave_out:
        content["leave_out"] = [text.split(",") for text in options.leave_out]
    if options.seeds is not None:
        content["seeds"] = [_whole(text, "--seeds") for text in options.seeds.split(",")]
    if options.nights is not None:
        text = options.nights
        content["dates"] = int(text) if text.isdecimal() else text.split(",")
    for name in ("step_days", "train_days", "measure"):
        if getattr(options, name) is not None:
            content[name] = getattr(options, name)
    return job.configured(content, options.file)


def _assigned(text: str, word: str) -> tuple[str, Any]:
    import yaml

    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ConfigurationError(f"--{word} {text}: write it as KEY=VALUE")
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"--{word} {text}: the value is not YAML: {error}") from None
    return key, found


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{option}: {text!r} is not a whole number") from None


def _run(options: argparse.Namespace) -> int:
    from nightshift_provider.runners.experiments import starter

    from nightshift.experiment import job

    pipeline = chosen(options)
    asked = job.Request(
        options.name,
        config_of(options),
        options.last,
        options.features,
        options.jobs,
        options.threads,
    )
    found = job.run(pipeline, asked, starter(pipeline.settings), say, progress)
    code = _print(found)
    say(f"Report: {found['report']}")
    if found["again"]:
        say(f"{found['again']} training(s) failed in passing; run the same command again")
    return 1 if found["again"] else code


def _show(options: argparse.Namespace) -> int:
    import json

    from nightshift.experiment import running

    found = running.summary(chosen(options), options.name)
    if options.json:
        say(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    return _print(found)


def _print(found: Mapping[str, Any]) -> int:
    from nightshift.experiment import page
    from nightshift.experiment.results import Row, Spread

    shown = (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12)
    lines = []
    for raw in found["rows"]:
        spreads = {
            name: Spread(**raw[name]) if raw[name] else None
            for name in ("auc", "logloss", "difference")
        }
        values = {k: v for k, v in raw.items() if k not in ("values", "left_out")}
        row = Row(**{**values, **spreads})
        texts = page.cells(row)
        name = ("* " if raw["id"] == found["best"] else "  ") + page.cut(texts[0], _MOST_NAME)
        lines.append((raw["id"], name, *(texts[at] for at in shown[1:])))
    say(table(("id", "  configuration", *(page.HEADS[at] for at in shown[1:])), lines))
    say(
        f"* best by the validation {found['measure']}; differences are to the first row. "
        f"{page.common(found)}".rstrip()
    )
    return 0


def _list(options: argparse.Namespace) -> int:
    from nightshift.experiment import page, running

    pipeline = chosen(options)
    rows: list[Sequence[str]] = []
    for name in running.names(pipeline):
        try:
            found = running.summary(pipeline, name)
        except ConfigurationError:
            rows.append((name, "-", "-", "no result yet"))
            continue
        best = next((row for row in found["rows"] if row["id"] == found["best"]), None)
        text = "-" if best is None or not best["auc"] else f"{best['auc']['mean']:.4f}"
        name_of_best = page.cut(best["name"], _MOST_NAME) if best else "-"
        rows.append((name, str(len(found["rows"])), text, name_of_best))
    say(table(("experiment", "configurations", "test AUC", "best"), rows) if rows else (
        f"{pipeline.name} has no experiment; ./nightshift experiment run NAME makes one"))  # fmt: skip
    return 0


def _apply(options: argparse.Namespace) -> int:
    from nightshift.check import check_pipeline
    from nightshift.experiment import applying, running

    pipeline = chosen(options)
    found = running.summary(pipeline, options.name)
    wanted = options.configuration or found["best"]
    rows = [row for row in found["rows"] if wanted in (row["id"], row["name"])]
    if not rows:
        known = ", ".join(row["id"] for row in found["rows"])
        raise ConfigurationError(f"{options.name} has no configuration {wanted!r}; it has {known}")
    row = rows[0]
    gap = row["difference"]
    if gap and gap["low"] is not None and gap["low"] <= 0:
        say(
            f"Note: the difference to the first row, {gap['mean']:+.4f}, may be chance: 95 % "
            f"interval {gap['low']:+.4f} to {gap['high']:+.4f}"
        )

    def errors() -> list[str]:
        found = check_pipeline(pipeline.settings, pipeline.name)
        return [str(problem) for problem in found if problem.level == "error"]

    change = applying.apply(pipeline, row["values"], row["left_out"], errors=errors)
    say(change or "The files say so already.")
    left = errors()
    for problem in left:
        say(f"error  {problem}")
    if not left:
        say(f"{row['name']}: the next night of {pipeline.name} trains it")
    return 1 if left else 0
