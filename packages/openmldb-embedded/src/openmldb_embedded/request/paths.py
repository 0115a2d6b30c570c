"""Where a relation's stored rows come from: an index of one table, or the relation computed whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from openmldb_sql.types import IndexDef

from openmldb_embedded.batch import execute
from openmldb_embedded.columns import Batch
from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.memtable import NO_NUMBER, NULL_TIME, Entry, Key, MemTable, Row, numbered
from openmldb_embedded.plan import Node, Scan, walk
from openmldb_embedded.request.needed import Needed
from openmldb_embedded.request.rows import key_function, row_maker
from openmldb_embedded.rewrite import substitute

Tables = Callable[[str, str], MemTable]

_NOTHING: Entry = ([], [], NO_NUMBER)


Fetch = Callable[[Key], tuple[list[int], list[Row], int, int]]
"""From a key to times, rows alongside, the place of the first live one, and the number by which
these lists are known again (``memtable.Entry``; NO_NUMBER where they are not)."""
FetchAll = Callable[[Sequence[Key]], list[tuple[list[int], list[Row], int, int]]]
"""The same of several keys."""


@dataclass(frozen=True)
class Online:
    """What a plan is bound to.

    Attributes:
        tables: Gives each online table; None while a plan is only tried out.
        needed: Collects the indexes used, or None.
    """

    tables: Tables | None
    needed: Needed | None


class AccessPath:
    """Where a relation's stored rows come from.

    Attributes:
        scan: The table, None for a materialised relation.
        outputs: The relation's columns over a base row.
        keep: From a base row to the row (perhaps extended) or None to drop it.
        base_width: Columns of a base row once extended.
        pure: ``keep`` looks at the row alone, and at no other table.
    """

    def __init__(
        self,
        scan: Scan | None,
        outputs: tuple[Expr, ...],
        keep: Callable[[Row], Row | None] | None,
        base_width: int | None = None,
        *,
        pure: bool = True,
    ) -> None:
        self.pure = pure
        self.scan = scan
        self.outputs = outputs
        self.keep = keep
        own = len(outputs) if scan is None else len(scan.declared.columns)
        self.base_width = own if base_width is None else base_width
        self.ts: str | None = None
        self.sorted = False
        self.fetch: Fetch = lambda key: ([], [], 0, NO_NUMBER)
        self._windows: FetchAll | None = None

    def base_column(self, e: Expr) -> str | None:
        """The table's column that an expression over the outputs is, or None."""
        if self.scan is None or not isinstance(e, Col):
            return None
        out = self.outputs[e.index]
        if not isinstance(out, Col) or out.index >= len(self.scan.declared.columns):
            return None
        return self.scan.declared.columns[out.index].name

    def open(
        self,
        online: Online,
        keys: tuple[str, ...],
        ts: str | None,
        reach: IndexDef,
        *,
        implied: bool = False,
    ) -> None:
        """Read through the index on these columns.

        Args:
            online: What the plan is bound to.
            keys: The key columns, in the order of the keys that will be asked for.
            ts: The time column.
            reach: How much of each key the use needs kept.
            implied: The use asks for no time: the index it needs is one without.
        """
        assert self.scan is not None
        self.ts = ts
        if online.needed is not None:
            online.needed.add(self.scan, keys, None if implied else ts, reach)
        if online.tables is not None:
            table = online.tables(self.scan.db, self.scan.table)
            index = table.ensure_index(keys, ts)
            index.prepare()
            self.fetch = index.window
            self._windows = index.windows

    def fetch_all(self, keys: Sequence[Key]) -> list[tuple[list[int], list[Row], int, int]]:
        """``fetch`` of several keys."""
        return list(map(self.fetch, keys)) if self._windows is None else self._windows(keys)

    def sort_by(self, order: Expr) -> None:
        """Order each key's rows by an expression over the outputs (NULL first).

        Rows are extended, and dropped, before they are ordered.
        """
        inner, keep = self.fetch, self.keep
        value = substitute(order, self.outputs).row()

        def fetch(key: Key) -> tuple[list[int], list[Row], int, int]:
            _, rows, live, _ = inner(key)
            pairs = []
            for row in rows[live:]:
                kept = row if keep is None else keep(row)
                if kept is not None:
                    x = value(kept)
                    pairs.append((NULL_TIME if x is None else x, kept))
            pairs.sort(key=itemgetter(0))
            return [p[0] for p in pairs], [p[1] for p in pairs], 0, NO_NUMBER

        self.fetch = fetch
        self._windows = None
        self.keep = None
        self.sorted = True

    def maker(self) -> Callable[[Row], Row]:
        """From a base row to the relation's row."""
        made = row_maker(self.outputs, self.base_width)
        return made if made is not None else (lambda row: row)


class Materialised:
    """A relation computed whole, by key.

    Args:
        node: The relation.
        keys: What its rows are found by.
        order: What orders the rows of a key, or None.
        tables: Gives each online table.
        instead: Relations of the same rows in the same order: the rows to give, found by the keys
            of ``node``, and one whose last column is NULL where a row of NULLs is to be given.
    """

    def __init__(
        self,
        node: Node,
        keys: tuple[Expr, ...],
        order: Expr | None,
        tables: Tables,
        instead: tuple[Node, Node] | None = None,
    ) -> None:
        self._node = node
        self._instead = instead
        self._key = key_function(list(keys))
        self._order = None if order is None else order.row()
        self._tables = tables
        self._names = [(n.db, n.table) for n in walk(node) if isinstance(n, Scan)]
        self._state: tuple[list[Batch], dict[Key, Entry]] | None = None

    def fetch(self, key: Key) -> tuple[list[int], list[Row], int, int]:
        """The key's times and rows, as of the tables' present state."""
        scans = [self._tables(*n).scan() for n in self._names]
        state = self._state
        if state is None or any(a is not b for a, b in zip(scans, state[0], strict=True)):
            state = self._state = (scans, self._build(scans))
        times, rows, number = state[1].get(key, _NOTHING)
        return times, rows, 0, number

    def _build(self, scans: list[Batch]) -> dict[Key, Entry]:
        known = dict(zip(self._names, scans, strict=True))
        rows = execute(self._node, lambda db, table: known[db, table]).to_rows()
        given = rows
        if self._instead is not None:
            content, counted = (
                execute(n, lambda db, table: known[db, table]).to_rows() for n in self._instead
            )
            nothing = (None,) * len(self._node.fields)
            given = [nothing if c[-1] is None else x for x, c in zip(content, counted, strict=True)]
        groups: dict[Key, list[tuple[int, Row]]] = {}
        for row, shown in zip(rows, given, strict=True):
            t = 0 if self._order is None else self._order(row)
            groups.setdefault(self._key(row), []).append((NULL_TIME if t is None else t, shown))
        out: dict[Key, Entry] = {}
        for key, pairs in groups.items():
            pairs.sort(key=itemgetter(0))
            out[key] = numbered(([p[0] for p in pairs], [p[1] for p in pairs]))
        return out
