"""Lay out the JD tutorial's own parquet files as date partitions.

The tutorial's archive holds one folder a table, `flattenRequest_clean` for the requests. Rows
are streamed, so a folder larger than memory is no matter.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from laptop.data import partitions
from laptop.data.schemas import EVENT_TABLES, EVENT_TIME, SCHEMAS, SNAPSHOT_TABLES
from nightshift import files, layout
from nightshift.errors import DataError

_NAMES = {"flattenRequest": ("flattenRequest_clean", "flattenRequest")}
"""Folders that hold a table, where its name is not the only one, the first found counts."""

_ZONE = dt.timedelta(microseconds=partitions.UTC8_US)


def load(
    data: Path,
    folder: Path,
    *,
    replace: bool = False,
    said: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Lay out every table of `folder` below `data`.

    Every day between the first and the last of any event table gets a partition in each; a
    day without rows gets an empty one, so that "no rows" and "not loaded" differ.

    Args:
        data: folder of the source tables.
        folder: one folder (or one `.parquet` file) a table.
        replace: remove another source's tables first.
        said: told what is being laid out.

    Returns:
        rows by table.

    Raises:
        DataError: a table is missing, or its columns are not the tutorial's.
        ConfigurationError: `data` holds another source.
    """
    folder = folder.resolve()
    sources = {table: _dataset(folder, table) for table in SCHEMAS}
    partitions.claim(data, {"kind": "given", "folder": str(folder)}, replace=replace)
    rows: dict[str, int] = {}
    staged: dict[str, Path] = {}
    try:
        for table in EVENT_TABLES:
            said(table)
            target = data / table
            target.parent.mkdir(parents=True, exist_ok=True)
            staged[table] = files.staging_path(target)
            rows[table] = _write_events(sources[table], table, staged[table])
        days = sorted({_day(p) for path in staged.values() for p in path.glob("ds=*")})
        if not days:
            raise DataError(f"{folder} holds no event at all")
        for table, path in staged.items():
            said(f"{table}, {len(days)} days")
            _publish(data, table, path, days)
    finally:
        for path in staged.values():
            shutil.rmtree(path, ignore_errors=True)
    for table in SNAPSHOT_TABLES:
        said(table)
        snapshot = pa.Table.from_batches(_batches(sources[table], table), SCHEMAS[table])
        partitions.write_snapshot(data, table, snapshot)
        rows[table] = snapshot.num_rows
    return rows


def last_full_day(data: Path) -> dt.date:
    """The last day on which both requests and user actions were recorded.

    The tutorial's requests go on for five days after its actions end; those days have no order.

    Raises:
        DataError: there is no such day.
    """
    for day in reversed(partitions.days_present(data)):
        if all(
            pads.dataset(layout.partition(data, table, day), format="parquet").count_rows()
            for table in ("flattenRequest", "bo_action")
        ):
            return day
    raise DataError(f"no day below {data} has both requests and actions")


def _dataset(folder: Path, table: str) -> Any:
    names = _NAMES.get(table, (table,))
    for name in names:
        for path in (folder / name, folder / f"{name}.parquet"):
            if path.is_file() or (path.is_dir() and any(path.glob("*.parquet"))):
                found = [path] if path.is_file() else sorted(path.glob("*.parquet"))
                dataset = pads.dataset(found, format="parquet")
                missing = set(SCHEMAS[table].names) - set(dataset.schema.names)
                if missing:
                    raise DataError(
                        f"{path} has no column {', '.join(sorted(missing))}; {table} has "
                        f"{', '.join(SCHEMAS[table].names)}"
                    )
                return dataset
    raise DataError(
        f"{folder} has no parquet files of {table} (looked for {', '.join(names)}, each as a "
        "folder or as a .parquet file)"
    )


def _batches(dataset: Any, table: str) -> Iterator[pa.RecordBatch]:
    schema = SCHEMAS[table]
    for batch in dataset.to_batches(columns=schema.names):
        columns = [_cast(batch.column(item.name), item, table) for item in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, item: pa.Field, table: str) -> pa.Array:
    try:
        return column.cast(item.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {item.name} of {table} cannot be read as {item.type}: {error}"
        ) from error


def _write_events(dataset: Any, table: str, target: Path) -> int:
    schema = SCHEMAS[table].append(pa.field("ds", pa.string()))
    written = 0

    def dated() -> Iterator[pa.RecordBatch]:
        nonlocal written
        for batch in _batches(dataset, table):
            time = batch.column(EVENT_TIME[table])
            if time.null_count:
                raise DataError(
                    f"{time.null_count} row(s) of {table} have no {EVENT_TIME[table]}, so no day"
                )
            day = pc.strftime(pc.add(time, pa.scalar(_ZONE)), format="%Y-%m-%d")
            written += batch.num_rows
            yield pa.RecordBatch.from_arrays([*batch.columns, day], schema=schema)

    pads.write_dataset(
        pa.RecordBatchReader.from_batches(schema, dated()),
        target,
        format="parquet",
        partitioning=pads.partitioning(pa.schema([("ds", pa.string())]), flavor="hive"),
        basename_template="part-{i}.parquet",
        max_open_files=512,
        max_partitions=100_000,
    )
    return written


def _day(path: Path) -> dt.date:
    return dt.date.fromisoformat(path.name.removeprefix("ds="))


def _publish(data: Path, table: str, staged: Path, days: list[dt.date]) -> None:
    for day in layout.days_back(days[-1], (days[-1] - days[0]).days + 1):
        made = staged / f"ds={day.isoformat()}"
        if not made.is_dir():
            partitions.write_partition(data, table, day, SCHEMAS[table].empty_table())
            continue
        with files.staged_dir(layout.partition(data, table, day), replace=True) as folder:
            for path in made.iterdir():
                path.rename(folder / path.name)
