"""The pages of docs/reference that follow from the code: settings, commands, schemas.

    .venv/bin/python -m cli.reference

A pre-commit hook runs it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.main import all_commands, build_parser
from nightshift import files
from nightshift.config import schemas
from nightshift.features.schemas import feature_spec_schema, tables_schema
from nightshift.settings import PROJECT, describe

FOLDER = PROJECT / "docs" / "reference"

WIDTH = "96"
"""Of the commands' help: argparse wraps at the terminal's width."""

SETTINGS = (
    "Environment variables of one machine. `./nightshift settings` shows the values in force. What "
    "belongs to a pipeline is in its `pipeline.yaml`: [files](files.md)."
)

COMMANDS = (
    "`./nightshift COMMAND --help` prints these texts. In the production images `new` and the "
    "commands after it are run as `python -m cli COMMAND`. The exit code is 0 when the command "
    "succeeded, 1 when it failed, 2 when its arguments are wrong, 130 after Ctrl-C."
)


def settings_page() -> str:
    """Every `NIGHTSHIFT_*` variable with its default."""
    lines = [
        "# Settings",
        "",
        SETTINGS,
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for variable, default, doc in describe():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{variable}` | {shown} | {_cell(doc)} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its help."""
    lines = [
        "# Commands",
        "",
        COMMANDS,
    ]
    _, children = build_parser()
    for command in all_commands():
        parser = command.help_of([]) if command.help_of else children[command.name]
        for name, part in _parsers(command.name, parser):
            lines += ["", f"## {name}", "", "```text", _help(part), "```"]
    return "\n".join(lines) + "\n"


def hyperparameters_schema() -> dict[str, Any]:
    """JSON schema of `hyperparameters.yaml`; `auto` is allowed where training can choose."""
    from tasks.ctr.train.hyperparameters import Auto, Hyperparameters

    schema = Hyperparameters.model_json_schema()
    for name, item in Hyperparameters.model_fields.items():
        if Auto in item.metadata or schema["properties"][name].get("default") == "auto":
            own = schema["properties"][name]
            schema["properties"][name] = {"anyOf": [{"const": "auto"}, own]}
    return schema


def pages() -> dict[Path, str]:
    """Text of each generated file by its path."""
    return {
        FOLDER / "settings.md": settings_page(),
        FOLDER / "commands.md": commands_page(),
        **{
            FOLDER / "schemas" / f"{name}.json": json.dumps(schema, indent=2, sort_keys=True) + "\n"
            for name, schema in all_schemas().items()
        },
    }


def all_schemas() -> dict[str, dict[str, Any]]:
    """JSON schema of each of a pipeline's files, by the file's name without `.yaml`."""
    return {
        "hyperparameters": hyperparameters_schema(),
        "tables": tables_schema(),
        "feature_spec": feature_spec_schema(),
        **schemas.schemas(),
    }


def _parsers(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and, below it, those of its subcommands."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child, below in action.choices.items():
                yield from _parsers(f"{name} {child}", below)


def _help(parser: argparse.ArgumentParser) -> str:
    return parser.format_help().rstrip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the pages."""
    os.environ["COLUMNS"] = WIDTH
    for path, text in pages().items():
        files.write_text(path, text)


if __name__ == "__main__":
    main()
