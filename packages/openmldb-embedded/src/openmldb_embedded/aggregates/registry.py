"""The registry of aggregate functions: one entry each, with types, meaning and doc line.

The meaning is a fold over a frame's values, newest first. ``kernel`` names a vectorised equivalent
in ``kernels`` where there is one; otherwise batch mode folds frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

Fold = Callable[..., Any]
"""One list of values, newest first, for each argument taken row by row."""


@dataclass(frozen=True)
class Join:
    """The fold of one more, newest value, from something kept of the older ones.

    Attributes:
        keep: From the older values to what is kept.
        finish: From that and the newest value to the fold.
        known: The older values, of what is kept, where ``finish`` gives the same for every value
            that is not NULL and not one of them.
    """

    keep: Callable[[Sequence[Any]], Any]
    finish: Callable[[Any, Any], Any]
    known: Callable[[Any], Container[Any]] | None = None

    def finish_all(self, kept: Any, values: Sequence[Any]) -> list[Any]:
        """``finish`` of several values."""
        finish = self.finish
        if self.known is None:
            return [finish(kept, value) for value in values]
        known = self.known(kept)
        new = next((x for x in values if x is not None and x not in known), None)
        other = None if new is None else finish(kept, new)
        return [finish(kept, x) if x is None or x in known else other for x in values]


@dataclass(frozen=True)
class AggregateImpl:
    """An aggregate for given argument types.

    Attributes:
        type: The result type.
        fold: The meaning.
        arguments: How many arguments are taken row by row (the rest are constants, bound in).
        kernel: The vectorised equivalent, or None.
        parameter: The kernel's constant.
        conditional: The second row-by-row argument is a condition: rows where it is not true do
            not count. ``fold`` has that built in; a kernel masks the first argument.
        nonzero: Rows whose value is 0 do not count either.
        offset: For ``lag``: rows before the current one, out of the frame's bounds too.
        join: Where the fold of one more, newest value can be had from something kept of the older
            ones.
    """

    type: SqlType
    fold: Fold
    arguments: int = 1
    kernel: str | None = None
    parameter: Any = None
    conditional: bool = False
    nonzero: bool = False
    offset: int | None = None
    join: Join | None = None


@dataclass(frozen=True)
class AggregateFunction:
    """An aggregate function; see ScalarFunction for the attributes."""

    names: tuple[str, ...]
    signature: str
    doc: str
    resolve: Callable[[Sequence[SqlType], Sequence[Any]], AggregateImpl | None]


NOT_CONSTANT = object()
"""Stands for the value of an argument that is not a constant."""

AGGREGATES: dict[str, AggregateFunction] = {}

Resolve = Callable[[Sequence[SqlType], Sequence[Any]], AggregateImpl | None]


def register(names: str, signature: str, doc: str) -> Callable[[Resolve], Resolve]:
    """Enter what is decorated into AGGREGATES, under each of its names."""

    def add(resolve: Resolve) -> Resolve:
        entry = AggregateFunction(tuple(names.split()), signature, doc, resolve)
        for name in entry.names:
            AGGREGATES[name] = entry
        return resolve

    return add


def resolve_aggregate(
    name: str, types: Sequence[SqlType], constants: Sequence[Any]
) -> AggregateImpl:
    """What an aggregate does for arguments of these types.

    Args:
        name: The function's name, in any case.
        types: The arguments' types.
        constants: Their values where they are constants, else NOT_CONSTANT.

    Raises:
        TypeCheckError: It takes other arguments.
    """
    entry = AGGREGATES[name.lower()]
    impl = entry.resolve(types, constants)
    if impl is None:
        given = ", ".join(t.value for t in types)
        raise TypeCheckError(
            f"Fail to resolve expression: no aggregate {name}({given}); it takes {entry.signature}",
            1000,
        )
    return impl
