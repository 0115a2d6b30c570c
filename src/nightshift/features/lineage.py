"""From the text of a feature query to its `Reach`.

The query is parsed by the package that the embedded server parses by, so any style that OpenMLDB
takes is read as OpenMLDB reads it: windows named or written after OVER, joins of tables or of
subqueries, CTEs, aliases. Columns are followed through subqueries to the table they come from,
since rows are reached by tables' columns. What the check could only guess at is refused with the
fix; docs/release.md lists it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from openmldb_sql import statements
from openmldb_sql import syntax as s
from openmldb_sql.errors import PlanError, SqlError
from openmldb_sql.parse import parse_select

from nightshift.errors import ConfigurationError
from nightshift.features.reach import Column, Join, Output, Reach, Read, Source, Window
from nightshift.features.tables import SourceTables

REQUEST = 0
"""The read that is the request row itself."""

_Node = TypeVar("_Node", bound=s.Expr)
_Scope = dict[str, tuple[s.Query, "_Scope"]]


Columns = Mapping[str, Sequence[str]]
"""The columns of each table, in their order."""


def columns_of(
    script: str, tables: SourceTables, source: str = "include/sql/create_tables.sql"
) -> Columns:
    """The columns of the source tables, from the script that creates them.

    Args:
        script: CREATE TABLE statements.
        tables: the tables that it should create.
        source: the script's file, named in messages.

    Raises:
        ConfigurationError: a statement is not OpenMLDB's or names no columns, or the script
            makes other tables than are declared.
    """
    found = {}
    try:
        for text in statements.split(script):
            statement = statements.parse(text)
            if isinstance(statement, statements.CreateTable):
                found[statement.table.name] = statement.schema.names
    except SqlError as error:
        raise ConfigurationError(f"{source}: {getattr(error, 'reason', error)}") from error
    for name, columns in found.items():
        if not columns:
            raise ConfigurationError(f"{source}: table {name} is made without columns; list them")
    tables.check_created(found, source)
    return found


def reach_of(
    sql: str,
    *,
    tables: SourceTables,
    columns: Columns,
    source: str = "include/sql/features.sql",
) -> Reach:
    """What a feature query reaches, and how.

    Args:
        sql: the query.
        tables: what each table is.
        columns: the columns of each.
        source: the query's file, named in messages.

    Raises:
        ConfigurationError: the text is not a query, names what is not there, or is of a kind that
            the consistency check cannot judge; the message says what to write instead.
    """
    reading, _ = _read(sql, tables, columns, source)
    return reading.reach()


def outputs_of(
    sql: str,
    *,
    tables: SourceTables,
    columns: Columns,
    source: str = "include/sql/features.sql",
) -> tuple[Output, ...]:
    """The columns that a feature query gives, and where their values come from.

    Args, errors: as of `reach_of`.
    """
    reading, relation = _read(sql, tables, columns, source)

    def table(read: int) -> str:
        return tables.request_table if read == REQUEST else reading.reads[read - 1].table

    return tuple(
        Output(
            one.name,
            None if one.origin is None else (table(one.origin.read), one.origin.name),
            frozenset(map(table, one.reads)),
            one.of_time,
        )
        for one in relation.fields
    )


def _read(
    sql: str, tables: SourceTables, columns: Columns, source: str
) -> tuple[_Reading, _Relation]:
    reading = _Reading(tables, columns, source)
    try:
        tree = parse_select(sql)
    except PlanError as error:
        reading.refuse(error.reason)
    table, _ = reading.leftmost(s.Subquery(tree, None), {})
    if table != tables.request_table:
        reading.refuse(
            f"the query starts FROM {table}, but {tables.source} says that requests are rows of "
            f"{tables.request_table}; start from it, so that the deployment takes requests"
        )
    if tree.limit is not None:
        reading.refuse(f"LIMIT {tree.limit} takes arbitrary requests; drop it")
    relation = reading.query(tree, {}, REQUEST)
    return reading, relation


@dataclass(frozen=True)
class _Field:
    """An output column.

    Attributes:
        name: its name.
        tables: what may qualify it.
        origin: the table's column it is, if any.
        reads: the reads that it takes values from.
        of_time: whether it follows from the request's time alone.
    """

    name: str
    tables: tuple[str, ...]
    origin: Column | None
    reads: frozenset[int] = frozenset()
    of_time: bool = False


@dataclass(frozen=True)
class _Relation:
    """Columns of rows that stand for those of the read `base`; see `Join` for the others."""

    fields: tuple[_Field, ...]
    base: int
    whole: bool = True
    groups: tuple[str, ...] | None = None


@dataclass
class _Reading:
    """The walk through one query.

    Attributes:
        mains: reads whose rows are requests on the query's main path: the request row, and the
            requests before it where a window holds them.
    """

    tables: SourceTables
    columns: Columns
    source: str
    reads: list[Read] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    mains: set[int] = field(default_factory=lambda: {REQUEST})

    def refuse(self, why: str) -> NoReturn:
        raise ConfigurationError(f"{self.source}: {why}")

    def open(self, table: str, keys: Iterable[tuple[str, Column]] = ()) -> int:
        self.reads.append(Read(table, tuple(keys)))
        return len(self.reads)

    def reach(self) -> Reach:
        """What was found, each read, window and join once."""
        numbers = {REQUEST: REQUEST}
        used = {source.read for window in self.windows for source in window.sources}
        used.update(join.read for join in self.joins)
        for number in range(len(self.reads), 0, -1):
            if number in used:
                used.update(column.read for _, column in self.reads[number - 1].keys)
        reads: list[Read] = []
        for number, read in enumerate(self.reads, 1):
            if number not in used:
                continue
            keys = dict.fromkeys((name, _moved(column, numbers)) for name, column in read.keys)
            one = Read(read.table, tuple(sorted(keys, key=lambda key: key[0])))
            if one not in reads:
                reads.append(one)
            numbers[number] = reads.index(one) + 1
        windows = (
            dataclasses.replace(
                window,
                requests=window.requests and _placed(window.requests, numbers),
                unions=tuple(_placed(union, numbers) for union in window.unions),
            )
            for window in self.windows
        )
        joins = (_placed(join, numbers) for join in self.joins)
        return Reach(tuple(reads), tuple(dict.fromkeys(windows)), tuple(dict.fromkeys(joins)))

    # -- relations

    def leftmost(self, ref: s.TableRef | None, scope: _Scope) -> tuple[str, bool]:
        """The first table below a relation, and whether the relation is that table itself."""
        bare = True
        while not isinstance(ref, s.NamedTable) or (ref.db is None and ref.name in scope):
            bare = False
            if isinstance(ref, s.NamedTable):
                query, scope = scope[ref.name]
                ref = s.Subquery(query, None)
            elif isinstance(ref, s.Join):
                ref = ref.left
            elif isinstance(ref, s.Subquery):
                scope = _with_ctes(ref.query, scope)
                first = ref.query.selects[0]
                ref = first.source if isinstance(first, s.Select) else s.Subquery(first, None)
            else:
                self.refuse("a SELECT without FROM has no rows; name a table")
        return ref.name, bare

    def query(self, query: s.Query, scope: _Scope, base: int) -> _Relation:
        scope = _with_ctes(query, scope)
        parts = [
            self.select(part, scope, base)
            if isinstance(part, s.Select)
            else self.query(part, scope, base)
            for part in query.selects
        ]
        stored = base not in self.mains
        if stored and len(parts) > 1:
            self.refuse("a UNION of stored tables' rows cannot be followed; unite them in a window")
        if stored and query.limit is not None:
            self.refuse(f"LIMIT {query.limit} in a joined subquery takes arbitrary rows; drop it")
        first = parts[0]
        fields = tuple(
            dataclasses.replace(
                named,
                origin=named.origin
                if all(part.fields[at].origin == named.origin for part in parts)
                else None,
                reads=named.reads.union(*(part.fields[at].reads for part in parts)),
                of_time=all(part.fields[at].of_time for part in parts),
            )
            for at, named in enumerate(first.fields)
        )
        whole = len(parts) == 1 and first.whole
        return dataclasses.replace(first, fields=fields, whole=whole)

    def table(self, ref: s.TableRef, scope: _Scope, base: int) -> _Relation:
        match ref:
            case s.NamedTable(None, name, alias) if name in scope:
                query, outer = scope[name]
                return _renamed(self.query(query, outer, base), alias or name)
            case s.NamedTable(db, name, alias):
                if db is not None:
                    self.refuse(
                        f"{db}.{name} names a database, but a night computes in databases of its "
                        f"own; write {name}"
                    )
                if name not in self.columns:
                    known = ", ".join(self.columns)
                    self.refuse(f"table {name} is not among those of {self.tables.source}: {known}")
                names = (alias or name,)
                own = frozenset([base])
                time = self.tables.request_time if base == REQUEST else None
                columns = (
                    _Field(c, names, Column(base, c), own, c == time) for c in self.columns[name]
                )
                return _Relation(tuple(columns), base)
            case s.Subquery(query, alias):
                relation = self.query(query, scope, base)
                return _renamed(relation, alias) if alias else relation
            case s.Join():
                return self.join(ref, scope, base)
        raise AssertionError(ref)

    def join(self, ref: s.Join, scope: _Scope, base: int) -> _Relation:
        left = self.table(ref.left, scope, base)
        table, bare = self.leftmost(ref.right, scope)
        # A subquery over the request table stands for the request, the bare table for stored rows.
        stands = not bare and table == self.tables.request_table and base in self.mains
        read = self.open(table)
        right = self.table(ref.right, scope, base if stands else read)
        keys: list[tuple[str, Column]] = []
        before: set[str] = set()
        whole = right.whole
        for term in s.conjuncts(ref.condition):
            key = self.equality(term, left, right)
            if key is None:
                whole = False
                before |= _not_after(term, left, right)
            else:
                keys.append(key)
        if not keys:
            self.refuse(
                f"the {ref.kind} JOIN of {table} has no equality of a column of {table} with a "
                "column before it, so that the rows it takes are not known by a key; join by one"
            )
        self.reads[read - 1] = Read(table, tuple(keys))
        order, descending = None, False
        for one in ref.order:
            origin = self.field(one.expr, right).origin
            order = origin.name if origin is not None and origin.read == right.base else None
            descending = one.descending
        self.joins.append(
            Join(read, order, descending, whole, right.groups, stands, frozenset(before))
        )
        return _Relation(left.fields + right.fields, left.base, left.whole and ref.kind == "LAST")

    def equality(
        self, term: s.Expr, left: _Relation, right: _Relation
    ) -> tuple[str, Column] | None:
        """(column of the right table, what it equals) where the term says so of plain columns."""
        if not isinstance(term, s.Binary) or term.op != "=":
            return None
        both = _Relation(left.fields + right.fields, left.base)
        if not isinstance(term.left, s.ColumnRef) or not isinstance(term.right, s.ColumnRef):
            return None
        ats = sorted((self.place(term.left, both), self.place(term.right, both)))
        if not ats[0] < len(left.fields) <= ats[1]:
            return None
        known, own = (both.fields[at].origin for at in ats)
        if known is None or own is None or own.read != right.base:
            return None
        return own.name, known

    def select(self, select: s.Select, scope: _Scope, base: int) -> _Relation:
        if select.source is None:
            self.refuse("a SELECT without FROM has no rows; name a table")
        child = self.table(select.source, scope, base)
        whole = child.whole and select.where is None and select.having is None
        child = dataclasses.replace(child, whole=whole)
        for name, (window, arguments) in _used_windows(select).items():
            definition = self.definition(name, window, select)
            self.window(name, definition, arguments, select.source, child, scope)
        groups = child.groups
        if select.group:
            origins = [
                self.field(key, child).origin if isinstance(key, s.ColumnRef) else None
                for key in select.group
            ]
            plain = [o.name for o in origins if o is not None and o.read == child.base]
            groups = tuple(plain) if len(plain) == len(origins) else None
        fields = tuple(self.outputs(select.items, child))
        return dataclasses.replace(child, fields=fields, groups=groups)

    def outputs(self, items: Iterable[s.SelectItem], child: _Relation) -> Iterator[_Field]:
        for item in items:
            if isinstance(item.expr, s.Star):
                table = item.expr.table
                yield from (f for f in child.fields if table is None or table in f.tables)
            elif isinstance(item.expr, s.ColumnRef):
                found = self.field(item.expr, child)
                kept = item.alias is None or item.alias == found.name
                yield found if kept else dataclasses.replace(found, name=str(item.alias), tables=())
            else:
                name = item.alias or s.show(item.expr)
                used = _used(item.expr, child)
                reads: frozenset[int] = frozenset().union(*(one.reads for one in used))
                yield _Field(name, (), None, reads, _of_time(item.expr, used))

    # -- names

    def place(self, expr: s.Expr, relation: _Relation) -> int:
        """Which of the relation's columns an expression names."""
        if not isinstance(expr, s.ColumnRef):
            self.refuse(f"{s.show(expr)} stands where only a column can")
        *qualifier, name = expr.path
        found = [
            at
            for at, one in enumerate(relation.fields)
            if one.name == name and (not qualifier or qualifier[-1] in one.tables)
        ]
        if len(found) != 1:
            what = "is ambiguous; write the table before it" if found else "is not a column here"
            self.refuse(f"{'.'.join(expr.path)} {what}")
        return found[0]

    def field(self, expr: s.Expr, relation: _Relation) -> _Field:
        return relation.fields[self.place(expr, relation)]

    # -- windows

    def definition(self, name: str, window: s.Window, select: s.Select) -> s.Window:
        seen: set[str] = set()
        while window.base is not None:
            if window.base in seen or window.base not in select.windows:
                self.refuse(f"{name} is defined by {window.base}, which is not defined")
            seen.add(window.base)
            window = select.windows[window.base]
        return window

    def window(
        self,
        name: str,
        w: s.Window,
        arguments: Sequence[s.ColumnRef],
        below: s.TableRef,
        child: _Relation,
        scope: _Scope,
    ) -> None:
        if child.base not in self.mains:
            self.refuse(
                f"{name} is over rows of a joined table, so that its frames do not end at the "
                "request; unite the table in a window over the requests"
            )
        if child.base != REQUEST:
            self.refuse(
                f"{name} is computed for the rows of another window, which request mode computes "
                "otherwise than batch; compute each window from the tables"
            )
        if not w.partition or len(w.order) != 1 or w.frame is None:
            self.refuse(f"{name} needs PARTITION BY, ORDER BY one column, and a frame")
        key_ats = [self.place(key, child) for key in w.partition]
        order_at = self.place(w.order[0].expr, child)
        keys = [child.fields[at].origin for at in key_ats]
        time = _name_of(child.fields[order_at].origin, REQUEST)
        if any(
            edge.offset is not None and edge.offset < 0 for edge in (w.frame.start, w.frame.end)
        ):
            self.refuse(
                f"{name} reaches into the time after the request (FOLLOWING), which a request "
                "does not know; end the frame at CURRENT ROW, or before it"
            )
        start, end, cuts = _frame(w)
        holds = not w.instance_not_in_window
        if (holds or cuts) and time is None:
            self.refuse(
                f"{name} is ordered by {child.fields[order_at].name}, which is computed or no "
                f"column of {self.tables.request_table}; order by the column itself"
            )
        for argument in arguments:
            origin = self.field(argument, child).origin
            if origin is not None and origin.read != REQUEST:
                self.refuse_label(f"{name} aggregates {argument.path[-1]}", origin.read)
        requests = None
        if holds:
            requests = self.requests(name, keys, time, arguments, below, child, scope)
        unions = []
        for ref in w.unions:
            table, _ = self.leftmost(ref, scope)
            read = self.open(table)
            relation = self.table(ref, scope, read)
            if len(relation.fields) != len(child.fields):
                self.refuse(
                    f"{name} unites {len(child.fields)} columns with {len(relation.fields)} of "
                    f"{table}"
                )
            own = [_name_of(relation.fields[at].origin, read) for at in key_ats]
            pairs = [(n, k) for n, k in zip(own, keys, strict=True) if n is not None and k]
            self.reads[read - 1] = Read(table, tuple(pairs))
            union_time = _name_of(relation.fields[order_at].origin, read)
            if cuts and union_time is None:
                self.refuse(
                    f"{name} counts rows of {table} in an order that is computed; order by a "
                    "column of the table"
                )
            whole = relation.whole and len(pairs) == len(keys)
            unions.append(Source(read, union_time or "", whole))
            self.past_label(name, read, union_time, w, end)
        self.windows.append(
            Window(
                name, requests, tuple(unions), time or "", start, end, cuts,
                not w.exclude_current_time,
            )
        )  # fmt: skip

    def requests(
        self,
        name: str,
        keys: Sequence[Column | None],
        time: str | None,
        arguments: Sequence[s.ColumnRef],
        below: s.TableRef,
        child: _Relation,
        scope: _Scope,
    ) -> Source:
        """The requests that stand in a window, and what is joined to them."""
        if time != self.tables.request_time:
            self.refuse(
                f"{name} orders requests by {time}, but they come in the order of "
                f"{self.tables.request_time}; order by it, or say INSTANCE_NOT_IN_WINDOW"
            )
        own = [key for key in keys if key is not None and key.read == REQUEST]
        if len(own) < len(keys):
            self.refuse(
                f"{name} holds earlier requests by a key that is computed or joined; partition by "
                f"a column of {self.tables.request_table}, or say INSTANCE_NOT_IN_WINDOW"
            )
        history = self.open(self.tables.request_table, ((key.name, key) for key in own))
        self.mains.add(history)
        first = len(self.joins)
        before = self.table(below, scope, history)
        # Of what is joined to those requests only what is aggregated matters, or a WHERE asks.
        origins = [self.field(argument, before).origin for argument in arguments]
        if child.whole and None not in origins:
            used = {origin.read for origin in origins if origin is not None}
            for read in range(len(self.reads), history, -1):
                if read in used:
                    used.update(column.read for _, column in self.reads[read - 1].keys)
            self.joins[first:] = [join for join in self.joins[first:] if join.read in used]
        return Source(history, self.tables.request_time, child.whole)

    def past_label(self, name: str, read: int, time: str | None, w: s.Window, end: int) -> None:
        """Let a window take labels that are known by then, and no others."""
        table, delay = self.reads[read - 1].table, self.tables.label_delay_ms
        if table != self.tables.label_table:
            return
        if delay is None:
            self.refuse_label(f"{name} takes rows", read)
            return
        assert w.frame is not None
        if w.frame.kind == "ROWS" or end < delay or time != self.tables.events.get(table):
            self.refuse(
                f"{name} takes rows of {table}, the label's table, which are known only "
                f"{_span(delay)} after their time, as {self.tables.source} says by label.delay; "
                f"order by its time and end the frame there: ROWS_RANGE BETWEEN ... PRECEDING AND "
                f"{_span(delay)} PRECEDING"
            )

    def refuse_label(self, what: str, read: int) -> None:
        table = self.reads[read - 1].table
        if table == self.tables.label_table:
            self.refuse(
                f"{what} of {table}, which {self.tables.source} says gives the label alone, so "
                "that it is not there when a request is served; take it out of the window, or say "
                "by label.delay when a label is known and end the window's frame so long before "
                "the request"
            )


