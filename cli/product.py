"""Commands of both profiles: pipelines, nights, releases, predictions."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import completion, live, watch
from cli.command import Command, add_pipeline, chosen
from cli.console import say, seconds, table
from nightshift import settings as settings_module
from nightshift.errors import ConfigurationError
from nightshift.settings import PROJECT, Settings

if TYPE_CHECKING:
    from nightshift.pipeline import Pipeline

_NEEDS = ("airflow",)

# Pipelines


def _new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the pipeline: a-z, digits and _")
    parser.add_argument(
        "--from",
        dest="folder",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="a folder of parquet files for each table, with or without ds= partitions",
    )
    parser.add_argument("--requests", metavar="TABLE", help="the table whose rows are requests")
    parser.add_argument("--labels", metavar="TABLE", help="the table that gives the label")
    parser.add_argument(
        "--label", metavar="COLUMN", help="its column (default: a row of it is a positive)"
    )
    parser.add_argument(
        "--time-zone",
        metavar="ZONE",
        default="+08:00",
        help="whose days partitions are: UTC, +08:00, Europe/Berlin (default: +08:00, OpenMLDB's)",
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing; take what is guessed")


def _new(arguments: argparse.Namespace) -> int:
    from cli.scaffold import run

    return run(Settings.from_env(), arguments)


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="PIPELINE", help="only this one (default: all)")
    parser.add_argument("--json", action="store_true", help="problems as JSON")


def _check(arguments: argparse.Namespace) -> int:
    from nightshift.check import check_pipeline
    from nightshift.pipeline import names, unread

    settings = Settings.from_env()
    all_names = [*names(settings), *unread(settings)]
    chosen_names = all_names if arguments.name is None else [arguments.name]
    if not chosen_names:
        raise ConfigurationError(f"{settings.pipelines} holds no pipeline; ./nightshift new NAME")
    found = {name: check_pipeline(settings, name) for name in chosen_names}
    wrong = any(p.level == "error" for problems in found.values() for p in problems)
    if arguments.json:
        listed = [
            {"pipeline": name, **problem.to_json()}
            for name, problems in found.items()
            for problem in problems
        ]
        say(json.dumps(listed, indent=2, ensure_ascii=False))
        return int(wrong)
    for name, problems in found.items():
        errors = sum(p.level == "error" for p in problems)
        say(f"{name}: " + (f"{errors} error(s), {len(problems) - errors} warning(s)"
                           if problems else "no problem found"))  # fmt: skip
        for problem in problems:
            place = f"{problem.file}: {problem.key}" if problem.key else problem.file
            say(f"  {problem.level}  {place}\n      {problem.message}")
            if problem.fix:
                say(f"      fix: {problem.fix}")
    return int(wrong)


def _pipelines_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _pipelines(arguments: argparse.Namespace) -> int:
    from nightshift.pipeline import names

    settings = Settings.from_env()
    listed = [_pipeline_row(settings, name) for name in names(settings)]
    if arguments.json:
        say(json.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    if not listed:
        say(f"{settings.pipelines} holds no pipeline; ./nightshift new NAME makes one")
        return 0
    rows = [
        tuple(str(row[key] or "-") for key in ("name", "family", "schedule", "live", "last_night"))
        for row in listed
    ]
    say(table(("pipeline", "family", "schedule (else UTC)", "live release", "last night"), rows))
    return 0


def _pipeline_row(settings: Settings, name: str) -> dict[str, str | None]:
    """What is known of one pipeline; a broken folder is a row that says so."""
    from nightshift.pipeline import Pipeline
    from nightshift.registry import history

    row: dict[str, str | None] = dict.fromkeys(
        ("family", "schedule", "live", "last_night", "problem")
    )
    row["name"] = name
    try:
        pipeline = Pipeline.load(settings, name)
        schedule = pipeline.config.schedule
        if pipeline.config.time_zone is not None and schedule != "off":
            schedule += f" {pipeline.config.time_zone}"
        row |= {
            "family": pipeline.family,
            "schedule": schedule if settings.schedules == "on" else f"{schedule} (schedules off)",
        }
        releases = history.rows(pipeline.releases)
        live = next((r for r in releases if r.state == "live"), None)
        if live is not None:
            row["live"] = f"{live.release_id} {live.why}"
        if releases:
            last = max(releases, key=lambda r: r.created_at or "")
            row["last_night"] = f"{last.ds} {last.state}: {last.why}"
    except ConfigurationError as error:
        row["problem"] = str(error)
        row["last_night"] = f"broken: {error}"
    return row


# Nights


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("--ds", required=True, metavar="YYYY-MM-DD", help="the night's date")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PARAM=VALUE",
        help="a Param of the DAG: epochs, train_days, label_settle_days, valid_days, test_days, "
        "allow_missing, warm_start, promote (newer|force), approve, "
        "hyperparameters ('{\"learning_rate\": 0.002}')",
    )


def _run(arguments: argparse.Namespace) -> int:
    from cli import night
    from cli.report import report
    from nightshift import layout
    from nightshift.scaffold.write import ensure_dag_file

    pipeline = chosen(arguments)
    layout.parse_date(arguments.ds, what="--ds")
    ensure_dag_file(pipeline.settings, pipeline.name)
    conf = {"ds": arguments.ds} | dict(_assignment(text) for text in arguments.set)
    _check_overrides(pipeline, conf)
    dag_id = night.retrain(pipeline.name)
    outcome = night.run(pipeline.settings, dag_id, f"hand__{arguments.ds}", conf)
    if outcome.state == "success":
        report(pipeline, arguments.ds, outcome.run_id)
    say(f"{outcome.state} after {seconds(outcome.seconds)}")
    return 0 if outcome.state == "success" else 1


def _check_overrides(pipeline: Pipeline, conf: dict[str, object]) -> None:
    """Say before the night what the run's first task would refuse."""
    from nightshift import commands

    given: dict[str, Any] = {
        name: conf[name]
        for name in ("epochs", "label_settle_days", "test_days", "valid_days", "train_days")
        if isinstance(conf.get(name), int)
    }
    train_days = given.pop("train_days", pipeline.config.train_days)
    hyperparameters = conf.get("hyperparameters")
    if not isinstance(hyperparameters, dict):
        hyperparameters = {}  # another type is the Param's own refusal
    own = commands.Overrides(**given, hyperparameters=hyperparameters)
    commands.check_overrides(pipeline, train_days, own)


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("release", nargs="?", help="its id (default: the one before the live one)")


