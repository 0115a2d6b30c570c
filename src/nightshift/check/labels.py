"""The share of positives in the newest settled days, from the files that give the label.

The query is not run. Its expression of the label is computed over the distinct values that its
columns have, as far as it is made of comparisons, CASE, casts and NULL tests.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.types import SqlType

from nightshift import layout
from nightshift.data import reading
from nightshift.features.reach import Reach
from nightshift.features.tables import SourceTables

if TYPE_CHECKING:
    from nightshift.features.specification import FeatureSpec
    from nightshift.pipeline import Pipeline

MOST_ROWS = 1_000_000
"""Requests whose labels are counted, of the newest settled days."""

_MOST_VALUES = 10_000
"""Distinct values of the label's columns; with more, the label is not computed."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Positives:
    """About how many of the judged requests are positive.

    Attributes:
        judged: requests with a label, or that count as one.
        positive: of them.
        days: how many days were read.
        odd: a value of a label other than 0, 1 and NULL, by which a night fails; None where there
            is none.
    """

    judged: int
    positive: int
    days: int
    odd: Any = None

    @property
    def share(self) -> float:
        """Their share."""
        return self.positive / self.judged if self.judged else 0.0


class _NotKnown(Exception):
    """The label depends on more than this module computes."""


def positives(
    pipeline: Pipeline,
    spec: FeatureSpec,
    query: str,
    reach: Reach,
    columns: Sequence[str],
    requests: Mapping[dt.date, int],
) -> Positives | None:
    """The positives of the newest settled days of a window; None where they are not known.

    Args:
        pipeline: its tables and files.
        spec: its specification.
        query: the feature query.
        reach: what the query reads.
        columns: the columns of the table that gives the label.
        requests: how many there are of each day of the newest window.

    Raises:
        DataError: a partition cannot be read.
    """
    tables = pipeline.features.tables
    source = tables.label_table or tables.request_table
    with contextlib.suppress(SqlError, RecursionError, TypeError, _NotKnown):
        expr = _expression(query, spec.label, columns)
        used = sorted({one.path[-1] for one in s.nodes(expr) if isinstance(one, s.ColumnRef)})
        keys = _keys(reach, tables)
        count, days = _settled(tables, spec, requests)
        files = list(_label_files(pipeline, source, days))
        if not count or not files or reading.rows(files) > 2 * MOST_ROWS:
            return None
        ones = zeros = 0
        odd = None
        if tables.label_table is not None:  # a request without a row of it
            odd = _odd(value_of(expr, dict.fromkeys(used)))
        for row, many in _counted(files, used, keys):
            value = value_of(expr, row)
            odd = _odd(value) if odd is None else odd
            ones += many if value else 0
            zeros += many if value is not None and not value else 0
        if tables.label_absent == 0:
            return Positives(count, min(ones, count), len(days), odd)
        if tables.label_absent == 1:
            return Positives(count, max(0, count - zeros), len(days), odd)
        return Positives(ones + zeros, ones, len(days), odd)
    return None


def _odd(value: Any) -> Any:
    """A label's value that is none; None where it is one."""
    return None if value is None or value in (0, 1) else value


def _expression(query: str, label: str, columns: Sequence[str]) -> s.Expr:
    """The one expression of the query that is called by the label's name and made of `columns`."""
    tree = parse_select(query, strict=False)
    found = [
        item.expr
        for item in s.nodes(tree)
        if isinstance(item, s.SelectItem)
        and (item.alias or (item.expr.path[-1] if isinstance(item.expr, s.ColumnRef) else ""))
        == label
    ]
    made = [
        expr
        for expr in found
        if (named := [one.path[-1] for one in s.nodes(expr) if isinstance(one, s.ColumnRef)])
        and set(named) <= set(columns)
    ]
    if len(made) != 1:
        raise _NotKnown
    return made[0]


def _keys(reach: Reach, tables: SourceTables) -> list[str]:
    """The columns of the label's table that name a request."""
    if tables.label_table is None:
        return [tables.request_id]
    for join in reach.joins:
        read = reach.read(join.read)
        if read.table == tables.label_table:
            return [name for name, _ in read.keys]
    raise _NotKnown


