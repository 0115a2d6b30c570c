"""The rows of a run's source partitions that sampled requests can see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from openmldb_files import normal_schema

from nightshift.data import reading
from nightshift.errors import ConfigurationError, DataError
from nightshift.features.reach import Reach
from nightshift.features.tables import SourceTables
from nightshift.plan import Plan


def rows_seen(
    data: Path, plan: Plan, reach: Reach, tables: SourceTables, requests: pa.Table
) -> dict[str, pa.Table]:
    """Of each table that the query reads, the rows that the sampled requests can see.

    Args:
        data: root of the source partitions.
        plan: the run's plan.
        reach: how the query reaches rows.
        tables: what each table is.
        requests: the sampled rows of the request table.

    Returns:
        Rows by table; those of the request table hold the sample, too.

    Raises:
        DataError: a table has no files, or they lack a key.
        ConfigurationError: two columns that must be equal are of different types.
    """
    sample = pc.field(tables.request_id).isin(requests[tables.request_id].unique())
    wheres: dict[str, list[pc.Expression | None]] = {tables.request_table: [sample]}
    rows = {0: requests}
    started_from = {column.read for read in reach.reads for _, column in read.keys}
    for number, read in enumerate(reach.reads, 1):
        schema = _schema(data, plan, read.table)
        where: pc.Expression | None = None
        for name, column in read.keys:
            values = rows[column.read][column.name].unique()
            one = pc.field(name).isin(_as_type(values, schema, read.table, name, column.name))
            where = one if where is None else where & one
        wheres.setdefault(read.table, []).append(where)
        if number in started_from:
            rows[number] = rows_of(data, plan, read.table, where)
    return {table: rows_of(data, plan, table, _any_of(found)) for table, found in wheres.items()}


def _any_of(wheres: Sequence[pc.Expression | None]) -> pc.Expression | None:
    """Rows that one of the conditions lets through; None lets all."""
    any_of: pc.Expression | None = None
    for where in wheres:
        if where is None:
            return None
        any_of = where if any_of is None else any_of | where
    return any_of


def _as_type(values: pa.Array, schema: pa.Schema, table: str, name: str, other: str) -> pa.Array:
    """Values to look for in a column, in its type."""
    if name not in schema.names:
        raise DataError(f"the parquet files of {table} have no column {name}, which is a key")
    kind = schema.field(name).type
    if values.type == kind:
        return values
    if not all(pa.types.is_integer(t) or pa.types.is_timestamp(t) for t in (values.type, kind)):
        raise ConfigurationError(
            f"the feature query finds rows of {table} by {name} ({kind}) = {other} "
            f"({values.type}); make them columns of one type"
        )
    return values.cast(kind)


def _schema(data: Path, plan: Plan, table: str) -> pa.Schema:
    with reading.told():
        return normal_schema(_files(data, plan, table)[0])


def _files(data: Path, plan: Plan, table: str) -> list[Path]:
    if table in plan["partitions"]:
        folders = [data / table / f"ds={day}" for day in plan["partitions"][table]]
    else:
        # The snapshot that the run chose; it may be a dated one.
        chosen = plan.get("sources", {}).get(table)
        folders = [Path(chosen).parent if chosen else data / table]
    paths = [path for folder in folders for path in reading.parquet_files(folder)]
    if not paths:
        raise DataError(f"no partition of {table} under {data}, whose rows the query reads")
    return paths


def rows_of(data: Path, plan: Plan, table: str, where: pc.Expression | None) -> pa.Table:
    """Rows of a table's partitions (or its snapshot) that the run read.

    Raises:
        DataError: there is no file, or two of them differ in their columns.
    """
    return reading.table(_files(data, plan, table), where=where)
