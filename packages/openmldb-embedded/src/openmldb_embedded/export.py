"""SELECT INTO's writers: a folder of parts with ``_SUCCESS``, as Spark leaves it; or one CSV file.

Everything is written beside the target under a hidden name, made durable and renamed, so that a
reader sees the old result or the new one.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from openmldb_sql.types import SqlType

from openmldb_embedded.columns import Batch, Column
from openmldb_embedded.durable import sync
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.options import FILE_OPTIONS, FileOptions, check_mode, file_options

PART_ROWS = 1_000_000


@dataclass(frozen=True)
class ExportOptions(FileOptions):
    """OPTIONS of SELECT INTO, checked; the defaults are OpenMLDB's."""

    coalesce: int = 0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ExportOptions:
        """Check a statement's options.

        Raises:
            ExecutionError: An unknown option, or a value it does not take.
        """
        known = FILE_OPTIONS | {"coalesce"}
        unknown = sorted(set(options) - known - {"sql", "create_if_not_exists"})
        if unknown:
            raise ExecutionError(
                f"INTO OUTFILE has no option {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known))}"
            )
        coalesce = options.get("coalesce", 0)
        if not isinstance(coalesce, int) or isinstance(coalesce, bool):
            raise ExecutionError(f"option coalesce takes a number, not {coalesce!r}")
        found = cls(**file_options(options), coalesce=coalesce)
        if found.format not in ("csv", "parquet"):
            raise ExecutionError(f"INTO OUTFILE writes csv and parquet, not {found.format!r}")
        check_mode(found.mode)
        if len(found.quote) > 1 or not found.delimiter:
            raise ExecutionError("quote takes at most one character, delimiter at least one")
        return found


