"""How a feature query reaches rows: the reads, windows and joins that `query` finds in its text.

A `Read` is one way to stored rows of a table: by the equality of some of its columns with values
that are known before, of the request row or of rows that an earlier read gave. Reads are numbered
in that order; number 0 is the request row itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nightshift.layout import DAY_MS


@dataclass(frozen=True)
class Column:
    """A column of the rows that a read gives; read 0 is the request row."""

    read: int
    name: str


@dataclass(frozen=True)
class Read:
    """Rows of `table` whose columns equal what `keys` says; without keys, all of them."""

    table: str
    keys: tuple[tuple[str, Column], ...]


@dataclass(frozen=True)
class Source:
    """What a window takes rows from.

    Attributes:
        read: the read of its rows.
        time: their ORDER BY column.
        whole: every row that the read gives stands in the window; a WHERE, or a key that is no
            plain column, makes it False.
    """

    read: int
    time: str
    whole: bool = True


@dataclass(frozen=True)
class Window:
    """One window over the requests.

    Attributes:
        name: its name in messages.
        requests: the requests before the current one, unless INSTANCE_NOT_IN_WINDOW.
        unions: the united tables.
        time: the request's column that ORDER BY names.
        start: the frame's older edge in units of `time` before the request, None for none.
        end: its newer edge.
        cuts: after how many rows other than the request itself the frame is cut, newest first.
        current_time: whether other rows of the request's own time stand in it.
    """

    name: str
    requests: Source | None
    unions: tuple[Source, ...]
    time: str
    start: int | None = None
    end: int = 0
    cuts: tuple[int, ...] = ()
    current_time: bool = True

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that the window reads: those of its UNION, then the request table."""
        return (*self.unions, self.requests) if self.requests is not None else self.unions


@dataclass(frozen=True)
class Join:
    """One join with rows of a table.

    Attributes:
        read: the rows that its keys allow.
        order: the column whose greatest value is taken, None without ORDER BY.
        descending: the least one is.
        whole: nothing but the keys decides; a further condition makes it False.
        groups: rows that agree in these columns are one row (GROUP BY), None for every row.
        stands: the right side is computed from the request itself, so that nothing is looked up.
        before: columns of the rows that a condition keeps from exceeding what was known before.
    """

    read: int
    order: str | None = None
    descending: bool = False
    whole: bool = True
    groups: tuple[str, ...] | None = None
    stands: bool = field(default=False, compare=False)
    before: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Output:
    """A column that the query gives.

    Attributes:
        name: its name.
        origin: table and column whose value it is as it stands; None for a computed one.
        tables: tables of which it takes values, those of its windows' rows aside.
        of_time: whether it follows from the request's time alone, as its weekday does.
    """

    name: str
    origin: tuple[str, str] | None
    tables: frozenset[str]
    of_time: bool = False


@dataclass(frozen=True)
class Reach:
    """All of a query: `reads[n]` is read number n + 1."""

    reads: tuple[Read, ...]
    windows: tuple[Window, ...]
    joins: tuple[Join, ...]

    def read(self, number: int) -> Read:
        """A read by its number, from 1."""
        return self.reads[number - 1]

    def tables(self) -> frozenset[str]:
        """The tables of which the query reads stored rows."""
        return frozenset(read.table for read in self.reads)

    def lookback_days(self) -> dict[str, int]:
        """Days before a request that frames of time reach back, by table; part of a day counts.

        A frame of rows reaches back as far as there are rows, so it says nothing of days.
        """
        found: dict[str, int] = {}
        for window in self.windows:
            if window.start is None:
                continue
            days = -(-window.start // DAY_MS)
            for source in window.sources:
                table = self.read(source.read).table
                found[table] = max(days, found.get(table, 0))
        return found

    def without(self, table: str, *, keep_windows: bool = False) -> Reach:
        """The reach but for what hangs on the rows of `table`.

        Args:
            table: the table.
            keep_windows: its rows that stand in windows stay; what is joined of it goes.
        """
        kept = {one.read for w in self.windows for one in w.sources} if keep_windows else set()
        gone: set[int] = set()
        numbers = {0: 0}
        reads: list[Read] = []
        for number, read in enumerate(self.reads, 1):
            if (read.table == table and number not in kept) or any(
                column.read in gone for _, column in read.keys
            ):
                gone.add(number)
                continue
            keys = tuple((name, Column(numbers[c.read], c.name)) for name, c in read.keys)
            reads.append(Read(read.table, keys))
            numbers[number] = len(reads)

        def moved(source: Source) -> Source:
            return replace(source, read=numbers[source.read])

        windows = (
            replace(
                window,
                requests=None if window.requests is None else moved(window.requests),
                unions=tuple(moved(union) for union in window.unions if union.read not in gone),
            )
            for window in self.windows
        )
        joins = (
            replace(join, read=numbers[join.read])
            for join in self.joins
            if join.read not in gone and self.read(join.read).table != table
        )
        return Reach(tuple(reads), tuple(windows), tuple(joins))
