"""What a folder of source files holds: tables, columns, and counts that tell a column's role."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift.errors import DataError
from nightshift.scaffold import meanings
from nightshift.scaffold.meanings import Meaning

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 1_000_000
"""Rows of a table that are looked at."""

_MAX_CATEGORIES = 0.5
"""A text column with more distinct values a row than this names rows, and is not a feature."""
_MOST_FRESH = 0.8
"""Of a column whose values are ids that pass, such as sessions: a model never sees them again."""
_WORDS = "(?<!^b)(?<!_b)" + "".join(
    f"(?<!{start})" for start in ("pa", "val", "vo", "rap", "sol", "flu", "liqu", "hum")
)
"""Before `id`, for it to be no part of bid, paid, valid and the like."""
NAMES_A_KIND = re.compile(rf"(?i)(?:^|_)(?:id|code|type|kind|cat|category)$|{_WORDS}id$")
WHO_OR_WHAT = re.compile(
    rf"(?i){_WORDS}id$|^(?:user|member|customer|client|visitor|account|device|player|"
    r"item|product|sku|article|movie|film|song|book|ad|campaign|advertiser|"
    r"shop|store|merchant|seller|site|publisher)$"
)
"""Names of columns that say whom or what a row is about, also by numbers."""
_FEW = 50
"""Distinct values of a column up to which it is known how often each is there."""

WHOLE = ("int16", "int32", "int64")
"""SQL types of whole numbers."""

TIME = re.compile(r"(?i)time|date|ts$|_at$|when|created|stamp")
"""How columns of times are called."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: its name.
        sql: its SQL type.
        distinct: distinct values among the rows looked at, NULL aside.
        nulls: NULLs among them.
        least: smallest value, None where there is no order or no value.
        greatest: largest value.
        common: the most frequent values of a text or integer column with few, most frequent first.
        ones: rows with 1 or true, of a column that may be a label.
        fresh: share of the newest tenth of the rows whose value no older row has; 0 where the
            table has no time.
    """

    name: str
    sql: str
    distinct: int
    nulls: int
    least: Any = None
    greatest: Any = None
    common: tuple[Any, ...] = ()
    ones: int | None = None
    fresh: float = 0.0

    @property
    def is_binary(self) -> bool:
        """Whether it holds 0 and 1 (or false and true) alone."""
        return self.sql == "bool" or (
            self.sql in (*WHOLE, "float", "double")
            and self.distinct <= 2
            and self.least in (0, 1)
            and self.greatest in (0, 1)
        )


@dataclass(frozen=True)
class Table:
    """One table's files.

    Attributes:
        name: the folder's name.
        columns: in the files' order.
        rows: rows of all files, by their footers.
        seen: rows looked at.
        days: `ds=` partitions; empty where there are none.
        shared: distinct values of text and integer columns, for finding join keys.
        meanings: what becomes of columns that need a conversion.
        left_out: columns that no table can hold, with the reason.
    """

    name: str
    columns: tuple[Column, ...]
    rows: int
    seen: int
    days: tuple[dt.date, ...] = ()
    shared: dict[str, frozenset[Any]] = field(default_factory=dict, repr=False, compare=False)
    meanings: dict[str, Meaning] = field(default_factory=dict, compare=False)
    left_out: dict[str, str] = field(default_factory=dict, compare=False)

    def column(self, name: str) -> Column:
        """A column by its name.

        Raises:
            DataError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(
            f"table {self.name} has no column {name!r}; it has "
            f"{', '.join(c.name for c in self.columns)}"
        )

    def kind_of(self, column: Column) -> str:
        """What a column may be to a model: `categorical`, `numeric`, or `ignored: <why>`."""
        if column.nulls == self.seen:
            return "ignored: it is NULL in every row"
        if column.sql == "timestamp":
            return (
                "ignored: a time that is not the request's; derive what you need from it in the "
                "query"
            )
        if not self._is_id(column):
            return "numeric"
        unlike = self.seen >= 100 and column.distinct > _MAX_CATEGORIES * self.seen
        if unlike and column.sql not in WHOLE:
            return "ignored: nearly every row has a value of its own"
        if column.fresh > _MOST_FRESH:
            return (
                f"ignored: its values do not come again, {column.fresh:.0%} of the newest rows have "
                "one that no older row has"
            )
        return "categorical"

    def _is_id(self, column: Column) -> bool:
        """Whether values of a column are names, even where they are numbers."""
        if column.sql in WHOLE:
            named = NAMES_A_KIND.search(column.name) or WHO_OR_WHAT.search(column.name)
            return named is not None or column.distinct <= 100
        return column.sql not in ("float", "double")

    def is_unique(self, name: str) -> bool:
        """Whether a column names a row among those looked at."""
        column = self.column(name)
        return self.seen > 0 and column.nulls == 0 and column.distinct == self.seen


