"""Lay out files of any writer as the partitions and snapshots that a pipeline reads.

Nothing is guessed: a value comes over as it is, or the load is refused with file and column and
the option that says what was meant. All tables appear, or none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files, layout
from nightshift.config.yamlfile import nearest
from nightshift.data import publish
from nightshift.data.declared import Declared
from nightshift.data.readers import SUFFIXES, TextForm, reader_of
from nightshift.errors import ConfigurationError, ContractError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from nightshift.features.tables import SourceTables

SOURCE = "SOURCE.json"
"""Beside the tables: where they come from."""

MOST_DAYS = 3660
"""Longest span of days that is taken for true without being told."""

_SHOWN = 20


@dataclass(frozen=True)
class Options:
    """What the caller knows about the files.

    Attributes:
        meanings: by (table, column), as `openmldb_files.convert.check_meaning` takes them.
        ignore_extra: leave out columns that the table lacks, instead of refusing them.
        delimiter: of CSV files.
        encoding: of CSV files.
        most_days: longest span from the first to the last day of events.
        replace: remove the tables of another source first.
        aliases: other names of a table's folder or file, tried before its own.
        others: a table of which the files of another one hold the columns, where it has none.
        elsewhere: columns of a table's files that are another table's.
        origin: where the files come from, if they were made for this load; their folder else.
    """

    meanings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    ignore_extra: bool = True
    delimiter: str | None = None
    encoding: str = "utf-8"
    most_days: int = MOST_DAYS
    replace: bool = False
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, Collection[str]] = field(default_factory=dict)
    origin: str | None = None


@dataclass(frozen=True)
class Loaded:
    """What a load published."""

    rows: Mapping[str, int]
    days: Sequence[dt.date]
    ignored: Mapping[str, Sequence[str]]


def parse_meanings(
    texts: Sequence[str], declared: Mapping[str, Declared], what: str = "--as"
) -> dict[tuple[str, str], str]:
    """`TABLE.COLUMN=MEANING` texts of a command line, or of the key `as` of tables.yaml.

    Args:
        texts: the texts.
        declared: the tables.
        what: where they stand, for messages.

    Raises:
        ConfigurationError: a table, column or meaning that is not known.
    """
    from openmldb_files.convert import check_meaning

    found: dict[tuple[str, str], str] = {}
    for text in texts:
        place, equals, meaning = text.partition("=")
        table, dot, column = place.partition(".")
        if not equals or not dot:
            raise ConfigurationError(f"{what} {text!r}: write TABLE.COLUMN=MEANING")
        if table not in declared:
            raise ConfigurationError(
                f"{what} {text}: there is no table {table}{nearest(table, declared)}"
            )
        if column not in declared[table].columns:
            raise ConfigurationError(
                f"{what} {text}: {table} has no column {column}"
                f"{nearest(column, declared[table].columns)}"
            )
        try:
            found[table, column] = check_meaning(meaning)
        except ValueError as error:
            raise ConfigurationError(f"{what} {text}: {error}") from None
    return found


def declared_meanings(
    sources: SourceTables, declared: Mapping[str, Declared]
) -> dict[tuple[str, str], str]:
    """What the key `as` of tables.yaml says.

    Raises:
        ConfigurationError: a table, column or meaning that is not known.
    """
    texts = [f"{place}={meaning}" for place, meaning in sources.meanings.items()]
    return parse_meanings(texts, declared, f"{sources.source}: as")


def load(
    data: Path,
    folder: Path,
    declared: Mapping[str, Declared],
    options: Options | None = None,
    *,
    said: Callable[[str], None] = lambda text: None,
) -> Loaded:
    """Lay out every table of `folder` below `data`.

    Every day between the first and the last of any event table gets a partition in each of them;
    a day without rows gets an empty one, so that "no rows" and "not loaded" differ.

    Args:
        data: the pipeline's folder of source tables.
        folder: for each table a folder of files, or one file, named as the table.
        declared: the tables, from `declared_tables`.
        options: what the files mean.
        said: told what is being read.

    Raises:
        DataError: a file cannot be read, or not without changing what it says; every such
            problem that shows at the files' beginning is named.
        ConfigurationError: `data` holds the tables of another source.
        LockHeld: another load runs.
    """
    options = options or Options()
    folder = folder.resolve()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    source = {"kind": "given", "folder": options.origin or str(folder)}
    with publish.held(data):
        others = _others(data, source, declared, replace=options.replace)
        readers = [_Reader(table, folder, options) for table in declared.values()]
        problems = [problem for reader in readers for problem in reader.problems()]
        _refuse(problems)
        with publish.staging(data) as stage:
            written = [reader.write(stage / reader.table.name, said) for reader in readers]
            days = _days([reader for reader in readers if reader.table.time], options)
            moves = [
                move
                for reader in readers
                for move in reader.moves(stage / reader.table.name, data, days)
            ]
            said("publishing")
            publish.publish(
                data, stage, moves=moves, remove=others, contents={data / SOURCE: source}
            )
    return Loaded(
        {reader.table.name: rows for reader, rows in zip(readers, written, strict=True)},
        days,
        {reader.table.name: sorted(reader.extra) for reader in readers if reader.extra},
    )


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        shown = list(problems[:_SHOWN])
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        raise DataError("\n".join(shown))


def _others(
    data: Path, source: Mapping[str, Any], declared: Mapping[str, Declared], *, replace: bool
) -> list[Path]:
    """Tables of another source, which go with this load.

    Raises:
        ConfigurationError: there are some, and `replace` was not asked for.
    """
    try:
        present = files.read_json(data / SOURCE)
    except ContractError:
        present = None
    tables = [data / name for name in declared if (data / name).exists()]
    if present == source or not tables:
        return []
    if not replace:
        where = present.get("folder") if isinstance(present, dict) else None
        kind = present.get("kind") if isinstance(present, dict) else None
        what = f"{kind} tables" if kind else "tables of unknown origin"
        what = f"tables laid out from {where}" if where else what
        raise ConfigurationError(
            f"{data} holds {what}; this is {source['folder']}, and two sources in one folder would "
            "train one model on both. Give --replace to remove what is there"
        )
    return tables


def _days(readers: Sequence[_Reader], options: Options) -> list[dt.date]:
    spans = [
        (reader.first, reader.last, reader)
        for reader in readers
        if reader.first is not None and reader.last is not None
    ]
    if not spans:
        if readers:
            raise DataError("the files hold no event at all")
        return []
    first = min(spans, key=lambda span: span[0])
    last = max(spans, key=lambda span: span[1])
    count = (last[1] - first[0]).days + 1
    if count > options.most_days:
        raise DataError(
            f"the events span {count} days, from {first[0]} ({first[2].where(first[0])}) to "
            f"{last[1]} ({last[2].where(last[1])}); at most {options.most_days} are believed. If a "
            "column's unit or zone was meant otherwise, say so (--as); if it is right, raise "
            "--most-days"
        )
    return layout.days_back(last[1], count)


class _Reader:
    """One table: its files, their conversion, and the partitions that come of them."""

    def __init__(self, table: Declared, folder: Path, options: Options) -> None:
        self.table = table
        self.options = options
        self.folder = folder
        self.paths: list[Path] = []
        self.extra: set[str] = set()
        self.shares = False
        self.first: dt.date | None = None
        self.last: dt.date | None = None
        self._ends: dict[dt.date, Path] = {}

    def where(self, day: dt.date) -> str:
        """File and column of an extreme day."""
        return f"{self._ends[day]}, column {self.table.time}"

    # -- what can be said before anything is written

    def problems(self) -> list[str]:
        """What is wrong with the table's files, as far as their beginnings show."""
        from openmldb_files import FileError

        try:
            self.paths = self._find()
        except (FileError, DataError) as error:
            return [str(error)]
        found = []
        for path in self.paths:
            found += self._problems_of(path)
        return found

    def _find(self) -> list[Path]:
        from openmldb_files import FileError, list_files

        other = self.options.others.get(self.table.name)
        names = (*self.options.aliases.get(self.table.name, ()), self.table.name)
        names = names if other is None else (*names, other)
        for name in names:
            there = [
                path
                for path in (
                    self.folder / name,
                    *(self.folder / f"{name}{suffix}" for suffix in SUFFIXES),
                )
                if path.exists()
            ]
            if len(there) > 1:
                raise DataError(
                    f"{there[0]} and {there[1]} are both there for {self.table.name}; keep one"
                )
            if not there:
                continue
            listing = list_files(there[0])
            for path in listing.empty:
                if not path.is_file():  # a pipe, a device: it has no bytes either
                    raise FileError(path, "it is not a plain file", hint="remove it")
                raise FileError(
                    path,
                    "the file is empty (0 bytes): an upload or a writer broke off",
                    hint="write it again, or remove it",
                )
            from openmldb_files import is_data_name

            for item in listing.passed_over:
                if item.path.is_dir() and is_data_name(item.path.name) and any(item.path.iterdir()):
                    raise FileError(
                        item.path,
                        "a folder inside a table's folder that is not a partition",
                        hint="move its files up, or the folder away",
                    )
            for path in listing.files:
                if not path.name.endswith(SUFFIXES):
                    raise FileError(
                        path,
                        f"its name ends in none of {', '.join(SUFFIXES)}",
                        hint="rename it, or move it away",
                    )
            if listing.files:
                self.shares = name == other
                return list(listing.files)
        raise DataError(
            f"{self.folder} has no file of {self.table.name} (looked for {', '.join(names)}, each "
            f"as a folder or as a file with one of {', '.join(SUFFIXES)})"
        )

    def _problems_of(self, path: Path) -> list[str]:
        from openmldb_files import FileError

        try:
            return self._seen_in(path)
        except FileError as error:
            return [str(error)]

    def _seen_in(self, path: Path) -> list[str]:
        names = self._names(path)
        columns = self.table.columns
        found = []
        for name in columns:
            if name in names or self._meaning(name) == "null-if-missing":
                continue
            other = next((n for n in names if n.strip().lower() == name.lower()), None)
            hint = (
                f"it has {other!r}: rename it"
                if other is not None
                else f"if its rows have none, say so (--as {self.table.name}.{name}=null-if-missing)"
            )
            found.append(
                f"{path}, column {name}: the file has no such column"
                f"{'' if other else nearest(name, [n for n in names if n not in columns])}; {hint}"
            )
        # What two tables are taken out of has columns of both.
        others = () if self.shares else self.options.elsewhere.get(self.table.name, ())
        extra = [
            name
            for name in names
            if name not in columns and name != "ds" and name not in others and not self.shares
        ]
        if extra and not self.options.ignore_extra:
            found.append(
                f"{path}, column {extra[0]}: {self.table.name} has no such column"
                f"{nearest(extra[0], columns)}"
            )
        self.extra.update(extra)
        batch = next(iter(self._batches(path)), None)
        if batch is None or found:
            return found
        for name in columns:
            if name in names:
                found += self._converted(batch.column(name), name, path)[1]
        return found

    # -- reading

    def _form(self) -> TextForm:
        return TextForm(self.options.delimiter, self.options.encoding)

    def _names(self, path: Path) -> list[str]:
        return reader_of(path).names(path, self._form())

    def _batches(self, path: Path) -> Iterator[pa.RecordBatch]:
        yield from reader_of(path).batches(path, list(self.table.columns), self._form())

    def _meaning(self, column: str) -> str | None:
        return self.options.meanings.get((self.table.name, column))

    def _converted(self, column: Any, name: str, path: Path) -> tuple[Any, list[str]]:
        from openmldb_files.convert import Refused, exact

        place = f"{path}, column {name}"
        try:
            made = exact(column, self.table.columns[name], self._meaning(name))
        except Refused as error:
            hint = f"; {error.hint} (--as {self.table.name}.{name}=...)" if error.hint else ""
            wanted = f"{self.table.name}.{name} is {self.table.columns[name]}"
            return None, [f"{place}: {wanted}: {error.reason}{hint}"]
        if made.null_count and (name in self.table.required or name == self.table.time):
            why = "says the day of a row" if name == self.table.time else "is NOT NULL"
            return None, [f"{place}: {made.null_count} row(s) have no value, but the column {why}"]
        return made, []

    def _ready(self, path: Path) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        from nightshift.data import reading

        schema = self.table.arrow_schema()
        with reading.told():
            for batch in self._batches(path):
                columns = []
                for item in schema:
                    if item.name not in batch.schema.names:
                        columns.append(pa.nulls(batch.num_rows, item.type))
                        continue
                    made, problems = self._converted(batch.column(item.name), item.name, path)
                    _refuse(problems)
                    columns.append(made)
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    # -- writing

    def write(self, stage: Path, said: Callable[[str], None]) -> int:
        """Write the table below `stage`; the rows."""
        stage.mkdir()
        return self._write_events(stage, said) if self.table.time else self._write_all(stage, said)

    def _write_all(self, stage: Path, said: Callable[[str], None]) -> int:
        rows = 0
        with _writer(stage / "part-0.parquet", self.table.arrow_schema()) as writer:
            for path in self.paths:
                said(f"{self.table.name}: {path.name}")
                for batch in self._ready(path):
                    rows += batch.num_rows
                    writer.write_batch(batch)
        return rows

    def _write_events(self, stage: Path, said: Callable[[str], None]) -> int:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.dataset as pads

        schema = self.table.arrow_schema()
        dated = schema.append(pa.field("ds", pa.string()))
        rows = 0

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal rows
            for path in self.paths:
                said(f"{self.table.name}: {path.name}")
                for batch in self._ready(path):
                    if not batch.num_rows:
                        continue
                    days = self.table.zone.days_of_times(batch.column(self.table.time))
                    day = days.cast(pa.date32())
                    self._note(day, path)
                    rows += batch.num_rows
                    text = pc.strftime(day.cast(pa.timestamp("s")), format="%Y-%m-%d")
                    yield pa.RecordBatch.from_arrays([*batch.columns, text], schema=dated)

        pads.write_dataset(
            pa.RecordBatchReader.from_batches(dated, batches()),
            stage,
            format="parquet",
            file_options=pads.ParquetFileFormat().make_write_options(**_WRITTEN),
            partitioning=pads.partitioning(pa.schema([("ds", pa.string())]), flavor="hive"),
            basename_template="part-{i}.parquet",
            max_open_files=512,
            max_partitions=self.options.most_days,
        )
        return rows

    def _note(self, days: pa.Array, path: Path) -> None:
        import pyarrow.compute as pc

        span = pc.min_max(days)
        first, last = span["min"].as_py(), span["max"].as_py()
        if (last - first).days > self.options.most_days:
            # Before so many folders are made: a wrong unit shows within one file already.
            self.first, self.last = first, last
            self._ends = {first: path, last: path}
            _days([self], self.options)
        if self.first is None or first < self.first:
            self.first, self._ends[first] = first, path
        if self.last is None or last > self.last:
            self.last, self._ends[last] = last, path

    def moves(self, stage: Path, data: Path, days: Sequence[dt.date]) -> list[tuple[Path, Path]]:
        """Staged folders and their places; days without rows are written on the way."""
        place = data / self.table.name
        if self.table.time is None:
            return [(stage, place)]
        found = []
        for day in days:
            made = stage / f"ds={day.isoformat()}"
            if not made.is_dir():
                made.mkdir()
                with _writer(made / "part-0.parquet", self.table.arrow_schema()):
                    pass
            found.append((made, place / made.name))
        return found


_WRITTEN: dict[str, Any] = {
    # What Spark 3.2 reads: data pages v1, times in microseconds.
    "compression": "zstd",
    "version": "2.4",
    "data_page_version": "1.0",
    "coerce_timestamps": "us",
    "allow_truncated_timestamps": False,
}


def _writer(path: Path, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, **_WRITTEN)
