"""The entry point of `./nightshift`.

The launcher runs this with whatever Python it finds: commands that need nothing installed run
at once, the others first make the environments and go on inside `.venv`. Where the laptop profile
is not there (in an image) the product's commands run as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence

from cli import product
from cli.command import INSIDE, SETUP_S, Command
from cli.console import warn
from nightshift.errors import NightshiftError
from nightshift.settings import PROJECT, Settings


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code tells whether it did what it says."""
    for argument in argv:
        if _is_not_text(argument):
            warn(f"nightshift: an argument is not UTF-8: {argument!a}")
            return 2
    try:
        return _main(list(argv))
    except NightshiftError as error:
        warn(f"nightshift: {error}")
        return 1
    except KeyboardInterrupt:
        warn("nightshift: interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`./nightshift logs | head`); that is not a failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        # A folder that may not be written, a disk that is full: not a defect of ours.
        warn(f"nightshift: {error.filename}: {error.strerror}")
        return 1


def _is_not_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return True
    return False


def _main(argv: list[str]) -> int:
    parser, choices = build_parser()
    commands = {command.name: command for command in all_commands()}
    if _asks_for_help(argv, commands):
        own = commands[argv[0]].help_of
        (own(argv[1:]) if own else choices[argv[0]]).print_help()
        return 0
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command in (None, "help"):
        parser.print_help()
        return 0 if arguments.command else 2
    command = commands[arguments.command]
    if rest and not command.passes_rest:
        parser.error(f"{command.name} does not know {' '.join(rest)}")
    arguments.rest = argv[argv.index(command.name) + 1 :] if command.passes_rest else []
    if _on_a_laptop():
        # A laptop's nights are started by hand: `run` unpauses a DAG for its run, and Airflow
        # would at once make up for the scheduled run that was missed.
        os.environ.setdefault("NIGHTSHIFT_SCHEDULES", "off")
    if command.needs and _on_a_laptop() and os.environ.get(INSIDE) != str(PROJECT):
        return _enter(command, argv)
    return command.run(arguments)


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of all commands, and those of the commands by their names."""
    parser = argparse.ArgumentParser(
        prog="nightshift",
        description="Nightly retraining: a fresh model every night, on this machine.",
        epilog="Settings are environment variables: ./nightshift settings lists them.",
    )
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in all_commands():
        child = sub.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            add_help=not command.passes_rest,
        )
        command.arguments(child)
    sub.add_parser("help", help="show this text")
    return parser, sub.choices


def _enter(command: Command, argv: list[str]) -> int:
    from laptop.setup import environments, mkl, spark

    began = time.monotonic()
    # What a command prints may be read by a program: the set-up before it is no part of that.
    own = command.name in ("setup", "demo")
    with contextlib.nullcontext() if own else contextlib.redirect_stdout(sys.stderr):
        environments.ensure(PROJECT, tasks="tasks" in command.needs)
        if "tasks" in command.needs and spark.wanted(argv, os.environ):
            spark.ensure(PROJECT, Settings.from_env().maven_url)
        if command.name == "setup" and "--mkl" in argv:
            mkl.ensure(PROJECT)
    took = time.monotonic() - began
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "VIRTUAL_ENV")}
    env.update(
        {
            INSIDE: str(PROJECT),
            SETUP_S: f"{took:.1f}",
            "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "src")]),
        }
    )
    python = str(environments.AIRFLOW.python(PROJECT))
    os.execve(python, [python, "-P", "-m", "cli", *argv], env)  # noqa: S606 (no shell wanted)


def setup_seconds() -> float:
    """How long the set-up before this process took."""
    return float(os.environ.get(SETUP_S, "0"))


def _asks_for_help(argv: list[str], commands: dict[str, Command]) -> bool:
    """Whether a command that hands its arguments on is asked for help."""
    if len(argv) < 2 or argv[0] not in commands or not commands[argv[0]].passes_rest:
        return False
    own = commands[argv[0]].help_of is not None
    return argv[1] in ("-h", "--help") or (own and bool({"-h", "--help"} & set(argv)))


def all_commands() -> list[Command]:
    """The commands of this installation, in the order of the help."""
    if not _on_a_laptop():
        return list(product.COMMANDS)
    from laptop import commands as laptop

    return [*laptop.COMMANDS, *product.COMMANDS]


def _on_a_laptop() -> bool:
    return (PROJECT / "laptop").is_dir()
