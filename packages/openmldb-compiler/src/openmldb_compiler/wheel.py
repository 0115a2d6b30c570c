"""Where OpenMLDB's compiler is on this machine, or why it is not."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path

from openmldb_compiler.errors import CompilerUnavailable

VERSION = "0.9.2"
"""The OpenMLDB whose compiler this is."""

_NEWEST_PYTHON = (3, 11)


def native_folder() -> Path:
    """The folder of the wheel's native module; nothing of the wheel is imported.

    Raises:
        CompilerUnavailable: It is not here, or not for this interpreter or machine.
    """
    reason = _unfit(platform.system(), platform.machine(), sys.version_info[:2])
    if reason is not None:
        raise CompilerUnavailable(reason)
    try:
        spec = importlib.util.find_spec("openmldb")
    except (ImportError, ValueError):
        spec = None
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        native = Path(folder) / "native"
        if (native / "_sql_router_sdk.so").is_file():
            return native
    raise CompilerUnavailable(
        f"the package openmldb=={VERSION} is not installed in {sys.prefix}: "
        f"pip install --no-deps openmldb=={VERSION}"
    )


def available() -> bool:
    """Whether OpenMLDB's compiler can be asked here; ``unavailable_reason`` says why not."""
    return unavailable_reason() is None


def unavailable_reason() -> str | None:
    """Why OpenMLDB's compiler cannot be asked here; None where it can."""
    try:
        native_folder()
    except CompilerUnavailable as reason:
        return str(reason)
    return None


def _unfit(system: str, machine: str, python: tuple[int, ...]) -> str | None:
    if (system, machine) != ("Linux", "x86_64"):
        return (
            f"this machine is {system} on {machine}; openmldb=={VERSION} has wheels for Linux on "
            "x86-64"
        )
    if python > _NEWEST_PYTHON:
        return (
            f"this is Python {python[0]}.{python[1]}; the native module of openmldb=={VERSION} "
            f"works up to {_NEWEST_PYTHON[0]}.{_NEWEST_PYTHON[1]}"
        )
    return None
