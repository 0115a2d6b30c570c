"""Checked plans: every name resolved, every type known, ready for batch or request mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from openmldb_sql.types import Schema, SqlType

from openmldb_embedded.aggregates import AggregateImpl
from openmldb_embedded.expr import Expr, Impl


@dataclass(frozen=True, slots=True)
class Field:
    """An output column: its name, its type and the table names that may qualify it."""

    name: str
    type: SqlType
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A relation."""

    fields: tuple[Field, ...]

    @property
    def schema(self) -> list[tuple[str, SqlType]]:
        """(name, type) of each output column."""
        return [(f.name, f.type) for f in self.fields]

    def children(self) -> tuple[Node, ...]:
        """The relations this one reads."""
        return ()

    def label(self) -> str:
        """One line for EXPLAIN."""
        return type(self).__name__.upper()


@dataclass(frozen=True, slots=True)
class Scan(Node):
    """All rows of a table; ``aliased`` where the statement gives it another name."""

    db: str
    table: str
    declared: Schema
    aliased: bool = False

    def label(self) -> str:
        """The table's name."""
        return f"TABLE {self.db}.{self.table}"


@dataclass(frozen=True, slots=True)
class Unit(Node):
    """One row without columns: the source of a SELECT without FROM."""


@dataclass(frozen=True, slots=True)
class Filter(Node):
    """The child's rows where the predicate is true."""

    child: Node
    predicate: Expr

    def children(self) -> tuple[Node, ...]:
        """The child."""
        return (self.child,)

    def label(self) -> str:
        """The predicate."""
        return f"FILTER {self.predicate.describe()}"


@dataclass(frozen=True, slots=True)
class Project(Node):
    """Expressions of the child's columns; ``star`` where they are written ``*`` or ``table.*``."""

    child: Node
    exprs: tuple[Expr, ...]
    star: bool = False

    def children(self) -> tuple[Node, ...]:
        """The child."""
        return (self.child,)

    def label(self) -> str:
        """The expressions and their names."""
        parts = (
            f"{e.describe()} AS {f.name}" if e.describe() != f.name else f.name
            for e, f in zip(self.exprs, self.fields, strict=True)
        )
        return f"PROJECT {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class WindowFrame:
    """Which rows of its partition a row aggregates over.

    Attributes:
        kind: ``rows`` or ``range`` (milliseconds of the order key).
        start: Rows or milliseconds before the current row, inclusive; None for unbounded.
        end: The same for the frame's newer edge; 0 includes the current row.
        maxsize: At most so many rows, the newest.
    """

    kind: str
    start: int | None
    end: int
    maxsize: int | None = None
    exclude_current_time: bool = False
    exclude_current_row: bool = False
    instance_not_in_window: bool = False

    def beyond(self) -> WindowFrame:
        """The frame ``lag`` counts back in: all rows before the current one, and itself."""
        return WindowFrame(
            "rows", None, 0, None, self.exclude_current_time, False, self.instance_not_in_window
        )


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """A window over a relation and the relations united with it.

    Attributes:
        partition: Keys over the columns of the relation (and, by position, of each union).
        order: The order key, or None for order of insertion.
        unions: Relations of the same layout.
    """

    name: str
    partition: tuple[Expr, ...]
    order: Expr | None
    unions: tuple[Node, ...]
    frame: WindowFrame

    def describe(self) -> str:
        """The definition on one line."""
        f = self.frame
        start = "UNBOUNDED" if f.start is None else f.start
        parts = [
            f"PARTITION BY {', '.join(e.describe() for e in self.partition)}",
            f"ORDER BY {self.order.describe()}" if self.order is not None else "",
            f"{'ROWS' if f.kind == 'rows' else 'ROWS_RANGE'} [{start}, {f.end}]",
            f"MAXSIZE {f.maxsize}" if f.maxsize is not None else "",
            "EXCLUDE CURRENT_TIME" if f.exclude_current_time else "",
            "EXCLUDE CURRENT_ROW" if f.exclude_current_row else "",
            "INSTANCE_NOT_IN_WINDOW" if f.instance_not_in_window else "",
        ]
        return f"{self.name} ({' '.join(p for p in parts if p)})"


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """An aggregate over a frame or group.

    Attributes:
        window: Index of the window, or -1 for a group.
        arguments: The row-by-row arguments, over the columns of a frame's row; an index at or
            past the relation's width reads an earlier call's value for the current row.
        expand: For a list aggregate's argument: turns the row's texts into many values.
        beyond_frame: ``lag`` counts rows back from the current one whatever the frame.
    """

    name: str
    window: int
    impl: AggregateImpl
    arguments: tuple[Expr, ...]
    correlated: bool = False
    expand: Impl | None = None
    beyond_frame: bool = False

    def describe(self) -> str:
        """``name(arguments)``."""
        return f"{self.name}({', '.join(a.describe() for a in self.arguments)})"


