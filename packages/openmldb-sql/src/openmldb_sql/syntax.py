"""The syntax tree of a SELECT, as written: no names resolved, no types known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from openmldb_sql.types import SqlType


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression."""


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A constant with the type its spelling gives it."""

    value: Any
    type: SqlType


@dataclass(frozen=True, slots=True)
class Parameter(Expr):
    """The ``position``-th ``?``, counted from 0."""

    position: int


@dataclass(frozen=True, slots=True)
class ColumnRef(Expr):
    """``name``, ``table.name`` or ``db.table.name``."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Star(Expr):
    """``*`` or ``table.*``."""

    table: str | None = None


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """``-``, ``~`` or ``NOT`` before an operand."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """Two operands and an upper-case operator."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class IsNull(Expr):
    """``operand IS [NOT] NULL``."""

    operand: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class InList(Expr):
    """``operand [NOT] IN (items)``."""

    operand: Expr
    items: tuple[Expr, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Between(Expr):
    """``operand [NOT] BETWEEN low AND high``."""

    operand: Expr
    low: Expr
    high: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class Like(Expr):
    """``operand [NOT] LIKE|ILIKE|RLIKE pattern [ESCAPE escape]``."""

    op: str
    operand: Expr
    pattern: Expr
    escape: Expr | None
    negated: bool


@dataclass(frozen=True, slots=True)
class Case(Expr):
    """``CASE [subject] WHEN .. THEN .. [ELSE ..] END``."""

    subject: Expr | None
    branches: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr | None


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    """``CAST(operand AS type)`` or ``type(operand)``."""

    operand: Expr
    type: SqlType
    spelled: str


@dataclass(frozen=True, slots=True)
class Array(Expr):
    """``[items]``; ``element`` is their type where it is written."""

    items: tuple[Expr, ...]
    element: SqlType | None = None


@dataclass(frozen=True, slots=True)
class Element(Expr):
    """``container[key]``."""

    container: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function call; ``over`` names a window or spells one out."""

    name: str
    args: tuple[Expr, ...]
    over: str | Window | None = None
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """A frame's edge: ``offset`` rows or milliseconds before the current row, None unbounded."""

    offset: int | None
    open: bool = False
    has_unit: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """``ROWS`` or ``ROWS_RANGE`` from ``start`` to ``end``."""

    kind: str
    start: Bound
    end: Bound
    maxsize: int | None = None


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One ORDER BY expression."""

    expr: Expr
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A window's definition."""

    unions: tuple[TableRef, ...] = ()
    partition: tuple[Expr, ...] = ()
    order: tuple[OrderKey, ...] = ()
    frame: Frame | None = None
    exclude_current_time: bool = False
    exclude_current_row: bool = False
    instance_not_in_window: bool = False
    base: str | None = None


@dataclass(frozen=True, slots=True)
class TableRef:
    """Something after FROM."""


@dataclass(frozen=True, slots=True)
class NamedTable(TableRef):
    """``[db.]table [AS alias]``."""

    db: str | None
    name: str
    alias: str | None


@dataclass(frozen=True, slots=True)
class Subquery(TableRef):
    """``(SELECT ...) [AS alias]``."""

    query: Query
    alias: str | None


@dataclass(frozen=True, slots=True)
class Join(TableRef):
    """``left kind JOIN right [ORDER BY ..] [ON ..]``; kind is LAST, LEFT, INNER, ..."""

    kind: str
    left: TableRef
    right: TableRef
    order: tuple[OrderKey, ...]
    condition: Expr | None


@dataclass(frozen=True, slots=True)
class SelectItem:
    """An expression of the select list and its alias."""

    expr: Expr
    alias: str | None


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT."""

    items: tuple[SelectItem, ...]
    source: TableRef | None
    where: Expr | None = None
    group: tuple[Expr, ...] = ()
    having: Expr | None = None
    windows: dict[str, Window] = field(default_factory=dict, hash=False)  # a dict has no hash
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Selects under UNION, with the CTEs before and ORDER BY and LIMIT after them."""

    selects: tuple[Select | Query, ...]
    union_distinct: bool = False
    ctes: tuple[tuple[str, Query], ...] = ()
    order: tuple[OrderKey, ...] = ()
    limit: int | None = None
    parameters: int = 0


SelectTree = Query


def nodes(tree: Any) -> Iterator[Any]:
    """Every node of a syntax tree, outer ones first."""
    if isinstance(tree, (tuple, list)):
        for item in tree:
            yield from nodes(item)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from nodes(item)
    elif is_dataclass(tree) and not isinstance(tree, type):
        yield tree
        for f in fields(tree):
            yield from nodes(getattr(tree, f.name))


def conjuncts(expr: Expr | None) -> Iterator[Expr]:
    """The terms that AND joins, from left to right; none of no condition."""
    if isinstance(expr, Binary) and expr.op == "AND":
        yield from conjuncts(expr.left)
        yield from conjuncts(expr.right)
    elif expr is not None:
        yield expr


def show(expr: Expr) -> str:
    """The expression's text as OpenMLDB names an output column without an alias."""
    match expr:
        case Literal(value, type_):
            if value is None:
                return "null"
            if type_ is SqlType.BOOL:
                return "true" if value else "false"
            if type_ is SqlType.DOUBLE or type_ is SqlType.FLOAT:
                return f"{value:f}"
            return str(value)
        case Parameter(position):
            return f"?{position + 1}"
        case ColumnRef(path):
            return ".".join(path)
        case Star(table):
            return f"{table}.*" if table else "*"
        case Unary(op, operand):
            return f"{op} {show(operand)}"
        case Binary(op, left, right):
            return f"{show(left)} {op} {show(right)}"
        case IsNull(operand, negated):
            return f"{show(operand)} is {'not ' if negated else ''}null"
        case InList(operand, items, negated):
            listed = ",".join(show(i) for i in items)
            return f"{show(operand)} {'not ' if negated else ''}in ({listed})"
        case Between(operand, low, high, negated):
            word = "not  between" if negated else "between"
            return f"{show(operand)} {word} {show(low)} and {show(high)}"
        case Like(op, operand, pattern, escape, negated):
            text = f"{show(operand)} {op} {show(pattern)}"
            if escape is not None:
                text = f"{text} ESCAPE {show(escape)}"
            return f"NOT {text}" if negated else text
        case Case(subject, branches, otherwise):
            tests = [c if subject is None else Binary("=", subject, c) for c, _ in branches]
            whens = ",".join(
                f"when {show(t)} then {show(v)}" for t, (_, v) in zip(tests, branches, strict=True)
            )
            return f"case ({whens}) else {'null' if otherwise is None else show(otherwise)}"
        case Cast(operand, type_, _):
            return f"{type_.value.upper()}({show(operand)})"
        case Array(items, element):
            kind = "" if element is None else f"ARRAY<{element.value.upper()}>"
            return f"{kind}[{','.join(show(i) for i in items)}]"
        case Element(container, key):
            return f"{show(container)}[{show(key)}]"
        case Call(name, args, over):
            text = f"{name.lower()}({', '.join(show(a) for a in args)})"
            if isinstance(over, str):
                return f"{text}over {over}"
            return text if over is None else f"{text}over ANONYMOUS_WINDOW "
        case _:
            return type(expr).__name__
