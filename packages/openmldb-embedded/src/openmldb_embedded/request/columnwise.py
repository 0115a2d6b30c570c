"""Several request rows at once, column by column, and expressions over them.

An expression means what its ``row`` says: a column is that meaning mapped over the rows. What is
gained is by the columns. Of a column with one value for all rows (the user's side, where many
products are asked for) an expression is computed once, and of the others by one loop in C.

A branch of CASE, or the right side of AND and OR, is computed of the rows that come to it alone.
Still an argument may be computed here that a row alone would not have needed, and fail: the caller
then answers row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from openmldb_embedded.expr import Apply, CaseWhen, Col, Expr, Logic
from openmldb_embedded.memtable import Row
from openmldb_embedded.request.rows import constant
from openmldb_embedded.rewrite import columns_read


class Column:
    """One column of several rows.

    Attributes:
        same: Whether all rows are known to have one value.
        value: That value.
    """

    __slots__ = ("_at", "_count", "_rows", "_values", "same", "value")

    same: bool
    value: Any
    _at: int
    _count: int
    _rows: Sequence[Sequence[Any]]
    _values: list[Any] | None

    @classmethod
    def of(cls, values: list[Any]) -> Column:
        """A column of these values."""
        made = cls()
        made._values, made.same, made.value = values, False, None
        return made

    @classmethod
    def once(cls, value: Any, count: int) -> Column:
        """A column with one value for ``count`` rows."""
        made = cls()
        made._values, made._count, made.same, made.value = None, count, True, value
        return made

    @classmethod
    def picked(cls, rows: Sequence[Sequence[Any]], at: int) -> Column:
        """The values at one place of rows, picked when they are asked for."""
        made = cls()
        made._values, made._rows, made._at, made.same, made.value = None, rows, at, False, None
        return made

    def values(self) -> list[Any]:
        """The value of each row; do not change the list."""
        if self._values is None:
            if self.same:
                self._values = [self.value] * self._count
            else:
                at = self._at
                self._values = [row[at] for row in self._rows]
        return self._values

    def at(self, place: int) -> Any:
        """The value of one row."""
        if self.same:
            return self.value
        return self._rows[place][self._at] if self._values is None else self._values[place]

    def take(self, places: Sequence[int]) -> Column:
        """The column of some of the rows."""
        if self.same:
            return Column.once(self.value, len(places))
        values = self.values()
        return Column.of([values[n] for n in places])


class Rowset:
    """Several rows of a relation.

    Attributes:
        columns: Its columns.
        count: How many rows.
    """

    __slots__ = ("_rows", "columns", "count")

    def __init__(self, columns: Sequence[Column], count: int) -> None:
        self.columns = columns
        self.count = count
        self._rows: list[Row] | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], floating: Collection[int] = ()) -> Rowset:
        """Rows as columns.

        Args:
            rows: At least one, of one length.
            floating: Columns where equal values may be different ones: 0.0 and -0.0.
        """
        count = len(rows)
        columns = []
        for place, values in enumerate(zip(*rows, strict=True)):
            first = values[0]
            if place not in floating and values.count(first) == count:
                columns.append(Column.once(first, count))
            else:
                columns.append(Column.of(list(values)))
        return cls(columns, count)

    def once(self, value: Any) -> Column:
        """A column with one value for all these rows."""
        return Column.once(value, self.count)

    def rows(self) -> list[Row]:
        """The rows."""
        if self._rows is None:
            if self.columns:
                self._rows = list(zip(*[c.values() for c in self.columns], strict=True))
            else:
                self._rows = [()] * self.count
        return self._rows

    def row(self, place: int) -> Row:
        """One row."""
        return tuple([c.at(place) for c in self.columns])

    def take(self, places: Sequence[int], read: Collection[int]) -> Rowset:
        """Some of the rows; only the columns ``read`` are there."""
        nothing = Column.once(None, len(places))
        columns = [c.take(places) if n in read else nothing for n, c in enumerate(self.columns)]
        return Rowset(columns, len(places))


Compute = Callable[[Rowset], Column]


def columnwise(e: Expr) -> Compute:
    """A function from rows to an expression's column."""
    if isinstance(e, Col):
        index = e.index
        return lambda x: x.columns[index]
    known = constant(e)
    if known is not None:
        (value,) = known
        return lambda x: x.once(value)
    match e:
        case Apply():
            return _applied(e)
        case CaseWhen():
            return _chosen(e)
        case Logic():
            return _decided(e)
    one = e.row()
    return lambda x: Column.of(list(map(one, x.rows())))