def _span(milliseconds: int) -> str:
    """A duration as SQL writes it."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds // 60_000}m"


def _frame(w: s.Window) -> tuple[int | None, int, tuple[int, ...]]:
    """The frame's edges in units of the order column, and where it is cut by counting."""
    frame = w.frame
    assert frame is not None
    start = frame.start.offset
    if start is not None and frame.start.open:
        start -= 1
    end = frame.end.offset or 0
    end = max(0, end + (1 if frame.end.open else 0))
    if frame.kind == "ROWS":
        return None, 0, tuple(n for n in (start, end - 1) if n is not None and n > 0)
    if frame.maxsize is None:
        return start, end, ()
    itself = end == 0 and not w.exclude_current_row
    return start, end, (frame.maxsize - itself,)


def _used_windows(select: s.Select) -> dict[str, tuple[s.Window, list[s.ColumnRef]]]:
    """By its name in messages each window that is used, and the columns aggregated over it."""
    found: dict[str, tuple[s.Window, list[s.ColumnRef]]] = {}
    for call in _all([item.expr for item in select.items], s.Call):
        if isinstance(call.over, s.Window):
            name, window = f"the window in OVER (...) number {len(found) + 1}", call.over
        elif call.over is not None:
            name = f"window {call.over}"
            window = select.windows.get(call.over, s.Window(base=call.over))
        else:
            continue
        found.setdefault(name, (window, []))[1].extend(_all(call.args, s.ColumnRef))
    return found