def _rollback(arguments: argparse.Namespace) -> int:
    from cli import night

    pipeline = chosen(arguments)
    conf = {"release_id": arguments.release} if arguments.release else {}
    outcome = night.run(pipeline.settings, night.rollback(pipeline.name), "hand", conf)
    say(f"{outcome.state} after {seconds(outcome.seconds)}")
    return 0 if outcome.state == "success" else 1


def _assignment(text: str) -> tuple[str, object]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigurationError(f"--set {text}: write it as PARAM=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a bare word is a string


def _releases_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")


def _releases(arguments: argparse.Namespace) -> int:
    from nightshift.registry import history

    found = history.rows(chosen(arguments).releases)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    values = [asdict(row) for row in found]
    say(json.dumps(values, indent=2) if arguments.json else history.table(found, width=width))
    return 0


# Serving


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--request", metavar="FILE", help="JSON; - reads it here")
    either.add_argument("--example", action="store_true", help="print a request that works")


def _predict(arguments: argparse.Namespace) -> int:
    from cli import predict

    pipeline = chosen(arguments)
    if arguments.example:
        say(json.dumps(predict.example(pipeline), ensure_ascii=False))
        return 0
    raw = sys.stdin.buffer.read() if arguments.request == "-" else _read(arguments.request)
    try:
        json.loads(raw)
    except ValueError as error:
        raise ConfigurationError(f"{arguments.request} is not JSON: {error}") from error
    say(json.dumps(predict.post(pipeline, raw), indent=2, ensure_ascii=False))
    return 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    from cli import score

    add_pipeline(parser)
    score.arguments(parser)


def _score(arguments: argparse.Namespace) -> int:
    from cli import score

    return score.run(chosen(arguments), arguments)


# Experiments


def _experiment_arguments(parser: argparse.ArgumentParser) -> None:
    from cli.experiment import arguments

    arguments(parser)


def _experiment(arguments: argparse.Namespace) -> int:
    from cli.experiment import run

    return run(arguments)


# SQL and settings


def _sql_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("statement", help="one statement; - reads it here")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument(
        "--mode", choices=("online", "offline"), default="online", help="default: online"
    )


def _sql(arguments: argparse.Namespace) -> int:
    from cli import sql

    text = arguments.statement
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"standard input is not UTF-8: {error}") from error
    say(sql.run(chosen(arguments), text, arguments.mode, arguments.format))
    return 0


def _settings(arguments: argparse.Namespace) -> int:
    current = Settings.from_env()
    rows = []
    for (variable, _, doc), item in zip(settings_module.describe(), fields(Settings), strict=True):
        value = str(getattr(current, item.name)).replace(str(PROJECT), "<project>")
        mark = "" if os.environ.get(variable, "") == "" else "set: "
        rows.append((variable, mark + value, doc))
    say(table(("variable", "value", "meaning"), rows))
    return 0


COMMANDS: tuple[Command, ...] = (
    Command("new", "make a pipeline from parquet files", _new, _new_arguments, _NEEDS),
    Command("check", "find what is wrong before a night does", _check, _check_arguments, _NEEDS),
    Command("pipelines", "list the pipelines", _pipelines, _pipelines_arguments, _NEEDS),
    Command(
        "run", "run one night on what `up` started, and watch it", _run, _run_arguments, _NEEDS
    ),
    Command(
        "experiment",
        "compare ways to train on past nights: experiment run | show | list | apply",
        _experiment,
        _experiment_arguments,
        ("airflow", "tasks"),
    ),
    Command("releases", "list what became of every night", _releases, _releases_arguments, _NEEDS),
    Command(
        "rollback",
        "put an earlier release back into service",
        _rollback,
        _rollback_arguments,
        _NEEDS,
    ),
    Command(
        "predict", "post a request to the predict server", _predict, _predict_arguments, _NEEDS
    ),
    Command("score", "write the list of users by items", _score, _score_arguments, _NEEDS),
    *live.COMMANDS,
    Command("sql", "run a statement in the pipeline's database", _sql, _sql_arguments, _NEEDS),
    *watch.COMMANDS,
    Command("settings", "list the settings and their values", _settings),
    Command(
        "completion",
        "print what bash or zsh completes",
        completion.run,
        completion.add_arguments,
        _NEEDS,
    ),
)
