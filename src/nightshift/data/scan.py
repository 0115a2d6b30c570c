"""What lies in partitions, by table, day and column: a cheap look before a night works on them.

Of each file the footer is read, and of its columns only the time, the request's id, the label and
the floating numbers (and those whose NULLs the footer does not count); of a snapshot also its keys.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import layout
from nightshift.data import reading
from nightshift.data.declared import Declared
from nightshift.zones import EPOCH, Zone

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_UTC = Zone("UTC")


@dataclass
class Facts:
    """One partition, or one snapshot.

    Attributes:
        files: data files.
        rows: their rows.
        unreadable: what OpenMLDB's batch engine would refuse, each with file and column.
        extra: columns that the table lacks.
        other_days: rows by the day that they belong to, where it is not the partition's.
        other_days_utc: so many rows would lie on another day if days were UTC's.
        no_time: rows without a time, and `no_time_in` the first file that has one.
        nulls: rows without a value, by column.
        not_finite: NaN and infinite values, by column.
        repeated: rows whose request id was there before, in this partition or another.
        odd_labels: labels other than 0, 1 and NULL, by value.
        same_key: rows of a snapshot whose key another row has, and `keys` the columns of the key.
    """

    files: int = 0
    rows: int = 0
    unreadable: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    other_days: Counter[dt.date] = field(default_factory=Counter)
    other_days_utc: int = 0
    no_time: int = 0
    no_time_in: str = ""
    nulls: Counter[str] = field(default_factory=Counter)
    not_finite: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    odd_labels: Counter[str] = field(default_factory=Counter)
    same_key: int = 0
    keys: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For a report: only what is there to tell."""
        value: dict[str, Any] = {"files": self.files, "rows": self.rows}
        for name in ("unreadable", "extra", "no_time", "repeated", "same_key"):
            if found := getattr(self, name):
                value[name] = found
        if self.other_days:
            value["other_days"] = {str(d): n for d, n in sorted(self.other_days.items())}
        for name in ("nulls", "not_finite", "odd_labels"):
            if counts := getattr(self, name):
                value[name] = dict(sorted(counts.items()))
        return value


Scan = dict[str, dict[str, Facts]]
"""By table and day (`YYYY-MM-DD`; `snapshot` for a snapshot table)."""

SNAPSHOT = "snapshot"


def scan(
    data: Path,
    declared: Mapping[str, Declared],
    days: Mapping[str, Iterable[str]],
    *,
    until: dt.date | None = None,
    said: Callable[[str], None] = lambda text: None,
) -> Scan:
    """Look at partitions and snapshots.

    Args:
        data: root of the source tables.
        declared: the tables, from `declared_tables`.
        days: the days to look at, by event table; snapshots are always looked at.
        until: of dated snapshots, the newest that is not later; None for the newest of all.
        said: told what is being looked at.
    """
    found: Scan = {}
    for name, table in declared.items():
        said(name)
        if table.time is None:
            folder = layout.snapshot_folder(data, name, until)
            found[name] = {SNAPSHOT: _facts(folder, table, None, None)}
            _count_keys(folder, table, found[name][SNAPSHOT])
            continue
        seen = _Seen() if table.request_id else None
        found[name] = {
            day: _facts(
                layout.partition(data, name, dt.date.fromisoformat(day)),
                table,
                dt.date.fromisoformat(day),
                seen,
            )
            for day in days.get(name, ())
        }
    return found


def present_days(data: Path, table: str) -> list[str]:
    """Days of a table's partition folders, oldest first; folders that are not a day are left out."""
    days = (layout.day_of(path.name) for path in (data / table).glob("ds=????-??-??"))
    return [day.isoformat() for day in sorted(day for day in days if day is not None)]


def unread(data: Path, table: str) -> list[str]:
    """What lies in an event table's folder and is not a day's partition, so that nobody reads it."""
    folder = data / table
    if not folder.is_dir():
        return []
    days = set(present_days(data, table))
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name.removeprefix("ds=") not in days and not path.name.startswith((".", "_"))
    )


def _facts(folder: Path, table: Declared, day: dt.date | None, seen: _Seen | None) -> Facts:
    from openmldb_files import FileError

    facts = Facts()
    for path in reading.parquet_files(folder):
        facts.files += 1
        try:
            _look(path, table, day, seen, facts)
        except FileError as error:
            facts.unreadable.append(str(error))
    return facts


