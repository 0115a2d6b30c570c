"""How long the online store must keep rows: as far as the query reaches back, and a margin.

A frame of time reaches back so many milliseconds, a frame of rows and a LAST JOIN so many rows of
a key, however old. Of the label's table a request that is served sees nothing. What cannot be
bounded (an unbounded frame, a LAST JOIN with a further condition) is kept for ever.

OpenMLDB's own GenDDL says the same of frames; it knows no margin, keeps one row a key of every
joined table, the label's too, and calls a join with a further condition one row as well, which
loses the older row that such a join may ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openmldb_sql.statements.indexes import MAX_LATEST, MAX_MINUTES
from openmldb_sql.types import IndexDef

from nightshift.features.reach import Reach, Read
from nightshift.layout import DAY_MS

if TYPE_CHECKING:
    from openmldb_sql.tokens import Token

MARGIN_DAYS = 7
"""Days beyond the reach that are proposed: whole days are compared with their partitions, the
newest loaded day is yesterday's, nights may come days late, and a request may be sent again."""

LEAST_MARGIN_DAYS = 3
"""Days beyond the reach that nights need to compare every day that a window can reach: a day is
compared while all of it is kept, and ends up to two days before the night."""

MINUTE_MS = 60_000
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Need:
    """What one read of the query needs of an index.

    Attributes:
        table: the table.
        keys: the columns that rows are found by.
        time: the column that orders them; None: any order will do.
        what: the window or join, for messages.
        span_ms: rows of so long before a request; 0 where age does not count.
        rows: so many rows of a key, the newest; 0 where their number does not count.
        cut: so many of the newest rows are enough, however old (MAXSIZE); 0 where they are not.
    """

    table: str
    keys: frozenset[str]
    time: str | None
    what: str
    span_ms: int = 0
    rows: int = 0
    cut: int = 0

    @property
    def unbounded(self) -> bool:
        """Whether nothing bounds what it reaches, or no time to live can."""
        return not (self.span_ms or self.rows) or self.rows > MAX_LATEST


def needs_of(reach: Reach, label_table: str | None = None) -> list[Need]:
    """What the query needs of indexes, read by read.

    Args:
        reach: what it reads.
        label_table: joins of its rows need nothing: no request that is served sees a label.
    """
    found: list[Need] = []
    for window in reach.windows:
        cut = max(window.cuts, default=0)
        ranged = window.start is not None
        span = max(window.start or 0, 1) if ranged else 0
        rows = 0 if ranged else cut
        found += [
            _need(reach.read(source.read), source.time or None, window.name, span, rows, cut)
            for source in window.sources
        ]
    for join in reach.joins:
        read = reach.read(join.read)
        if not join.stands and read.table != label_table:
            rows = 1 if join.whole and not join.descending else 0
            found.append(_need(read, join.order, f"the LAST JOIN of {read.table}", 0, rows, 0))
    return found


def _need(read: Read, time: str | None, what: str, span_ms: int, rows: int, cut: int) -> Need:
    keys = frozenset(name for name, _ in read.keys)
    return Need(read.table, keys, time, what, span_ms, rows, cut)


def holds(index: IndexDef, need: Need, margin_ms: int = 0) -> bool:
    """Whether the index still has what is needed, so long after it could be needed."""
    by_time, by_rows = index.ttl_ms_abs, index.ttl_lat
    long_enough = not by_time or (bool(need.span_ms) and by_time >= need.span_ms + margin_ms)
    newest = need.rows or need.cut
    enough_rows = not by_rows or (bool(newest) and by_rows >= newest)
    if index.ttl_type == "absolute":
        return long_enough
    if index.ttl_type == "latest":
        return enough_rows
    if index.ttl_type == "absorlat":
        return long_enough and enough_rows
    return not (by_time and by_rows) or long_enough or enough_rows


