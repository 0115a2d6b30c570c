"""Commands of the laptop profile: set-up, services, the demo, tests."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.command import INTERNAL, Command
from cli.console import say, seconds, table
from laptop.services import airflow, catalogue
from nightshift import credentials
from nightshift.errors import ConfigurationError
from nightshift.settings import PROJECT, Settings

# Services


def _up(arguments: argparse.Namespace) -> int:
    from laptop.services.supervisor import Supervisor
    from nightshift.scaffold.write import ensure_dag_files

    settings = Settings.from_env()
    chosen = _checked(arguments.services)
    for path in ensure_dag_files(settings):
        say(f"Wrote {path} for the pipeline {path.stem}")
    supervisor = Supervisor(settings)
    new = credentials.read(settings, credentials.AIRFLOW_PASSWORD) is None
    began = time.monotonic()
    say(f"Starting services (state and logs: {settings.home})")
    started = supervisor.up(chosen)
    what = f"started {len(started)}" if started else "all were running"
    say(f"Up ({what}) after {seconds(time.monotonic() - began)}.")
    if not arguments.services:
        shown = f"password {airflow.password(settings)}" if new else "./nightshift password"
        say(f"Airflow: {settings.airflow_url}  (user {settings.airflow_user}; {shown})")
        say("One night: ./nightshift run --ds YYYY-MM-DD    Stop everything: ./nightshift down")
    return 0


def _service_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "services", nargs="*", metavar="SERVICE", help=f"only these of {', '.join(catalogue.NAMES)}"
    )


def _checked(names: Sequence[str]) -> Sequence[str] | None:
    for name in names:
        if name not in catalogue.NAMES:
            raise ConfigurationError(
                f"{name} is not a service; there are {', '.join(catalogue.NAMES)}"
            )
    return names or None


def _down(arguments: argparse.Namespace) -> int:
    from laptop.services.supervisor import Supervisor

    began = time.monotonic()
    ended = Supervisor(Settings.from_env()).down(_checked(arguments.services))
    took = seconds(time.monotonic() - began)
    say(f"Stopped {ended} process(es) in {took}." if ended else "Nothing was running.")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from laptop.services.supervisor import Supervisor

    rows = Supervisor(Settings.from_env()).status()
    if arguments.json:
        say(json.dumps([vars(row) for row in rows], indent=2))
    else:
        say(
            table(
                ("service", "state", "pid", "up", "MiB", "address", ""),
                [
                    (
                        row.name,
                        row.state,
                        str(row.pid or "-"),
                        "-" if row.uptime_s is None else seconds(row.uptime_s),
                        str(row.resident_bytes >> 20) if row.resident_bytes else "-",
                        row.address or "-",
                        row.detail,
                    )
                    for row in rows
                ],
            )
        )
    return 0 if all(row.state == "running" for row in rows) else 3


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _logs(arguments: argparse.Namespace) -> int:
    from laptop.services.supervisor import Supervisor, follow

    supervisor = Supervisor(Settings.from_env())
    paths = {name: supervisor.log(name) for name in _checked(arguments.services) or catalogue.NAMES}
    if not any(path.exists() for path in paths.values()):
        raise ConfigurationError(
            f"no log below {supervisor.settings.home / 'logs'}; ./nightshift up makes them"
        )
    follow(paths, lines=arguments.lines, forever=arguments.follow)
    return 0


def _logs_arguments(parser: argparse.ArgumentParser) -> None:
    _service_names(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    parser.add_argument("-n", "--lines", type=_count, default=20, help="lines of each log")


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    if arguments.week:
        from laptop.week import run

        return run.run(arguments)
    from laptop import demo

    if arguments.offline_engine:
        os.environ["NIGHTSHIFT_OFFLINE_ENGINE"] = arguments.offline_engine
    from cli.main import setup_seconds

    return demo.run(arguments, setup_seconds())


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    # Spelled out again in laptop.demo's terms; that module needs pyarrow, the launcher does not.
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the JD tutorial's own files")
    parser.add_argument("--ds", metavar="YYYY-MM-DD", help="the night's date (default: the last)")
    parser.add_argument("--days", type=int, default=45, help="days of requests to make")
    parser.add_argument("--rows-per-day", type=int, default=800, help="requests a day to make")
    parser.add_argument("--seed", type=int, default=20161, help="seed of the made tables")
    parser.add_argument("--keep", action="store_true", help="leave the services up at the end")
    parser.add_argument(
        "--week", action="store_true", help="days of live traffic with the nights between them"
    )
    parser.add_argument("--week-days", type=int, default=7, metavar="N", help="how many (3 to 31)")
    parser.add_argument(
        "--speed",
        type=float,
        default=5760.0,
        help="of --week: times as fast as a day (0: no pause)",
    )
    parser.add_argument("--offline-engine", help="embedded or spark (default: the setting)")


def _data_help(rest: list[str]) -> argparse.ArgumentParser:
    """The parser of `data`, or of the one of its commands that is named."""
    from laptop.data.arguments import make_parser

    parser = make_parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word in rest:
                chosen = action.choices.get(word)
                if isinstance(chosen, argparse.ArgumentParser):
                    return chosen
    return parser


def _module(module: str, *more: str) -> Callable[[argparse.Namespace], int]:
    """Become `python -m module`, with the arguments that follow the command."""

    def run(arguments: argparse.Namespace) -> int:
        argv = [sys.executable, "-P", "-m", module, *more, *arguments.rest]
        sys.stdout.flush()
        os.execve(sys.executable, argv, os.environ)  # noqa: S606 (no shell wanted)

    return run


FAST = "not (services or slow or docker or e2e)"
"""Tests that need no server, no training and no Airflow."""


def _test(arguments: argparse.Namespace) -> int:
    os.chdir(PROJECT)
    rest = [word for word in arguments.rest if word != "--fast"]
    fast = ["-m", FAST] if "--fast" in arguments.rest else []
    # Two workers, unless a part is asked for or pytest is told how: testing/groups.py
    # says what a worker gets.
    told = any(
        word.startswith(("-n", "-p", "--pdb", "--dist")) or Path(word).exists() for word in rest
    )
    workers = [] if told else ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"]
    argv = [sys.executable, "-m", "pytest", *workers, *fast, *rest]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", *INTERNAL)}
    os.execve(sys.executable, argv, env)  # noqa: S606 (no shell wanted)


def _airflow(arguments: argparse.Namespace) -> int:
    settings = Settings.from_env()
    airflow.prepare(settings)
    argv = airflow.command(settings, *arguments.rest)
    os.chdir(settings.project)
    os.execve(argv[0], argv, airflow.environment(settings))  # noqa: S606 (no shell wanted)


def _password(arguments: argparse.Namespace) -> int:
    settings = Settings.from_env()
    found = credentials.read(settings, credentials.AIRFLOW_PASSWORD)
    if found is None:
        raise ConfigurationError("there is no password yet; ./nightshift up makes it")
    say(found)
    return 0


def _setup(arguments: argparse.Namespace) -> int:
    say(f"Set up in {PROJECT}.")
    return 0


def _setup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spark", action="store_true", help="also what the offline engine `spark` needs"
    )
    parser.add_argument(
        "--mkl", action="store_true", help="also Intel's MKL, which training on a CPU then uses"
    )


BOTH = ("airflow", "tasks")

COMMANDS: tuple[Command, ...] = (
    Command(
        "setup",
        "make the environments (other commands do it by themselves)",
        _setup,
        _setup_arguments,
        BOTH,
    ),
    Command(
        "demo",
        "one whole night: set up, make data, train, serve, predict",
        _demo,
        _demo_arguments,
        BOTH,
    ),
    Command("up", "start the services and Airflow with its UI", _up, _service_names, BOTH),
    Command("down", "stop everything that `up` started", _down, _service_names),
    Command("password", "show the password of Airflow's UI", _password),
    Command("status", "tell what runs", _status, _status_arguments),
    Command("logs", "show the services' logs", _logs, _logs_arguments),
    Command(
        "test",
        "run the tests; --fast: those without services (other arguments go to pytest)",
        _test,
        needs=BOTH,
        passes_rest=True,
    ),
    Command(
        "data",
        "make, lay out, check or list source tables: data generate | load | check | list | reload",
        _module("laptop.data.cli"),
        needs=("airflow",),
        passes_rest=True,
        help_of=_data_help,
    ),
    Command(
        "openmldb",
        "run the embedded OpenMLDB alone: --host --port --data DIR",
        _module("openmldb_embedded"),
        needs=("airflow",),
        passes_rest=True,
    ),
    Command(
        "airflow",
        "Airflow's own command line on this home (dags, backfill, ...)",
        _airflow,
        needs=("airflow",),
        passes_rest=True,
    ),
)