def _look(
    path: Path, table: Declared, day: dt.date | None, seen: _Seen | None, facts: Facts
) -> None:
    from openmldb_files import columns_of, differences, open_parquet, spark_faults

    columns = columns_of(path)
    facts.unreadable += [
        f"{path}, column {one.column}: {one.reason}"
        for one in differences(columns, table.columns, table.name)
    ]
    facts.unreadable += [
        f"{path}, column {fault.column}: Spark 3.2 does not read {fault.reason}"
        for fault in spark_faults(path)
        if fault.column in table.columns or fault.reason.startswith("times in nanoseconds")
    ]
    there = {column.name: column for column in columns}
    facts.extra = sorted({*facts.extra, *(there.keys() - table.columns.keys() - {"ds"})})
    with open_parquet(path) as file:
        facts.rows += file.metadata.num_rows
        counted = _null_counts(file.metadata)
    wanted = [
        name
        for name in table.columns
        if name in there
        and (
            name in (table.time, table.request_id, table.label)
            or name not in counted
            or there[name].sql in ("float", "double")
        )
    ]
    for name in table.columns:
        if counted.get(name):
            facts.nulls[name] += counted[name]
    _read(path, table, day, seen, facts, wanted, set(wanted) - counted.keys())


def _read(
    path: Path,
    table: Declared,
    day: dt.date | None,
    seen: _Seen | None,
    facts: Facts,
    wanted: Sequence[str],
    uncounted: set[str],
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    from openmldb_files import read_parquet

    for batch in read_parquet(path, columns=wanted) if wanted else ():
        for name, column in zip(wanted, batch.columns, strict=True):
            if name in uncounted and column.null_count:
                facts.nulls[name] += column.null_count
            if pa.types.is_floating(column.type):
                bad = pc.sum(pc.invert(pc.is_finite(column))).as_py()
                if bad:
                    facts.not_finite[name] += bad
            if name == table.time and day is not None and pa.types.is_timestamp(column.type):
                facts.no_time += column.null_count
                if column.null_count and not facts.no_time_in:
                    facts.no_time_in = str(path)
                for other, rows in _days(column, table.zone).items():
                    if other != day:
                        facts.other_days[other] += rows
                facts.other_days_utc += sum(n for d, n in _days(column, _UTC).items() if d != day)
            if name == table.label:
                facts.odd_labels += _odd_labels(column)
            if name == table.request_id and seen is not None:
                facts.repeated += seen.repeated(column)


def _odd_labels(column: Any) -> Counter[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return Counter()
    counts = pc.value_counts(column.drop_null()).to_pylist()
    return Counter(
        {str(one["values"]): one["counts"] for one in counts if one["values"] not in (0, 1)}
    )


def _count_keys(folder: Path, table: Declared, facts: Facts) -> None:
    """Rows that a join could not tell apart, by the index that tells most of them apart."""
    import pyarrow as pa
    from openmldb_files import FileError, read_parquet

    told_by = [(index.keys, [*index.keys, *filter(None, [index.ts])]) for index in table.indexes]
    needed = list(dict.fromkeys(name for _, columns in told_by for name in columns))
    try:
        batches = [
            batch
            for path in reading.parquet_files(folder)
            for batch in read_parquet(path, columns=needed)
        ]
    except (FileError, KeyError):
        return  # told as unreadable
    if not batches:
        return
    rows = pa.Table.from_batches(batches)
    least: tuple[int, tuple[str, ...]] | None = None
    for keys, columns in told_by:
        whole = rows.select(columns).drop_null()
        same = whole.num_rows - whole.group_by(columns).aggregate([]).num_rows
        if least is None or same < least[0]:
            least = same, keys
    if least is not None:
        facts.same_key, facts.keys = least


def _null_counts(metadata: Any) -> dict[str, int]:
    """NULLs by top-level column, of those whose every chunk counts them."""
    counts: Counter[str] = Counter()
    unknown = set()
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(at)
            if chunk.is_stats_set and chunk.statistics.has_null_count:
                counts[chunk.path_in_schema] += chunk.statistics.null_count
            else:
                unknown.add(chunk.path_in_schema)
    return {name: count for name, count in counts.items() if name not in unknown}


def _days(times: Any, zone: Zone) -> dict[dt.date, int]:
    import pyarrow.compute as pc

    counts = pc.value_counts(zone.days_of_times(times).drop_null())
    return {EPOCH + dt.timedelta(days=one["values"]): one["counts"] for one in counts.to_pylist()}


class _Seen:
    """Request ids of all partitions so far: 8 bytes each."""

    def __init__(self) -> None:
        self._hashes: npt.NDArray[np.uint64] | None = None

    def repeated(self, ids: Any) -> int:
        """How many of these ids are there already, among themselves included."""
        import numpy as np
        import xxhash

        texts = [str(value).encode() for value in ids.to_pylist() if value is not None]
        new = np.fromiter(map(xxhash.xxh3_64_intdigest, texts), np.uint64, len(texts))
        distinct = np.unique(new)
        repeated = len(new) - len(distinct)
        if self._hashes is None:
            self._hashes = distinct
        else:
            repeated += int(np.isin(distinct, self._hashes).sum())
            self._hashes = np.union1d(self._hashes, distinct)
        return repeated
