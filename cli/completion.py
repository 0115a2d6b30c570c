"""`completion SHELL`: what a shell completes after `./nightshift`, by shtab."""

from __future__ import annotations

import argparse

from cli.console import say

SHELLS = ("bash", "zsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    say(script(arguments.shell))
    return 0


def script(shell: str) -> str:
    """Commands and options, as a script for the shell to read.

    Args:
        shell: of `SHELLS`.
    """
    import shtab

    from cli.main import build_parser

    text: str = shtab.complete(build_parser()[0], shell=shell)
    return text.rstrip("\n")