def survey(folder: Path, zone: str = "+08:00") -> dict[str, Table]:
    """Every table of a folder: its subfolders with parquet files, and its parquet files.

    Args:
        folder: the folder.
        zone: whose days and clock texts without a zone mean.

    Raises:
        DataError: the folder holds no table, a file cannot be read, or a name or type cannot be
            a table's in OpenMLDB; names file and column.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise DataError(
            f"{folder} {what}; give a folder that holds a file or a folder for each table"
        )
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_file() and path.suffix == ".parquet" and path.stat().st_size:
            path = path.with_suffix("")
        elif not path.is_dir():
            continue
        table = None if path.name in found else _table(path, zone)
        if table is not None:
            found[table.name] = table
    if not found:
        raise DataError(
            f"{folder} holds no table: each needs a folder of its own with parquet files, such "
            f"as {folder}/clicks/part-0.parquet or {folder}/clicks/ds=2026-11-01/part-0.parquet, or "
            f"one file, as {folder}/clicks.parquet"
        )
    return found


def files_of(folder: Path) -> list[Path]:
    """The parquet files of a table, those of partitions by their days; or its one file."""
    from nightshift.data import reading

    if not folder.is_dir():
        return [folder.with_name(f"{folder.name}.parquet")]
    folders = _partitions(folder) or [folder]
    return [file for one in folders for file in reading.parquet_files(one)]


def _partitions(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("ds=????-??-??") if p.is_dir())


def read(folder: Path, table: Table, columns: Sequence[str]) -> pa.Table:
    """Columns of all of a table's files, as `data load` will write them.

    Raises:
        DataError: a file cannot be read.
    """
    from nightshift.data import reading

    return _meant(reading.table(files_of(folder / table.name), columns=columns), table.meanings)


def _meant(whole: pa.Table, meant: Mapping[str, Meaning]) -> pa.Table:
    from openmldb_files.convert import Refused

    for name, meaning in meant.items():
        at = whole.schema.get_field_index(name)
        if at < 0:
            continue
        try:
            whole = whole.set_column(at, name, meanings.converted(whole[name], meaning))
        except Refused as error:
            raise DataError(f"column {name}: {error.reason}") from None
    return whole


def _table(folder: Path, zone: str) -> Table | None:
    from openmldb_files.errors import FileError

    paths = files_of(folder)
    if not paths:
        return None
    if not IDENTIFIER.fullmatch(folder.name):
        raise DataError(f"{folder}: a table's name has letters, digits and _ only; rename it")
    try:
        return _read(folder, _partitions(folder), paths, zone)
    except FileError as error:
        raise DataError(str(error)) from None


def _read(folder: Path, days: Sequence[Path], paths: Sequence[Path], zone: str) -> Table:
    import pyarrow as pa
    from openmldb_files.parquet import columns_of, rows_of

    from nightshift.data import reading

    kinds: dict[str, str] = {}
    meant: dict[str, Meaning] = {}
    left_out: dict[str, str] = {}
    for column in columns_of(paths[-1]):
        meaning = meanings.of_type(column.arrow)
        if meaning is None:
            left_out[column.name] = f"OpenMLDB has no type for {column.arrow}"
        elif not IDENTIFIER.fullmatch(column.name):
            left_out[column.name] = (
                "a column's name has the letters a to z, digits and _ only; rename it to use it"
            )
        else:
            kinds[column.name] = meaning.sql
            if column.sql is None:
                meant[column.name] = meaning
    if not kinds:
        raise DataError(f"{paths[-1]}: no column of it can be a table's: {_listed(left_out)}")
    rows = sum(rows_of(path) for path in paths)
    # The newest files first: they are what the next night looks like.
    taken: list[pa.Table] = []
    seen = 0
    for path in reversed(paths):
        part = reading.table([path], columns=list(kinds))
        taken.append(part)
        seen += len(part)
        if seen >= MOST_ROWS:
            break
    whole = pa.concat_tables(taken, promote_options="permissive")
    whole = _meant(whole, meant)
    for name, meaning in _times(whole, kinds, zone):
        meant[name], kinds[name] = meaning, meaning.sql
        whole = _meant(whole, {name: meaning})
    columns, shared = [], {}
    newest = _newest(whole, kinds)
    for name, kind in kinds.items():
        made, values = _column(name, kind, whole[name], newest)
        columns.append(made)
        if values is not None:
            shared[name] = values
    return Table(
        folder.name,
        tuple(columns),
        rows,
        len(whole),
        tuple(dt.date.fromisoformat(day.name[3:]) for day in days),
        shared,
        meant,
        left_out,
    )


def _times(whole: pa.Table, kinds: Mapping[str, str], zone: str) -> Iterator[tuple[str, Meaning]]:
    """Columns that are no timestamps and hold times, where a table has no timestamp."""
    if any(kind == "timestamp" and not whole[name].null_count for name, kind in kinds.items()):
        return
    for name in kinds:
        if TIME.search(name):
            meaning = meanings.of_time(whole[name], zone)
            if meaning is not None:
                yield name, meaning


def _listed(left_out: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in left_out.items())


def _newest(whole: pa.Table, kinds: dict[str, str]) -> pa.ChunkedArray | None:
    """Which rows are the newest tenth, by the first time without NULLs; None without one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, kind in kinds.items():
        if kind == "timestamp" and len(whole) and not whole[name].null_count:
            moments = whole[name].cast(pa.int64())
            return pc.greater(moments, pc.quantile(moments, 0.9, interpolation="lower")[0])
    return None


