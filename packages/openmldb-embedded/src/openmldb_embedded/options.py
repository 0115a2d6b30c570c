"""OPTIONS of statements: their checks, and those that LOAD DATA and SELECT INTO have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from openmldb_embedded.errors import ExecutionError


@dataclass(frozen=True)
class FileOptions:
    """How files are read or written; the defaults are OpenMLDB's."""

    format: str = "csv"
    delimiter: str = ","
    header: bool = True
    null_value: str = "null"
    quote: str = '"'
    mode: str = "error_if_exists"


FILE_OPTIONS = frozenset(field.name for field in fields(FileOptions))


def file_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of FileOptions that a statement gives, of the right kind each.

    Raises:
        ExecutionError: An option was given something else.
    """
    return {
        "format": text_option(options, "format", FileOptions.format).lower(),
        "delimiter": text_option(options, "delimiter", FileOptions.delimiter),
        "header": flag_option(options, "header", default=FileOptions.header),
        "null_value": text_option(options, "null_value", FileOptions.null_value),
        "quote": text_option(options, "quote", FileOptions.quote),
        "mode": text_option(options, "mode", FileOptions.mode).lower(),
    }


def text_option(options: Mapping[str, Any], name: str, default: str) -> str:
    """An option that takes text.

    Raises:
        ExecutionError: It was given something else.
    """
    value = options.get(name, default)
    if not isinstance(value, str):
        raise ExecutionError(f"option {name} takes a string in quotes, not {value!r}")
    return value


def flag_option(options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """An option that takes true or false, quoted or not.

    Raises:
        ExecutionError: It was given something else.
    """
    value = options.get(name, default)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ExecutionError(f"option {name} takes true or false, not {value!r}")
    return value


def check_mode(mode: str) -> None:
    """Refuse a write mode that is none.

    Raises:
        ExecutionError: It is none.
    """
    if mode not in ("error_if_exists", "append", "overwrite"):
        raise ExecutionError(f"mode takes error_if_exists, append or overwrite, not {mode!r}")
