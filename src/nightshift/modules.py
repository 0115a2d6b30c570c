"""Registries of names: each name is a module of one package, which holds one class of a kind."""

from __future__ import annotations

import importlib
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
        if isinstance(value, type)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(sorted(one.__name__ for one in found)) or "none"
        raise ImportError(
            f"{module.__name__} must define one class of {kind.__name__}; it defines {names}"
        )
    return found[0]
