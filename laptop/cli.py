"""The command line of `./nightshift`.

The launcher runs this with whatever Python it finds: commands that need nothing installed run
at once, the others first make the environments and go on inside `.venv`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from laptop.console import say, seconds, table, warn
from laptop.services import airflow, catalogue
from nightshift import credentials
from nightshift import settings as settings_module
from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.settings import PROJECT, Settings

_INSIDE = "_NIGHTSHIFT_INSIDE"
_SETUP_S = "_NIGHTSHIFT_SETUP_S"


@dataclass(frozen=True)
class Command:
    """One subcommand."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    needs: tuple[str, ...] = ()
    """Environments it needs: `airflow`, `tasks`."""
    passes_rest: bool = False
    """Whether unknown arguments are handed on (to pytest, to Airflow)."""


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code tells whether it did what it says."""
    try:
        return _main(list(argv))
    except NightshiftError as error:
        warn(f"nightshift: {error}")
        return 1
    except KeyboardInterrupt:
        warn("nightshift: interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`./nightshift logs | head`); that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="nightshift",
        description="Nightly retraining: a fresh model every night, on this machine.",
        epilog="Settings are environment variables: ./nightshift settings lists them.",
    )
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands = {command.name: command for command in COMMANDS}
    for command in COMMANDS:
        child = sub.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            add_help=not command.passes_rest,
        )
        command.arguments(child)
    sub.add_parser("help", help="show this text")
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command in (None, "help"):
        parser.print_help()
        return 0 if arguments.command else 2
    command = commands[arguments.command]
    if rest and not command.passes_rest:
        parser.error(f"{command.name} does not know {' '.join(rest)}")
    arguments.rest = argv[argv.index(command.name) + 1 :] if command.passes_rest else []
    if command.needs and os.environ.get(_INSIDE) != str(PROJECT):
        return _enter(command, argv)
    return command.run(arguments)


def _enter(command: Command, argv: list[str]) -> int:
    from laptop.setup import environments, spark

    began = time.monotonic()
    environments.ensure(PROJECT, tasks="tasks" in command.needs)
    if "tasks" in command.needs and spark.wanted(argv, os.environ):
        spark.ensure(PROJECT, Settings.from_env().maven_url)
    took = time.monotonic() - began
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "VIRTUAL_ENV")}
    env.update(
        {
            _INSIDE: str(PROJECT),
            _SETUP_S: f"{took:.1f}",
            "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "src")]),
        }
    )
    python = str(environments.AIRFLOW.python(PROJECT))
    os.execve(python, [python, "-P", "-m", "laptop", *argv], env)  # noqa: S606 (no shell wanted)


def setup_seconds() -> float:
    """How long the set-up before this process took."""
    return float(os.environ.get(_SETUP_S, "0"))


# Services


def _up(arguments: argparse.Namespace) -> int:
    from laptop.services.supervisor import Supervisor

    settings = Settings.from_env()
    supervisor = Supervisor(settings)
    new = credentials.read(settings, credentials.AIRFLOW_PASSWORD) is None
    began = time.monotonic()
    say(f"Starting services (state and logs: {settings.home})")
    started = supervisor.up(_checked(arguments.services))
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
                f"{name} is no service; there are {', '.join(catalogue.NAMES)}"
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
    parser.add_argument("-n", "--lines", type=int, default=20, help="lines of each log")


# The predict server, and the night


def _predict(arguments: argparse.Namespace) -> int:
    from laptop.predict import post

    raw = sys.stdin.buffer.read() if arguments.request == "-" else _read(arguments.request)
    try:
        json.loads(raw)
    except ValueError as error:
        raise ConfigurationError(f"{arguments.request} is no JSON: {error}") from error
    say(json.dumps(post(Settings.from_env(), raw), indent=2, ensure_ascii=False))
    return 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--request", required=True, metavar="FILE", help="JSON; - reads it here")


def _demo(arguments: argparse.Namespace) -> int:
    from laptop import demo

    if arguments.offline_engine:
        os.environ["NIGHTSHIFT_OFFLINE_ENGINE"] = arguments.offline_engine
    return demo.run(arguments, setup_seconds())


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    # Spelled out again in laptop.demo's terms; that module needs pyarrow, the launcher does not.
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the JD tutorial's own files")
    parser.add_argument("--ds", metavar="YYYY-MM-DD", help="the night's date (default: the last)")
    parser.add_argument("--days", type=int, default=45, help="days of requests to make")
    parser.add_argument("--rows-per-day", type=int, default=800, help="requests a day to make")
    parser.add_argument("--seed", type=int, default=20161, help="seed of the made tables")
    parser.add_argument("--keep", action="store_true", help="leave the services up at the end")
    parser.add_argument("--offline-engine", help="embedded or spark (default: the setting)")


def _run(arguments: argparse.Namespace) -> int:
    from laptop import night

    settings = Settings.from_env()
    conf = {"ds": arguments.ds} | dict(_assignment(text) for text in arguments.set)
    outcome = night.run(settings, night.retrain(settings.pipeline), f"hand__{arguments.ds}", conf)
    say(f"{outcome.state} after {seconds(outcome.seconds)}")
    return 0 if outcome.state == "success" else 1


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ds", required=True, metavar="YYYY-MM-DD", help="the night's date")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAM=VALUE", help="a Param of the DAG"
    )


def _rollback(arguments: argparse.Namespace) -> int:
    from laptop import night

    settings = Settings.from_env()
    conf = {"release_id": arguments.release} if arguments.release else {}
    outcome = night.run(settings, night.rollback(settings.pipeline), "hand", conf)
    say(f"{outcome.state} after {seconds(outcome.seconds)}")
    return 0 if outcome.state == "success" else 1


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", nargs="?", help="its id (default: the one before the live one)")


def _assignment(text: str) -> tuple[str, object]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigurationError(f"--set {text}: write it as PARAM=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a bare word is a string


def _releases(arguments: argparse.Namespace) -> int:
    from nightshift.pipeline import Pipeline
    from nightshift.registry import history

    found = history.rows(Pipeline.load(Settings.from_env()).releases)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    values = [asdict(row) for row in found]
    say(json.dumps(values, indent=2) if arguments.json else history.table(found, width=width))
    return 0


def _releases_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")


def _module(module: str, *more: str) -> Callable[[argparse.Namespace], int]:
    """Become `python -m module`, with the arguments that follow the command."""

    def run(arguments: argparse.Namespace) -> int:
        argv = [sys.executable, "-P", "-m", module, *more, *arguments.rest]
        sys.stdout.flush()
        os.execve(sys.executable, argv, os.environ)  # noqa: S606 (no shell wanted)

    return run


def _test(arguments: argparse.Namespace) -> int:
    os.chdir(PROJECT)
    argv = [sys.executable, "-m", "pytest", *arguments.rest]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", _INSIDE, _SETUP_S)}
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


def _settings(arguments: argparse.Namespace) -> int:
    current = Settings.from_env()
    rows = []
    for (variable, default, doc), item in zip(
        settings_module.describe(), fields(Settings), strict=True
    ):
        value = str(getattr(current, item.name)).replace(str(PROJECT), "<project>")
        mark = "" if os.environ.get(variable, "") == "" else "set: "
        rows.append((variable, mark + value if mark else default, doc))
    say(table(("variable", "value", "meaning"), rows))
    return 0


def _setup(arguments: argparse.Namespace) -> int:
    say(f"Set up in {PROJECT}.")
    return 0


def _setup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spark", action="store_true", help="also what the offline engine `spark` needs"
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
    Command("run", "run one night on what `up` started, and watch it", _run, _run_arguments),
    Command("rollback", "put an earlier release back into service", _rollback, _rollback_arguments),
    Command("predict", "post a request to the predict server", _predict, _predict_arguments),
    Command("test", "run the tests (arguments go to pytest)", _test, needs=BOTH, passes_rest=True),
    Command(
        "data",
        "make, lay out or list source tables: data generate | load --from FOLDER | list",
        _module("laptop.data.cli"),
        needs=("airflow",),
        passes_rest=True,
    ),
    Command(
        "openmldb",
        "run the embedded OpenMLDB alone: --host --port --data DIR",
        _module("openmldb_embedded"),
        needs=("airflow",),
        passes_rest=True,
    ),
    Command(
        "releases",
        "list the releases",
        _releases,
        _releases_arguments,
        needs=("airflow",),
    ),
    Command(
        "airflow",
        "Airflow's own command line on this home (dags, backfill, ...)",
        _airflow,
        needs=("airflow",),
        passes_rest=True,
    ),
    Command("settings", "list the settings and their values", _settings),
)
