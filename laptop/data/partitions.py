"""Write date partitions and snapshots, each whole or absent, and remember where they come from."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from laptop.data.schemas import EVENT_TABLES, SCHEMAS
from nightshift import files, layout
from nightshift.data import reading
from nightshift.errors import ConfigurationError, ContractError

UTC8_US = 8 * 3600 * 1_000_000
"""OpenMLDB's fixed zone, as microseconds ahead of UTC."""

SOURCE = "SOURCE.json"


def write_partition(data: Path, table: str, day: dt.date, rows: pa.Table) -> None:
    """Replace one date partition of an event table; an empty one still holds a file."""
    _write(layout.partition(data, table, day), table, rows)


def write_snapshot(data: Path, table: str, rows: pa.Table) -> None:
    """Replace a snapshot table."""
    _write(data / table, table, rows)


def _write(folder: Path, table: str, rows: pa.Table) -> None:
    with files.staged_dir(folder, replace=True) as staged:
        pq.write_table(rows.cast(SCHEMAS[table]), staged / "part-0.parquet", compression="zstd")


def claim(data: Path, source: dict[str, Any], *, replace: bool) -> None:
    """Say that this folder holds `source`, so that two sources never mix.

    Args:
        data: the folder of source tables.
        source: what tells this source from another; the same source may be added to.
        replace: remove what another source left.

    Raises:
        ConfigurationError: the folder holds another source, or tables of unknown origin.
    """
    present = source_of(data)
    if present == source:
        return
    tables = [name for name in SCHEMAS if (data / name).exists()]
    if tables and not replace:
        raise ConfigurationError(
            f"{data} holds {describe(present)}; this is {describe(source)}, and two sources in one "
            "folder would train one model on both. Give --replace to remove what is there, or "
            "another NIGHTSHIFT_HOME"
        )
    for name in tables:
        shutil.rmtree(data / name)
    files.write_json(data / SOURCE, source)


def source_of(data: Path) -> dict[str, Any] | None:
    """What `claim` wrote; None where nothing did."""
    try:
        value = files.read_json(data / SOURCE)
    except ContractError:
        return None
    return value if isinstance(value, dict) else None


def describe(source: dict[str, Any] | None) -> str:
    """A source in words."""
    if source is None:
        return "tables of unknown origin"
    if source.get("kind") == "generated":
        return (
            f"generated tables (seed {source.get('seed')}, {source.get('rows_per_day')} rows a day)"
        )
    return f"tables laid out from {source.get('folder')}"


def days_present(data: Path) -> list[dt.date]:
    """Dates for which every event table has a partition, ascending."""
    common: set[str] | None = None
    for table in EVENT_TABLES:
        names = {p.name[3:] for p in (data / table).glob("ds=*") if reading.parquet_files(p)}
        common = names if common is None else common & names
    return sorted(dt.date.fromisoformat(name) for name in common or ())
