"""Operators of the query that have a meaning to OpenMLDB, and hardly the one that was meant.

OpenMLDB compares a text with anything else as texts, divides by 0 to NULL, and takes a comparison
with NULL for unknown: it accepts all of it. Types are followed from the tables' columns as far as
they are known; where one is not, nothing is said.
"""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.types import SqlType

from nightshift.check.doubts import Doubt

TEXT, NUMBER, TRUTH, TIME = "text", "a number", "a truth value", "a time"

_KINDS: Mapping[SqlType, str] = {
    SqlType.STRING: TEXT,
    SqlType.BOOL: TRUTH,
    SqlType.DATE: TIME,
    SqlType.TIMESTAMP: TIME,
}

_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_DIVISIONS = frozenset({"/", "%", "DIV", "MOD"})

_OF_ARGUMENT = frozenset({
    "at", "first_value", "if_null", "ifnull", "lag", "max", "max_where", "min", "min_where",
    "nvl", "sum", "sum_where",
})  # fmt: skip
"""Functions whose result is of the first argument's type."""

_TO_TEXT = frozenset({
    "char", "concat", "concat_ws", "date_format", "get_json_object", "hex", "lcase", "lower",
    "replace", "reverse", "string", "substr", "substring", "top", "topn_frequency", "ucase",
    "upper",
})  # fmt: skip

_TO_NUMBER = frozenset({
    "abs", "avg", "avg_where", "ceil", "ceiling", "char_length", "character_length", "count",
    "count_where", "datediff", "day", "dayofmonth", "dayofweek", "dayofyear", "distinct_count",
    "exp", "floor", "hash64", "hour", "ln", "locate", "log", "log10", "log2", "median", "minute",
    "month", "pow", "power", "round", "second", "size", "sqrt", "std", "stddev", "strcmp",
    "top1_ratio", "truncate", "unix_timestamp", "variance", "week", "weekofyear", "year",
})  # fmt: skip

_STARTS_AS_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(\D|$)")
"""A text that is compared with a time as one would expect."""

_SHOWN = 80


@dataclass(frozen=True)
class _Field:
    """A column that a part of the query sees: its kind, None where it is not known."""

    name: str
    tables: tuple[str, ...]
    kind: str | None


_Fields = tuple[_Field, ...]
_Scope = dict[str, _Fields]


def operands(tree: s.Query, tables: Mapping[str, Mapping[str, str]]) -> Iterator[Doubt]:
    """What a query compares or divides by, and hardly means.

    Args:
        tree: the query.
        tables: SQL type by column of each table.
    """
    walk = _Walk(
        {
            name: {column: _KINDS.get(SqlType(kind), NUMBER) for column, kind in columns.items()}
            for name, columns in tables.items()
        }
    )
    walk.query(tree, {})
    yield from dict.fromkeys(walk.found)


def constant(expr: s.Expr) -> Any:
    """The number that an expression is in every row.

    Raises:
        ValueError: it is none, or depends on more than constants.
    """
    match expr:
        case s.Literal(value, _) if isinstance(value, (bool, int, float)):
            return value
        case s.Unary("-", operand):
            return -constant(operand)
        case s.Cast(operand, type_, _) if type_ not in _KINDS or type_ is SqlType.BOOL:
            value = constant(operand)
            return int(value) if type_.is_integer else value
        case s.Binary(op, left, right) if op in _ARITHMETIC:
            return _ARITHMETIC[op](constant(left), constant(right))
        case _:
            raise ValueError("not a constant")