def keys_of(exprs: Sequence[Expr]) -> Compute:
    """A function from rows to their keys, as ``rows.key_function`` makes them."""
    makers = [columnwise(e) for e in exprs]
    if len(makers) == 1:
        return makers[0]

    def keys(x: Rowset) -> Column:
        parts = [m(x) for m in makers]
        if all(c.same for c in parts):
            return x.once(tuple([c.value for c in parts]))
        return Column.of(list(zip(*[c.values() for c in parts], strict=True)))

    return keys


def _applied(e: Apply) -> Compute:
    fn, strict = e.impl.row, e.impl.strict
    args = [columnwise(a) for a in e.args]

    def run(x: Rowset) -> Column:
        given = [a(x) for a in args]
        if all(c.same for c in given):
            one = [c.value for c in given]
            return x.once(None if strict and None in one else fn(*one))
        lists = [c.values() for c in given]
        if strict and any(
            c.value is None if c.same else None in values
            for c, values in zip(given, lists, strict=True)
        ):
            return Column.of(
                [None if None in row else fn(*row) for row in zip(*lists, strict=True)]
            )
        return Column.of(list(map(fn, *lists)))

    return run


def _chosen(e: CaseWhen) -> Compute:
    """The first branch whose condition is true; a branch is computed of its own rows alone."""
    branches = [(columnwise(c), columnwise(x)) for c, x in e.branches]
    otherwise = columnwise(e.otherwise)
    read = columns_read(e)

    def choose(x: Rowset, at: int) -> Column:
        if at == len(branches):
            return otherwise(x)
        condition, value = branches[at]
        hits = condition(x)
        if hits.same:
            return value(x) if hits.value else choose(x, at + 1)
        yes = [n for n, hit in enumerate(hits.values()) if hit]
        if len(yes) == x.count:
            return value(x)
        if not yes:
            return choose(x, at + 1)
        no = [n for n, hit in enumerate(hits.values()) if not hit]
        out: list[Any] = [None] * x.count
        for places, found in (
            (yes, value(x.take(yes, read))),
            (no, choose(x.take(no, read), at + 1)),
        ):
            for n, item in zip(places, found.values(), strict=True):
                out[n] = item
        return Column.of(out)

    return lambda x: choose(x, 0)


def _decided(e: Logic) -> Compute:
    """AND, OR; the right side is computed of the rows that the left does not decide."""
    left, right = columnwise(e.left), columnwise(e.right)
    decides = e.op == "OR"
    read = columns_read(e.right)

    def both(a: Any, b: Any) -> Any:
        if b is not None and bool(b) is decides:
            return decides
        return None if a is None or b is None else not decides

    def run(x: Rowset) -> Column:
        first = left(x)
        if first.same:
            a = first.value
            if a is not None and bool(a) is decides:
                return x.once(decides)
            second = right(x)
            if second.same:
                return x.once(both(a, second.value))
            return Column.of([both(a, b) for b in second.values()])
        known = first.values()
        left_open = [n for n, a in enumerate(known) if a is None or bool(a) is not decides]
        out = [decides] * x.count
        if left_open:
            whole = len(left_open) == x.count
            second = right(x if whole else x.take(left_open, read))
            for n, b in zip(left_open, second.values(), strict=True):
                out[n] = both(known[n], b)
        return Column.of(out)

    return run
