"""How a file's columns differ from a table's, one column at a time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openmldb_files.parquet import FileColumn
from openmldb_files.types import describe


@dataclass(frozen=True)
class Difference:
    """One column that is not as the table has it."""

    column: str
    reason: str
    is_missing: bool = False


def differences(
    columns: Sequence[FileColumn], wanted: Mapping[str, str], table: str = "the table"
) -> list[Difference]:
    """Columns that are missing, of another type or in another place, as LOAD DATA compares them.

    Columns that the table lacks do not count: LOAD DATA leaves them out.

    Args:
        columns: `columns_of` of the file.
        wanted: SQL type by column, in the table's order.
        table: the table's name, for the reasons.
    """
    given = {column.name: column for column in columns}
    others = [name for name in given if name not in wanted]
    found = []
    for name, sql in wanted.items():
        if name not in given:
            same = next((n for n in others if n.lower() == name.lower()), None)
            near = same or next(iter(difflib.get_close_matches(name, others, n=1)), None)
            hint = f"; it has {near!r}" if near else ""
            found.append(Difference(name, f"the file has no such column{hint}", is_missing=True))
        elif given[name].sql != sql:
            kind = describe(given[name].arrow)
            found.append(Difference(name, f"it is {kind} in the file and {sql} in {table}"))
    if found:
        return found
    order = [name for name in given if name in wanted]
    for at, (is_there, expected) in enumerate(zip(order, wanted, strict=True), start=1):
        if is_there != expected:
            reason = f"it is number {at} in the file, where {table} has {expected}; "
            return [Difference(is_there, f"{reason}columns must be in the table's order")]
    return []
