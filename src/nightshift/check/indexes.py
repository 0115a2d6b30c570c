"""Do the tables have the indexes that the query, the night and OpenMLDB need?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightshift.features import ttl

if TYPE_CHECKING:
    from openmldb_sql.types import IndexDef

    from nightshift.data.declared import Declared
    from nightshift.features.reach import Reach

_NO_KEYS = ("float", "double")
_TIMES = ("timestamp", "int64")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a table's indexes: the table, why, and what to write."""

    table: str
    why: str
    fix: str


def faults(
    declared: Mapping[str, Declared], reach: Reach | None, label_table: str | None = None
) -> list[Fault]:
    """All that is wrong with the indexes.

    Args:
        declared: the tables.
        reach: what the query reads; None where it cannot be read.
        label_table: of its rows nothing has to last.
    """
    found = [fault for table in declared.values() for fault in _of_table(table)]
    if reach is not None and not found:
        found += dict.fromkeys(_of_query(declared, reach, label_table))
    return found


def _of_table(table: Declared) -> Iterator[Fault]:
    for index in table.indexes:
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


def _of_query(
    declared: Mapping[str, Declared], reach: Reach, label_table: str | None
) -> Iterator[Fault]:
    every = [(need, True) for need in ttl.needs_of(reach, label_table)]
    for join in reach.joins:
        read = reach.read(join.read)
        if not join.stands and read.table == label_table:
            keys = frozenset(name for name, _ in read.keys)
            need = ttl.Need(read.table, keys, join.order, f"the LAST JOIN of {read.table}")
            every.append((need, False))
    for need, lasts in every:
        if need.table not in declared or not need.keys:
            continue
        table = declared[need.table]
        found = ttl.fitting(table.indexes, need)
        if not found:
            names = sorted(need.keys)
            place = ", ".join(names) + (f" in the order of {need.time}" if need.time else "")
            ordered = f", ts={need.time}" if need.time else ""
            yield Fault(
                need.table,
                f"{need.what} finds rows of it by {place}, and no index does",
                f"add INDEX(key={_key(names)}{ordered}): DEPLOY would have to move the data",
            )
        elif lasts and not any(ttl.holds(index, need) for index in found):
            why, fix = ttl.forgotten(need, found[0], event=table.time is not None)
            yield Fault(table.name, why, fix)


def has(declared: Iterable[IndexDef], wanted: IndexDef) -> bool:
    """Whether a table has an index of these keys and this time, whatever it keeps."""
    return any(
        set(index.keys) == set(wanted.keys) and wanted.ts in (None, index.ts) for index in declared
    )


def spelled(index: IndexDef) -> str:
    """The index as CREATE TABLE has it."""
    time = f", ts={index.ts}" if index.ts else ""
    return f"INDEX(key={_key(index.keys)}{time}, {ttl.spelled(index)})"


def _key(keys: Iterable[str]) -> str:
    names = list(keys)
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