@dataclass
class _Walk:
    tables: Mapping[str, Mapping[str, str]]
    found: list[Doubt] = field(default_factory=list)

    # What each part of the query gives

    def query(self, query: s.Query, scope: _Scope) -> _Fields:
        scope = dict(scope)
        for name, cte in query.ctes:
            scope[name] = self.query(cte, scope)
        parts = [
            self.select(part, scope) if isinstance(part, s.Select) else self.query(part, scope)
            for part in query.selects
        ]
        return parts[0]

    def source(self, ref: s.TableRef | None, scope: _Scope) -> _Fields:
        match ref:
            case s.NamedTable(None, name, alias) if name in scope:
                return _renamed(scope[name], alias or name)
            case s.NamedTable(_, name, alias):
                columns = self.tables.get(name, {})
                return tuple(_Field(c, (alias or name,), kind) for c, kind in columns.items())
            case s.Subquery(query, alias):
                inner = self.query(query, scope)
                return _renamed(inner, alias) if alias else inner
            case s.Join():
                both = self.source(ref.left, scope) + self.source(ref.right, scope)
                for term in s.conjuncts(ref.condition):
                    if not _key(term):  # told with what the query reads
                        self.expression(term, both)
                return both
        return ()

    def select(self, select: s.Select, scope: _Scope) -> _Fields:
        fields = self.source(select.source, scope)
        windows = [*select.windows.values()]
        for item in (*(i.expr for i in select.items), select.where, select.having, *select.group):
            if item is not None:
                self.expression(item, fields)
                windows += [call.over for call in _calls(item) if isinstance(call.over, s.Window)]
        for window in windows:
            for union in window.unions:
                self.source(union, scope)
        return tuple(self.outputs(select.items, fields))

    def outputs(self, items: Sequence[s.SelectItem], fields: _Fields) -> Iterator[_Field]:
        for item in items:
            if isinstance(item.expr, s.Star):
                table = item.expr.table
                yield from (f for f in fields if table is None or table in f.tables)
            elif isinstance(item.expr, s.ColumnRef):
                name = item.expr.path[-1]
                kept = item.alias is None or item.alias == name
                named = self.named(item.expr, fields)
                tables = named.tables if named is not None and kept else ()
                yield _Field(item.alias or name, tables, named.kind if named else None)
            else:
                yield _Field(item.alias or s.show(item.expr), (), self.kind(item.expr, fields))

    def named(self, ref: s.ColumnRef, fields: _Fields) -> _Field | None:
        *qualifier, name = ref.path
        found = [
            one
            for one in fields
            if one.name == name and (not qualifier or qualifier[-1] in one.tables)
        ]
        return found[0] if len(found) == 1 else None

    def kind(self, expr: s.Expr, fields: _Fields) -> str | None:
        """What an expression gives, None where that is not known."""
        match expr:
            case s.Literal(value, type_):
                return None if value is None else _KINDS.get(type_, NUMBER)
            case s.ColumnRef():
                named = self.named(expr, fields)
                return named.kind if named is not None else None
            case s.Cast(_, type_, _):
                return _KINDS.get(type_, NUMBER)
            case s.Unary(op, operand):
                return TRUTH if op == "NOT" else self.kind(operand, fields)
            case s.Binary(op, left, right):
                if op in _COMPARISONS or op in ("AND", "OR", "XOR"):
                    return TRUTH
                sides = {self.kind(left, fields), self.kind(right, fields)}
                return NUMBER if sides <= {NUMBER, TRUTH} else None
            case s.IsNull() | s.InList() | s.Between() | s.Like():
                return TRUTH
            case s.Case(_, branches, otherwise):
                values = [value for _, value in branches]
                return self.first([*values, otherwise] if otherwise else values, fields)
            case s.Call(name, args, _):
                return self.called(name.lower(), args, fields)
        return None

    def called(self, name: str, args: Sequence[s.Expr], fields: _Fields) -> str | None:
        if name in _TO_TEXT:
            return TEXT
        if name in _TO_NUMBER:
            return NUMBER
        if name in _OF_ARGUMENT or name == "coalesce":
            return self.first(args[:1] if name in ("at", "lag") else args, fields)
        if name == "if":
            return self.first(args[1:], fields)
        return None

    def first(self, exprs: Sequence[s.Expr], fields: _Fields) -> str | None:
        return next((kind for e in exprs if (kind := self.kind(e, fields)) is not None), None)

    # What is odd in an expression

    def expression(self, tree: s.Expr, fields: _Fields) -> None:
        for expr in _below(tree):
            match expr:
                case s.Binary(op, left, right) if op in _COMPARISONS:
                    self.compared(expr, op, left, right, fields)
                case s.Binary(op, _, right) if op in _DIVISIONS:
                    self.divided(expr, right)
                case s.Call(name, (_, right), _) if name.lower() == "mod":
                    self.divided(expr, right)
                case s.InList(operand, items, _):
                    for item in items:
                        self.compared(expr, "=", operand, item, fields)
                case s.Between(operand, low, high, _):
                    self.compared(expr, ">=", operand, low, fields)
                    self.compared(expr, "<=", operand, high, fields)
                    self.between(expr, low, high)
                case s.Case(subject, branches, _) if subject is not None:
                    for tested, _ in branches:
                        whole = s.Binary("=", subject, tested)
                        self.compared(whole, "=", subject, tested, fields)

    def tell(self, expr: s.Expr, why: str, fix: str) -> None:
        text = s.show(expr)
        key = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
        self.found.append(Doubt(key, why, fix))

    def compared(
        self, whole: s.Expr, op: str, left: s.Expr, right: s.Expr, fields: _Fields
    ) -> None:
        for side in (left, right):
            if isinstance(side, s.Literal) and side.value is None:
                self.tell(
                    whole, "a comparison with NULL is NULL in every row, so that it is never true",
                    f"write isnull({s.show(right if side is left else left)})",
                )  # fmt: skip
                return
        if left == right and isinstance(left, s.ColumnRef):
            self.tell(whole, "it compares a column with itself", "name the other column")
            return
        kinds = self.kind(left, fields), self.kind(right, fields)
        if None in kinds or TEXT not in kinds or kinds[0] == kinds[1]:
            return
        text, other = (left, right) if kinds[0] == TEXT else (right, left)
        kind = kinds[1] if kinds[0] == TEXT else kinds[0]
        if kind == TIME:
            value = text.value if isinstance(text, s.Literal) else None
            if isinstance(value, str) and _STARTS_AS_TIME.match(value):
                return
        self.tell(
            whole,
            f"{s.show(text)} is text and {s.show(other)} is {kind}: OpenMLDB compares both as texts, "
            + _unlike(op, str(kind)),
            _fix(text, other, str(kind)),
        )

    def divided(self, whole: s.Expr, by: s.Expr) -> None:
        if isinstance(by, s.Literal) and by.value is None:
            zero = "NULL"
        else:
            try:
                zero = "0" if constant(by) == 0 else ""
            except (ValueError, OverflowError):
                return
        if zero:
            self.tell(
                whole, f"it divides by {zero}, which gives NULL in every row",
                "name the column or the number that is meant",
            )  # fmt: skip

    def between(self, whole: s.Expr, low: s.Expr, high: s.Expr) -> None:
        try:
            reversed_ = constant(low) > constant(high)
        except (ValueError, OverflowError):
            texts = [one.value for one in (low, high) if isinstance(one, s.Literal)]
            reversed_ = (
                len(texts) == 2 and all(isinstance(t, str) for t in texts) and texts[0] > texts[1]
            )
        if reversed_:
            self.tell(
                whole, f"nothing is between {s.show(low)} and {s.show(high)}: the first is the greater",
                "exchange them",
            )  # fmt: skip


