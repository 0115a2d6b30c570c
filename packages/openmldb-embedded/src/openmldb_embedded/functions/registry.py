"""The registry of scalar functions: one entry each, with types, meaning and doc line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded.expr import Impl

Types = Sequence[SqlType]
Resolve = Callable[[Types], Impl | None]


@dataclass(frozen=True)
class ScalarFunction:
    """A scalar function.

    Attributes:
        names: Its name and aliases, lower case.
        signature: What it takes and gives, for the docs.
        doc: One line of meaning.
        resolve: From argument types to what to do, or None where they do not fit.
    """

    names: tuple[str, ...]
    signature: str
    doc: str
    resolve: Resolve


SCALARS: dict[str, ScalarFunction] = {}


def register(names: str, signature: str, doc: str) -> Callable[[Resolve], Resolve]:
    """Enter what is decorated into SCALARS, under each of its names."""

    def add(resolve: Resolve) -> Resolve:
        entry = ScalarFunction(tuple(names.split()), signature, doc, resolve)
        for name in entry.names:
            SCALARS[name] = entry
        return resolve

    return add


def resolve_scalar(name: str, types: Types) -> Impl:
    """What a function does for arguments of these types.

    Raises:
        TypeCheckError: It takes other types, or another number of arguments.
    """
    entry = SCALARS[name.lower()]
    impl = entry.resolve(types)
    if impl is None:
        given = ", ".join(t.value for t in types)
        raise TypeCheckError(
            f"Fail to resolve expression: no function {name}({given}); it takes {entry.signature}"
        )
    return impl
