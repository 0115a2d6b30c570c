"""Relations under other names, without repetition, and of one layout."""

from __future__ import annotations

from dataclasses import replace

from openmldb_sql.types import SqlType

from openmldb_embedded.errors import WindowError
from openmldb_embedded.expr import Col
from openmldb_embedded.plan import Aggregate, Field, Node, Renamed, Scan

T = SqlType


def distinct(node: Node) -> Node:
    """The node's rows without repetition."""
    keys = tuple(Col(i, f.type, f.name) for i, f in enumerate(node.fields))
    return Aggregate(node.fields, node, keys, ())


def renamed(node: Node, alias: str) -> Node:
    """The relation under an alias."""
    fields = tuple(Field(f.name, f.type, (alias,)) for f in node.fields)
    if isinstance(node, Scan):
        return replace(node, fields=fields)
    return Renamed(fields, node)


def same_layout(first: Node, other: Node, what: str, *, names: bool) -> None:
    """Refuse two relations whose columns do not match, one by one.

    Raises:
        WindowError: They differ in number, type or, where ``names`` matter, name.
    """
    if len(first.fields) != len(other.fields):
        raise WindowError(f"{what} of {len(first.fields)} columns with {len(other.fields)} columns")
    for i, (a, b) in enumerate(zip(first.fields, other.fields, strict=True)):
        if a.type is not b.type and T.NULL not in (a.type, b.type):
            raise WindowError(
                f"{what}: column {i + 1} is {a.name} {a.type.value} on one side and "
                f"{b.name} {b.type.value} on the other"
            )
        if names and a.name != b.name:
            raise WindowError(
                f"{what}: column {i + 1} is named {a.name} on one side and {b.name} on the other"
            )