def _fresh(values: pa.ChunkedArray, newest: pa.ChunkedArray) -> float:
    import pyarrow.compute as pc

    new = values.filter(newest).drop_null()
    if not len(new):
        return 0.0
    known = pc.unique(values.filter(pc.invert(newest)))
    return 1.0 - (pc.sum(pc.is_in(new, value_set=known)).as_py() or 0) / len(new)


def _column(
    name: str, kind: str, values: pa.ChunkedArray, newest: pa.ChunkedArray | None
) -> tuple[Column, frozenset[Any] | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    listed = kind in ("string", *WHOLE)
    distinct = pc.count_distinct(values, mode="only_valid").as_py()
    least = greatest = None
    if len(values) > values.null_count and not pa.types.is_boolean(values.type):
        bounds = pc.min_max(values).as_py()
        least, greatest = bounds["min"], bounds["max"]
    common: tuple[Any, ...] = ()
    if listed and distinct <= _FEW:
        counts = [
            (n["counts"], n["values"]) for n in pc.value_counts(values.drop_null()).to_pylist()
        ]
        common = tuple(value for _, value in sorted(counts, key=lambda n: (-n[0], n[1])))
    column = Column(name, kind, distinct, values.null_count, least, greatest, common)
    if column.is_binary:
        column = replace(column, ones=pc.sum(values.cast(pa.int64())).as_py() or 0)
    if listed:
        if newest is not None and distinct > _FEW:
            column = replace(column, fresh=_fresh(values, newest))
        return column, frozenset(pc.unique(values.drop_null()).slice(0, 200_000).to_pylist())
    return column, None