def _all(node: Any, kind: type[_Node]) -> Iterator[_Node]:
    """Every expression of a kind in an expression."""
    if isinstance(node, (list, tuple)):
        for one in node:
            yield from _all(one, kind)
    elif isinstance(node, s.Expr):
        if isinstance(node, kind):
            yield node
        for one in dataclasses.fields(node):
            yield from _all(getattr(node, one.name), kind)


def _used(expr: s.Expr, relation: _Relation) -> list[_Field]:
    """The columns in an expression; a name that is ambiguous counts as each."""
    found = []
    for one in _all(expr, s.ColumnRef):
        *qualifier, name = one.path
        found += [
            field_
            for field_ in relation.fields
            if field_.name == name and (not qualifier or qualifier[-1] in field_.tables)
        ]
    return found


def _not_after(term: s.Expr, left: _Relation, right: _Relation) -> set[str]:
    """Columns of the right side that a comparison keeps at or below a value of the left side."""
    if not isinstance(term, s.Binary) or term.op not in ("<", "<=", ">", ">="):
        return set()
    low, high = term.left, term.right
    if term.op.startswith(">"):
        low, high = high, low
    # With something taken from the one or added to the other, the row may be a later one.
    if _shifts(low, "-") or _shifts(high, "+"):
        return set()
    own, known = _used(low, right), _used(high, left)
    if not known or _used(low, left) or _used(high, right):
        return set()
    return {
        one.origin.name for one in own if one.origin is not None and one.origin.read == right.base
    }


def _shifts(expr: s.Expr, op: str) -> bool:
    return any(one.op == op for one in _all(expr, s.Binary))


def _of_time(expr: s.Expr, used: Sequence[_Field]) -> bool:
    windowed = any(call.over is not None for call in _all(expr, s.Call))
    return bool(used) and not windowed and all(one.of_time for one in used)


def _with_ctes(query: s.Query, scope: _Scope) -> _Scope:
    inner = dict(scope)
    for name, cte in query.ctes:
        inner[name] = (cte, dict(inner))
    return inner


def _renamed(relation: _Relation, alias: str) -> _Relation:
    fields = (dataclasses.replace(one, tables=(alias,)) for one in relation.fields)
    return dataclasses.replace(relation, fields=tuple(fields))


def _name_of(origin: Column | None, read: int) -> str | None:
    return origin.name if origin is not None and origin.read == read else None


def _moved(column: Column, numbers: Mapping[int, int]) -> Column:
    return Column(numbers[column.read], column.name)


def _placed(one: Any, numbers: Mapping[int, int]) -> Any:
    return dataclasses.replace(one, read=numbers[one.read])
