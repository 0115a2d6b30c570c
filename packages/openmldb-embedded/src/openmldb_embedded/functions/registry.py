"""The registry of scalar functions: one entry each, with types, meaning and doc line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded.expr import Expr, Impl

Types = Sequence[SqlType]
Resolve = Callable[[Types], Impl | None]
Build = Callable[[tuple[Expr, ...]], Expr | None]


@dataclass(frozen=True)
class ScalarFunction:
    """A scalar function.

    Attributes:
        names: Its name and aliases, lower case.
        signature: What it takes and gives, for the docs.
        doc: One line of meaning.
        resolve: From argument types to what to do, or None where they do not fit.
        nulls: Whether OpenMLDB takes an untyped NULL for an argument.
        instead: For a function that OpenMLDB 0.9.2 lacks, how to write it there; else None.
        build: For a function of arrays or maps, whose elements have types of their own: from the
            checked arguments to the call, or None where they do not fit. Then ``resolve`` is unused.
    """

    names: tuple[str, ...]
    signature: str
    doc: str
    resolve: Resolve
    nulls: bool = False
    instead: str | None = None
    build: Build | None = None


SCALARS: dict[str, ScalarFunction] = {}


def register(
    names: str, signature: str, doc: str, *, nulls: bool = False, instead: str | None = None
) -> Callable[[Resolve], Resolve]:
    """Enter what is decorated into SCALARS, under each of its names."""

    def add(resolve: Resolve) -> Resolve:
        entry = ScalarFunction(tuple(names.split()), signature, doc, resolve, nulls, instead)
        for name in entry.names:
            SCALARS[name] = entry
        return resolve

    return add


def register_build(names: str, signature: str, doc: str) -> Callable[[Build], Build]:
    """Enter a function of arrays or maps into SCALARS."""

    def add(build: Build) -> Build:
        register(names, signature, doc)(lambda types: None)
        for name in names.split():
            SCALARS[name] = replace(SCALARS[name], build=build)
        return build

    return add


def resolve_scalar(name: str, types: Types, *, strict: bool = False) -> Impl:
    """What a function does for arguments of these types.

    ``strict`` refuses an untyped NULL where OpenMLDB does.

    Raises:
        TypeCheckError: It takes other types, or another number of arguments.
    """
    entry = SCALARS[name.lower()]
    given = ", ".join(t.value for t in types)
    if strict and not entry.nulls and SqlType.NULL in types:
        raise TypeCheckError(
            f"Fail to resolve expression: {name}({given}): OpenMLDB takes no untyped NULL here, "
            f"write CAST(NULL AS type)",
            1000,
        )
    impl = entry.resolve(types)
    if impl is None:
        raise TypeCheckError(
            f"Fail to resolve expression: no function {name}({given}); it takes {entry.signature}",
            1000,
        )
    return impl