def _settled(
    tables: SourceTables, spec: FeatureSpec, requests: Mapping[dt.date, int]
) -> tuple[int, list[dt.date]]:
    """Requests of the newest settled days of a window, and those days."""
    settle = tables.label_settle_days
    settle = spec.label_settle_days if settle is None else settle
    count = 0
    days: list[dt.date] = []
    for day in sorted(requests, reverse=True)[settle:]:
        count += requests[day]
        days.append(day)
        if count >= MOST_ROWS:
            break
    return count, days


def _label_files(pipeline: Pipeline, source: str, days: Sequence[dt.date]) -> Iterator[Path]:
    tables = pipeline.features.tables
    if source in tables.snapshots:
        raise _NotKnown  # of all times
    for day in days:
        yield from reading.parquet_files(layout.partition(pipeline.data, source, day))


def _counted(
    files: Sequence[Path], used: Sequence[str], keys: Sequence[str]
) -> list[tuple[dict[str, Any], int]]:
    """The distinct values of the label's columns, and how many requests have each."""
    import pyarrow as pa

    wanted = list(dict.fromkeys([*used, *keys]))
    found: pa.Table = reading.table(files, columns=wanted)
    each = found.group_by(wanted).aggregate([])
    grouped = each.group_by(list(used)).aggregate([([], "count_all")])
    if grouped.num_rows > _MOST_VALUES:
        raise _NotKnown
    counts = grouped["count_all"].to_pylist()
    rows = grouped.select(list(used)).to_pylist()
    return list(zip(rows, counts, strict=True))


def value_of(expr: s.Expr, row: Mapping[str, Any]) -> Any:
    """An expression's value over a row of the label's table; NULL is None.

    Raises:
        _NotKnown: it is of a kind that is not computed here.
    """
    match expr:
        case s.Literal(value, _):
            return value
        case s.ColumnRef(path):
            return row[path[-1]]
        case s.Unary("NOT", operand):
            value = value_of(operand, row)
            return None if value is None else not value
        case s.Unary("-", operand):
            value = value_of(operand, row)
            return None if value is None else -value
        case s.Binary(op, left, right):
            return _binary(op, value_of(left, row), value_of(right, row))
        case s.IsNull(operand, negated):
            return (value_of(operand, row) is None) != negated
        case s.Call(name, (operand,), None) if name.lower() in ("isnull", "is_null"):
            return value_of(operand, row) is None
        case s.Call(name, (operand, otherwise), None) if name.lower() in (
            "ifnull",
            "if_null",
            "nvl",
        ):
            value = value_of(operand, row)
            return value_of(otherwise, row) if value is None else value
        case s.Call(name, (condition, value, otherwise), None) if name.lower() == "if":
            return value_of(value if value_of(condition, row) else otherwise, row)
        case s.Cast(operand, type_, _) if type_.is_numeric or type_ is SqlType.BOOL:
            return _cast(value_of(operand, row), type_)
        case s.Case(subject, branches, otherwise):
            for tested, value in branches:
                test = tested if subject is None else s.Binary("=", subject, tested)
                if value_of(test, row):
                    return value_of(value, row)
            return None if otherwise is None else value_of(otherwise, row)
        case s.InList(operand, items, negated):
            value = value_of(operand, row)
            found = [_binary("=", value, value_of(item, row)) for item in items]
            inside = True if True in found else None if None in found else False
            return None if inside is None else inside != negated
        case _:
            raise _NotKnown


def _binary(op: str, left: Any, right: Any) -> Any:
    if op == "AND":
        return False if False in (left, right) else None if None in (left, right) else True
    if op == "OR":
        return True if True in (left, right) else None if None in (left, right) else False
    if op not in _COMPARISONS:
        raise _NotKnown
    if left is None or right is None:
        return None
    if isinstance(left, str) != isinstance(right, str):
        raise _NotKnown  # compared as texts, which the check tells
    return _COMPARISONS[op](left, right)


def _cast(value: Any, type_: SqlType) -> Any:
    if value is None:
        return None
    if not isinstance(value, (bool, int, float)):
        raise _NotKnown
    if type_ is SqlType.BOOL:
        return bool(value)
    try:
        return int(value) if type_.is_integer else float(value)
    except (ValueError, OverflowError):
        return None
