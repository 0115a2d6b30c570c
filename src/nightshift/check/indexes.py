"""Do the tables have the indexes that the query, the night and OpenMLDB need?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightshift.config.yamlfile import nearest
from nightshift.layout import DAY_MS

if TYPE_CHECKING:
    from openmldb_sql.types import IndexDef

    from nightshift.data.declared import Declared
    from nightshift.features.reach import Reach, Read

_NO_KEYS = ("float", "double")
_TIMES = ("timestamp", "int64")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a table's indexes: the table, why, and what to write."""

    table: str
    why: str
    fix: str


def faults(declared: Mapping[str, Declared], reach: Reach | None) -> list[Fault]:
    """All that is wrong with the indexes.

    Args:
        declared: the tables.
        reach: what the query reads; None where it cannot be read.
    """
    found = [fault for table in declared.values() for fault in _of_table(table)]
    if reach is not None and not found:
        found += dict.fromkeys(_of_query(declared, reach))
    return found


def _of_table(table: Declared) -> Iterator[Fault]:
    for index in table.indexes:
        for column in (*index.keys, *([index.ts] if index.ts else [])):
            if column not in table.columns:
                near = nearest(column, table.columns).removeprefix("; ")
                why = f"an index names {column}, which is not a column"
                yield Fault(table.name, why, near or "name a column of the table")
        for column in index.keys:
            if table.columns.get(column) in _NO_KEYS:
                kind = table.columns[column]
                yield Fault(
                    table.name, f"an index has the key {column}, a {kind}",
                    "a key is text, an integer, a boolean, a date or a timestamp",
                )  # fmt: skip
        if index.ts and table.columns.get(index.ts, "timestamp") not in _TIMES:
            yield Fault(
                table.name, f"an index has ts={index.ts}, a {table.columns[index.ts]}",
                "order rows by a timestamp or a bigint",
            )  # fmt: skip
    if table.time in table.columns and all(index.ts != table.time for index in table.indexes):
        yield Fault(
            table.name,
            f"no index has ts={table.time}, the column of its partitions' day, so that a "
            "corrected partition cannot be replaced in the online store",
            f"add INDEX(key=..., ts={table.time})",
        )


def _of_query(declared: Mapping[str, Declared], reach: Reach) -> Iterator[Fault]:
    for window in reach.windows:
        cut = max(window.cuts, default=None)
        for source in window.sources:
            read = reach.read(source.read)
            yield from _found_by(
                declared, read, source.time, window.name, reach_ms=window.start, rows=cut
            )
    for join in reach.joins:
        if not join.stands:
            read = reach.read(join.read)
            what = f"the LAST JOIN of {read.table}"
            yield from _found_by(declared, read, join.order, what, rows=1 if join.whole else None)


def _found_by(
    declared: Mapping[str, Declared],
    read: Read,
    time: str | None,
    what: str,
    *,
    reach_ms: int | None = None,
    rows: int | None = None,
) -> Iterator[Fault]:
    """Whether some index finds these rows and still holds them."""
    keys = [name for name, _ in read.keys]
    if read.table not in declared or not keys:
        return
    fitting = [
        index
        for index in declared[read.table].indexes
        if set(index.keys) == set(keys) and (not time or index.ts == time)
    ]
    place = ", ".join(keys) + (f" in the order of {time}" if time else "")
    if not fitting:
        ordered = f", ts={time}" if time else ""
        yield Fault(
            read.table,
            f"{what} finds rows of it by {place}, and no index does",
            f"add INDEX(key={_key(keys)}{ordered}): DEPLOY would have to move the data",
        )
    elif not any(_holds(index, reach_ms, rows) for index in fitting):
        far = f"{-(-reach_ms // DAY_MS)} day(s)" if reach_ms else f"{rows or 'all'} row(s)"
        yield Fault(
            read.table,
            f"{what} reaches back {far} by {place}, and the index forgets rows before "
            f"({_ttl(fitting[0])}): online features would differ from offline ones",
            "write ttl=0m, ttl_type=absolute, or a ttl that reaches further",
        )


def _holds(index: IndexDef, reach_ms: int | None, rows: int | None) -> bool:
    """Whether the index still has the rows of so long ago, or so many."""
    by_time, by_rows = index.ttl_ms_abs, index.ttl_lat
    old_enough = not by_time or (reach_ms is not None and by_time >= reach_ms)
    enough_rows = not by_rows or (rows is not None and by_rows >= rows)
    if index.ttl_type == "absolute":
        # What a join takes is as old as it is.
        return old_enough
    if index.ttl_type == "latest":
        return enough_rows
    if index.ttl_type == "absorlat":
        return old_enough and enough_rows
    return old_enough or enough_rows


def has(declared: Iterable[IndexDef], wanted: IndexDef) -> bool:
    """Whether a table has an index of these keys and this time, whatever it keeps."""
    return any(
        set(index.keys) == set(wanted.keys) and wanted.ts in (None, index.ts) for index in declared
    )


def spelled(index: IndexDef) -> str:
    """The index as CREATE TABLE has it."""
    time = f", ts={index.ts}" if index.ts else ""
    return f"INDEX(key={_key(index.keys)}{time}, {_ttl(index)})"


def _ttl(index: IndexDef) -> str:
    minutes = f"{index.ttl_ms_abs // 60_000}m"
    return {
        "absolute": f"ttl={minutes}",
        "latest": f"ttl={index.ttl_lat}, ttl_type=latest",
    }.get(index.ttl_type, f"ttl=({minutes}, {index.ttl_lat}), ttl_type={index.ttl_type}")


def _key(keys: Iterable[str]) -> str:
    names = list(keys)
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