@dataclass(frozen=True, slots=True)
class WindowAggregate(Node):
    """The child's columns and, for each call, its value over the row's frame.

    Attributes:
        by_frame: The newest row of each frame stands for the row that the frame is of, and all is
            NULL where the frame is empty: what a deployment makes of stored rows whose frames do
            not hold them (OpenMLDB's REQUEST_UNION without its request row).
    """

    child: Node
    windows: tuple[WindowPlan, ...]
    calls: tuple[AggregateCall, ...]
    by_frame: bool = False

    def children(self) -> tuple[Node, ...]:
        """The child and the united relations."""
        return (self.child, *(u for w in self.windows for u in w.unions))

    def label(self) -> str:
        """Windows and calls."""
        windows = "; ".join(w.describe() for w in self.windows)
        calls = ", ".join(f"{c.describe()} OVER {self.windows[c.window].name}" for c in self.calls)
        return f"WINDOW {windows} | {calls}"


@dataclass(frozen=True, slots=True)
class Join(Node):
    """LAST JOIN (one row for each left row) or LEFT JOIN (all matches).

    Attributes:
        kind: ``LAST`` or ``LEFT``.
        pairs: Left and right expressions that must be equal (NULL equals NULL).
        residual: What else must hold, over left columns followed by right columns.
        order: LAST: the match with the greatest value is taken (the least, if descending).
        implied: The statement names no order: it is that of the index that is read.
    """

    kind: str
    left: Node
    right: Node
    pairs: tuple[tuple[Expr, Expr], ...]
    residual: Expr | None
    order: Expr | None
    descending: bool
    implied: bool = False

    def children(self) -> tuple[Node, ...]:
        """Left and right."""
        return (self.left, self.right)

    def label(self) -> str:
        """Kind and condition."""
        terms = [f"{a.describe()} = {b.describe()}" for a, b in self.pairs]
        if self.residual is not None:
            terms.append(self.residual.describe())
        order = ""
        if self.order is not None:
            order = f" ORDER BY {self.order.describe()}{' DESC' if self.descending else ''}"
        return f"{self.kind} JOIN{order} ON {' AND '.join(terms) or 'TRUE'}"


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """Groups of the child's rows: keys, then calls. Without keys, one row."""

    child: Node
    keys: tuple[Expr, ...]
    calls: tuple[AggregateCall, ...]

    def children(self) -> tuple[Node, ...]:
        """The child."""
        return (self.child,)

    def label(self) -> str:
        """Keys and calls."""
        keys = ", ".join(k.describe() for k in self.keys)
        calls = ", ".join(c.describe() for c in self.calls)
        return f"GROUP BY ({keys}) | {calls}"


@dataclass(frozen=True, slots=True)
class Union(Node):
    """The rows of several relations of one layout."""

    parts: tuple[Node, ...]

    def children(self) -> tuple[Node, ...]:
        """The parts."""
        return self.parts


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """The first rows."""

    child: Node
    rows: int

    def children(self) -> tuple[Node, ...]:
        """The child."""
        return (self.child,)

    def label(self) -> str:
        """The number of rows."""
        return f"LIMIT {self.rows}"


@dataclass(frozen=True, slots=True)
class Renamed(Node):
    """The child under other names."""

    child: Node = field(default_factory=lambda: Unit(()))

    def children(self) -> tuple[Node, ...]:
        """The child."""
        return (self.child,)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for child in node.children():
        yield from walk(child)


def explain(node: Node, depth: int = 0) -> str:
    """The plan as indented text, one node a line."""
    if isinstance(node, Renamed):
        return explain(node.child, depth)
    lines = [f"{'  ' * depth}{node.label()}"]
    lines += [explain(c, depth + 1) for c in node.children()]
    return "\n".join(lines)