def check_names(names: Sequence[str]) -> None:
    """Refuse output columns whose names repeat: no file can hold them.

    Raises:
        ExecutionError: A name repeats.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExecutionError(
            f"Found duplicate column(s) in the output: {', '.join(repeated)}: rename them with AS"
        )


def check_target(path: Path, options: ExportOptions) -> None:
    """Refuse a target that exists where it must not.

    Raises:
        ExecutionError: It exists and the mode is error_if_exists, or it is of the wrong kind.
    """
    if path.exists() and options.mode == "error_if_exists":
        raise ExecutionError(
            f"path {path} already exists: use mode='overwrite' or 'append', or another path"
        )


def check_folder(path: Path, options: ExportOptions) -> None:
    """Refuse a target folder that is not, or not only, an earlier export.

    Raises:
        ExecutionError: It exists and must not, is a file, or holds what an overwrite would lose.
    """
    check_target(path, options)
    if not path.exists():
        return
    if not path.is_dir():
        raise ExecutionError(f"path {path} is a file: an offline SELECT INTO writes a folder")
    if options.mode == "overwrite":
        foreign = [p for p in path.iterdir() if p.is_dir() or not p.name.startswith(_OURS)]
        if foreign:
            raise ExecutionError(
                f"path {path} holds {foreign[0].name}, which is not a part of an export: it is not "
                f"overwritten; name another folder, or remove it yourself"
            )


_OURS = ("part-", "_", ".")


def stage(batch: Batch, folder: Path, options: ExportOptions) -> None:
    """Write a result's parts and ``_SUCCESS`` into an empty folder, and make them durable."""
    check_names([name for name, _ in batch.schema])
    token = str(uuid.uuid4())
    parts = options.coalesce if options.coalesce > 0 else -(-batch.num_rows // PART_ROWS) or 1
    size = -(-batch.num_rows // parts) or 1
    for number in range(parts):
        start = number * size
        if start >= batch.num_rows and number:
            break
        with _Part(folder, number, token, options) as part:
            part.add(batch.slice(start, min(start + size, batch.num_rows)))
    _succeed(folder)


def stage_some(
    batches: Iterator[Batch], empty: Batch, folder: Path, options: ExportOptions, held: int
) -> int:
    """As ``stage``, for a result that comes some rows at a time; the number of rows is returned.

    Args:
        batches: The rows.
        empty: The same relation without rows.
        folder: An empty folder.
        options: With ``coalesce`` the rows go to so many parts in turn.
        held: Bytes that may be kept in memory until they are written.
    """
    check_names([name for name, _ in empty.schema])
    token = str(uuid.uuid4())
    total = 0
    with ExitStack() as stack:
        parts = [stack.enter_context(_Part(folder, 0, token, options))]
        parts[0].add(empty)
        for turn, batch in enumerate(_sized(batches, held)):
            at = turn % options.coalesce if options.coalesce > 0 else total // PART_ROWS
            if at >= len(parts):
                if options.coalesce <= 0:
                    parts[-1].close()
                parts.append(stack.enter_context(_Part(folder, len(parts), token, options)))
            parts[min(at, len(parts) - 1)].add(batch)
            total += batch.num_rows
    _succeed(folder)
    return total


_GROUP_ROWS = 1 << 17


def _sized(batches: Iterator[Batch], most: int) -> Iterator[Batch]:
    """The rows in batches that are worth a row group of their own, as far as memory allows."""
    held: list[Batch] = []
    rows = size = 0
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
            rows += batch.num_rows
            size += batch.nbytes()
        if rows and (rows >= _GROUP_ROWS or size >= most):
            yield Batch.concat(held)
            held, rows, size = [], 0, 0
    if held:
        yield Batch.concat(held)


class _Part:
    """One file of an export, durable once it is closed."""

    def __init__(self, folder: Path, number: int, token: str, options: ExportOptions) -> None:
        stem = f"part-{number:05d}-{token}-c000"
        ending = "snappy.parquet" if options.format == "parquet" else "csv"
        self._path = folder / f"{stem}.{ending}"
        self._options = options
        self._text: TextIO | None = None
        self._writer: pq.ParquetWriter | None = None
        if options.format == "csv":
            self._text = self._path.open("w", encoding="utf-8", newline="")

    def add(self, rows: Batch) -> None:
        """Append rows."""
        if self._text is not None:
            self._text.writelines(csv_lines(rows, self._options))
            self._options = replace(self._options, header=False)
            return
        table = rows.to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="snappy")
        if table.num_rows:
            self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        if self._text is not None and not self._text.closed:
            self._text.close()
            sync(self._path)
        if self._writer is not None and self._writer.is_open:
            self._writer.close()
            sync(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _succeed(folder: Path) -> None:
    (folder / "_SUCCESS").touch()
    sync(folder / "_SUCCESS")
    sync(folder)


def publish(staged: Path, target: Path, options: ExportOptions) -> None:
    """Give a staged folder its name, by the mode.

    Raises:
        ExecutionError: The target appeared meanwhile and the mode is error_if_exists.
    """
    check_folder(target, options)
    if options.mode == "append" and target.is_dir():
        for part in sorted(staged.iterdir(), key=lambda p: p.name == "_SUCCESS"):
            part.replace(target / part.name)
        sync(target)
        shutil.rmtree(staged, ignore_errors=True)
        return
    old: Path | None = None
    if target.exists() or target.is_symlink():
        old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
        target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        if old is not None:
            old.rename(target)
        raise
    sync(target.parent)
    if old is not None:
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)


def check_file(target: Path, options: ExportOptions) -> None:
    """Refuse what an online SELECT INTO, which writes one CSV file, cannot write.

    Raises:
        ExecutionError: The target exists and must not, is a folder, or the format is not csv.
    """
    if options.format != "csv":
        raise ExecutionError("an online SELECT INTO writes csv only: use an offline mode")
    check_target(target, options)
    if target.is_dir():
        raise ExecutionError(f"path {target} is a folder: an online SELECT INTO writes one file")


def publish_file(staged: Path, target: Path, options: ExportOptions) -> None:
    """Give the one part of a staged folder its name, by the mode.

    Raises:
        ExecutionError: See ``check_file``.
    """
    check_file(target, options)
    (part,) = staged.glob("part-*")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with aside.open("wb") as file, part.open("rb") as rows:
            if options.mode == "append" and target.exists():
                with target.open("rb") as old:
                    shutil.copyfileobj(old, file)
                if options.header and file.tell():
                    rows.readline()
            shutil.copyfileobj(rows, file)
        sync(aside)
        aside.rename(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(target.parent)


# -------------------------------------------------------------------- csv


def csv_lines(batch: Batch, options: ExportOptions) -> Iterator[str]:
    """The lines of a CSV file, the header first where it is wanted."""
    if options.header:
        names = [_quoted(name, options) for name, _ in batch.schema]
        yield options.delimiter.join(names) + "\n"
    step = 65_536
    for start in range(0, batch.num_rows, step):
        rows = batch.slice(start, min(start + step, batch.num_rows))
        cells = [_cells(column, options) for column in rows.columns]
        for line in zip(*cells, strict=True):
            yield options.delimiter.join(line) + "\n"


def _cells(column: Column, options: ExportOptions) -> list[str]:
    """A column's cells as text: each distinct value is written once."""
    kind = column.type
    null = options.null_value
    if kind is SqlType.STRING:
        codes, places = np.unique(column.values, return_inverse=True)
        known = column.dictionary.objects
        written = [null if c < 0 else _quoted(known[c], options) for c in codes.tolist()]
        return [written[place] for place in places.tolist()]
    if kind.is_floating:
        texts = [
            java_number(value)
            for value in (column.values if kind is SqlType.FLOAT else column.values.tolist())
        ]
    elif kind is SqlType.BOOL:
        texts = ["true" if value else "false" for value in column.values.tolist()]
    elif kind is SqlType.TIMESTAMP:
        local = pa.array(column.values + 8 * 3_600_000, pa.int64()).cast(pa.timestamp("ms"))
        texts = [t + "+08:00" for t in pc.strftime(local, "%Y-%m-%dT%H:%M:%S").to_pylist()]
    elif kind is SqlType.DATE:
        texts = [value.isoformat() if value is not None else null for value in column.to_list()]
    else:
        texts = [str(value) for value in column.to_list()]
    if column.valid is not None:
        for place in np.flatnonzero(~column.valid).tolist():
            texts[place] = null
    return texts


def _quoted(text: str, options: ExportOptions) -> str:
    quote = options.quote
    if not quote:
        return text
    if text == "":
        return quote * 2
    if quote in text or options.delimiter in text or "\n" in text or "\r" in text:
        # Within quotes two backslashes are one, and one before a quote escapes it.
        escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
        return f"{quote}{escaped}{quote}"
    return text


def java_number(value: Any) -> str:
    """A float32 or float64 in its shortest form, written as Java (so Spark) writes it."""
    number = float(value)
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "-0.0" if np.signbit(number) else "0.0"
    if 1e-3 <= abs(number) < 1e7:
        return str(np.format_float_positional(value, unique=True, trim="0"))
    mantissa, exponent = np.format_float_scientific(value, unique=True, trim="0").split("e")
    return f"{mantissa}E{int(exponent)}"
