"""Modules by name: registries of one package, and what `tasks/` shares with this side."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import TypeVar

_T = TypeVar("_T")


def class_of(package: str, name: str, kind: type[_T]) -> type[_T]:
    """The class of `kind` that the module `package.name` defines.

    Args:
        package: the package's name.
        name: the module's, below it.
        kind: the base class.

    Raises:
        ImportError: there is no such module, or it defines no such class, or several.
    """
    module = importlib.import_module(f"{package}.{name}")
    found = [
        value
        for value in vars(module).values()
        # In Python 3.10 an alias such as list[int] is a type, too.
        if isinstance(value, type)
        and not isinstance(value, GenericAlias)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(sorted(one.__name__ for one in found)) or "none"
        raise ImportError(
            f"{module.__name__} must define one class of {kind.__name__}; it defines {names}"
        )
    return found[0]


def of_tasks(project: Path, name: str) -> ModuleType:
    """A module of `tasks/`, which lies in the project and in no environment.

    Commands and tests have the project on their path; Airflow's processes do not.

    Args:
        project: the project folder.
        name: such as `tasks.ctr.train.hyperparameters`.

    Raises:
        ModuleNotFoundError: the project has no such module, as in an image without tasks.
    """
    if importlib.util.find_spec("tasks") is not None:
        return importlib.import_module(name)
    sys.path.append(str(project))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(project))