def _unlike(op: str, kind: str) -> str:
    """What a comparison as texts does."""
    if kind == TIME:
        return "where a time reads 2026-03-01 12:00:00"
    if kind == TRUTH:
        return "where a truth value reads true or false"
    if op in _TURNED:
        return "so that 10 is less than 9"
    return "so that 7 is not 07 or 7.0"


def _fix(text: s.Expr, other: s.Expr, kind: str) -> str:
    if isinstance(text, s.Literal):
        plain = str(text.value)
        number = re.fullmatch(r"-?\d+(\.\d+)?", plain)
        if kind == NUMBER and number:
            return f"write {plain} without quotes"
        if kind == TRUTH and plain.lower() in ("true", "false"):
            return f"write {plain.lower()} without quotes"
        if kind == TIME:
            return "write it as '2026-03-01 12:00:00'"
        return f"compare {s.show(other)} with {kind}"
    if isinstance(other, s.Literal):
        return f"write '{s.show(other)}' in quotes, or cast the text, as in double({s.show(text)})"
    return f"cast one of them, as in string({s.show(other)})"


def _renamed(fields: _Fields, alias: str) -> _Fields:
    return tuple(dataclasses.replace(one, tables=(alias,)) for one in fields)


def _key(term: s.Expr) -> bool:
    """Whether a term says that two columns are equal."""
    return (
        isinstance(term, s.Binary)
        and term.op == "="
        and isinstance(term.left, s.ColumnRef)
        and isinstance(term.right, s.ColumnRef)
    )


def _below(node: Any) -> Iterator[s.Expr]:
    """Every expression in one, but for those of tables that its windows unite."""
    if isinstance(node, (list, tuple)):
        for one in node:
            yield from _below(one)
    elif isinstance(node, s.Expr):
        yield node
        for one in dataclasses.fields(node):
            yield from _below(getattr(node, one.name))


def _calls(tree: s.Expr) -> Iterator[s.Call]:
    return (one for one in _below(tree) if isinstance(one, s.Call))