def proposed(
    index: IndexDef, table: str, needs: Iterable[Need], *, event: bool, lookback_days: int = 0
) -> IndexDef:
    """The index with the time to live that the query needs of it, and the margin.

    Args:
        index: an index of the table.
        table: the table.
        needs: of the query.
        event: the table has days: its rows are kept as long as nights compare them.
        lookback_days: days that nights load of it, where that is more than frames of time reach.
    """
    own = [need for need in needs if need.table == table and fitting([index], need)]
    if any(need.unbounded for need in own) or not (index.ts or own):
        return replace(index, ttl_type="absolute", ttl_ms_abs=0, ttl_lat=0)
    rows = max((need.rows for need in own), default=0)
    span = max((need.span_ms for need in own), default=0)
    if not event:
        if span:
            span = -(-span // DAY_MS) * DAY_MS + MARGIN_DAYS * DAY_MS
            kind = "absandlat" if rows else "absolute"
            return replace(index, ttl_type=kind, ttl_ms_abs=span, ttl_lat=rows)
        return replace(index, ttl_type="latest", ttl_ms_abs=0, ttl_lat=max(rows, 1))
    days = max(-(-span // DAY_MS), lookback_days) + MARGIN_DAYS
    if days * DAY_MS > MAX_MINUTES * MINUTE_MS:
        return replace(index, ttl_type="absolute", ttl_ms_abs=0, ttl_lat=0)
    kind = "absandlat" if rows else "absolute"
    return replace(index, ttl_type=kind, ttl_ms_abs=days * DAY_MS, ttl_lat=rows)


def expires_ms(indexes: Iterable[IndexDef]) -> int | None:
    """Age in milliseconds from which on an index of a table may have lost a row; None: never."""
    ages = [
        index.ttl_ms_abs
        for index in indexes
        if index.ttl_ms_abs
        and index.ttl_type != "latest"
        and (index.ttl_type != "absandlat" or index.ttl_lat)
    ]
    return min(ages) if ages else None


def spelled(index: IndexDef) -> str:
    """The time to live as CREATE TABLE of a real server takes it."""
    age = _age(index.ttl_ms_abs)
    if index.ttl_type == "absolute":
        return f"ttl={age}, ttl_type=absolute"
    if index.ttl_type == "latest":
        return f"ttl={index.ttl_lat}, ttl_type=latest"
    return f"ttl=({age}, {index.ttl_lat}), ttl_type={index.ttl_type}"


def _age(milliseconds: int) -> str:
    for unit, size in (("d", DAY_MS), ("h", _HOUR_MS)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds // MINUTE_MS}m"


def fitting(indexes: Iterable[IndexDef], need: Need) -> list[IndexDef]:
    """The indexes of a need's table that find its rows, whatever they keep."""
    return [
        index for index in indexes if set(index.keys) == need.keys and need.time in (None, index.ts)
    ]


def forgetful(
    indexes: Mapping[str, Sequence[IndexDef]], needs: Iterable[Need]
) -> Iterator[tuple[Need, IndexDef]]:
    """What the query needs and no index keeps, each with an index that finds it."""
    for need in needs:
        found = fitting(indexes.get(need.table, ()), need)
        if found and not any(holds(index, need) for index in found):
            yield need, found[0]


def forgotten(need: Need, index: IndexDef, *, event: bool) -> tuple[str, str]:
    """What is wrong with an index that forgets what is needed, and the fix."""
    wanted = proposed(index, need.table, [need], event=event)
    if need.span_ms:
        far = f"{-(-need.span_ms // DAY_MS)} day(s)"
    else:
        far = "without a bound" if need.unbounded else f"{need.rows} row(s)"
    why = (
        f"{need.what} reaches back {far} by {', '.join(sorted(need.keys))}, and the index forgets "
        f"rows before ({spelled(index)}): online features would differ from offline ones"
    )
    return why, f"write {spelled(wanted)}, or a ttl that reaches further"


def everlasting(script: str) -> str:
    """A script of CREATE TABLE statements whose indexes keep rows whatever their age.

    For databases that are filled with rows of long ago, and dropped: the check's, the ledger's.
    Indexes that keep the newest rows of a key stay as they are.
    """
    from openmldb_sql.tokens import scan

    parts: list[str] = []
    done = 0
    found = list(scan(script))
    at = 0
    while at < len(found):
        if found[at].upper != "INDEX" or at + 1 >= len(found) or found[at + 1].text != "(":
            at += 1
            continue
        options, at = _options(found, at + 2)
        kind = options.get("TTL_TYPE")
        if "TTL" not in options or (kind is not None and kind[2].lower() == "latest"):
            continue
        for begin, end, text in sorted(
            [(*options["TTL"][:2], "0m"), *([(*kind[:2], "absolute")] if kind else [])]
        ):
            parts += [script[done:begin], text]
            done = end
    return "".join([*parts, script[done:]])


def _options(tokens: list[Token], at: int) -> tuple[dict[str, tuple[int, int, str]], int]:
    """(begin, end, text) of each option in brackets, and the token after them."""
    options: dict[str, tuple[int, int, str]] = {}
    depth, name, first = 1, "", at
    while at < len(tokens) and depth:
        token = tokens[at]
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 1 and token.text == "=" and not name:
            name, first = tokens[at - 1].upper, at + 1
        elif name and ((depth == 1 and token.text == ",") or not depth):
            last = tokens[at - 1]
            text = "".join(one.text for one in tokens[first:at])
            options[name] = (tokens[first].start, last.end, text)
            name = ""
        at += 1
    return options, at
