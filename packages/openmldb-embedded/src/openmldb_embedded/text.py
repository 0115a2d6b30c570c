"""The preformatted text that DESC, SHOW DEPLOYMENT and SHOW CREATE TABLE answer with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

from openmldb_sql.pretty import pretty
from openmldb_sql.types import ColumnDef, IndexDef, SqlType

from openmldb_embedded.catalog import Deployment, Table

PARTITIONS = 8
"""A table's partitions where CREATE TABLE does not say, by the flag ``partition_num``."""

TITLES = {
    SqlType.BOOL: "Bool",
    SqlType.INT16: "SmallInt",
    SqlType.INT32: "Int",
    SqlType.INT64: "BigInt",
    SqlType.FLOAT: "Float",
    SqlType.DOUBLE: "Double",
    SqlType.STRING: "Varchar",
    SqlType.DATE: "Date",
    SqlType.TIMESTAMP: "Timestamp",
    SqlType.NULL: "Null",
}
"""Types as DESC names them."""
SPELLED = {
    SqlType.BOOL: "bool",
    SqlType.INT16: "smallInt",
    SqlType.INT32: "int",
    SqlType.INT64: "bigInt",
    SqlType.FLOAT: "float",
    SqlType.DOUBLE: "double",
    SqlType.STRING: "varchar",
    SqlType.DATE: "date",
    SqlType.TIMESTAMP: "timestamp",
    SqlType.NULL: "bool",
}
"""Types as SHOW CREATE TABLE and a deployment's procedure spell them."""
_TTL_TITLES = {
    "absolute": "kAbsoluteTime",
    "latest": "kLatestTime",
    "absorlat": "kAbsOrLat",
    "absandlat": "kAbsAndLat",
}
_STORAGE = {"ssd": "SSD", "hdd": "HDD"}
_COMPRESSION = {"snappy": "Snappy"}


def grid(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of text as OpenMLDB's shell draws it; a cell may have several lines."""
    cells = [[str(cell).split("\n") for cell in row] for row in (header, *rows)]
    widths = [
        max(len(line) for row in cells for line in row[place]) for place in range(len(header))
    ]
    rule = " " + " ".join("-" * (width + 2) for width in widths) + " "
    drawn = [_lines(row, widths) for row in cells]
    lines = [rule, *drawn[0], rule]
    if rows:
        lines += [*(line for row in drawn[1:] for line in row), rule]
    return "\n".join(lines) + "\n"


def _lines(row: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    height = max(len(cell) for cell in row)
    lines = []
    for at in range(height):
        parts = [
            f" {cell[at] if at < len(cell) else ''} ".ljust(width + 2)
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append(" " + " ".join(parts) + " ")
    return lines


def minutes(milliseconds: int) -> str:
    """A ttl as the shell writes it."""
    return f"{milliseconds // 60_000}min"


def ttl_text(index: IndexDef) -> str:
    """An index's ttl: ``0min``, ``10``, ``10min&&5`` or ``10min||5``."""
    if index.ttl_type == "absolute":
        return minutes(index.ttl_ms_abs)
    if index.ttl_type == "latest":
        return str(index.ttl_lat)
    between = "||" if index.ttl_type == "absorlat" else "&&"
    return f"{minutes(index.ttl_ms_abs)}{between}{index.ttl_lat}"


def ttl_title(index: IndexDef) -> str:
    """The name of a kind of ttl in descriptions."""
    return _TTL_TITLES[index.ttl_type]


def describe(table: Table, unseen: Collection[str] = ()) -> list[str]:
    """The answer to DESC: columns, indexes, offline data, options, each a table of text."""
    columns = [
        (
            number,
            column.name,
            TITLES[column.type],
            "NO" if column.not_null else "YES",
            "" if column.default is None else default_text(column),
        )
        for number, column in enumerate(table.schema.columns, 1)
    ]
    seen = [index for index in table.schema.indexes if index.name not in unseen]
    indexes = [
        (
            number,
            index.name,
            "|".join(index.keys),
            index.ts or "-",
            ttl_text(index),
            ttl_title(index),
        )
        for number, index in enumerate(seen, 1)
    ]
    text = [grid(("#", "Field", "Type", "Null", "Default"), columns)]
    text.append(grid(("#", "name", "keys", "ts", "ttl", "ttl_type"), indexes))
    if table.parts:
        offline = [
            (part.path, part.options.get("format", "parquet"), "false" if part.link else "true")
            for part in table.parts
        ]
        text.append(grid(("Data path", "Format", "Deep copy"), offline) + "\n")
    storage, compression = kinds_of_storage(table)
    options = grid(("compress_type", "storage_mode"), [(compression, storage)])
    return [*text, options + "\n"]


def kinds_of_storage(table: Table) -> tuple[str, str]:
    """Storage and compression as the table's options say, and as OpenMLDB spells them."""
    storage = str(table.options.get("storage_mode", "")).lower()
    compression = str(table.options.get("compress_type", "")).lower()
    return _STORAGE.get(storage, "Memory"), _COMPRESSION.get(compression, "NoCompress")


def show_create(table: Table, unseen: Collection[str] = ()) -> str:
    """The statement that would create the table."""
    parts = [_column(column) for column in table.schema.columns]
    parts += [_index(index) for index in table.schema.indexes if index.name not in unseen]
    storage, compression = kinds_of_storage(table)
    return (
        f"CREATE TABLE `{table.name}` (\n"
        + ",\n".join(parts)
        + f"\n) OPTIONS (PARTITIONNUM={partitions(table)}, "
        f"REPLICANUM={table.options.get('replicanum', 1)}, STORAGE_MODE='{storage}', "
        f"COMPRESS_TYPE='{compression}');"
    )


def partitions(table: Table) -> int:
    """The partitions that the table would have on a cluster."""
    return int(str(table.options.get("partitionnum", PARTITIONS)))


def default_text(column: ColumnDef) -> str:
    """A default as the name server keeps it: a text."""
    value = column.default
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dt.date):
        return str((value.year - 1900) << 16 | (value.month - 1) << 8 | value.day)
    return f"{value:f}" if isinstance(value, float) else str(value)


def _column(column: ColumnDef) -> str:
    text = f"`{column.name}` {SPELLED[column.type]}"
    if column.not_null:
        text += " NOT NULL"
    if column.default is not None:
        text += f" DEFAULT '{default_text(column)}'"
    return text


def _index(index: IndexDef) -> str:
    keys = ",".join(f"`{key}`" for key in index.keys)
    text = f"INDEX (KEY=({keys})" if len(index.keys) > 1 else f"INDEX (KEY={keys}"
    if index.ts:
        text += f", TS=`{index.ts}`"
    span = f"{index.ttl_ms_abs // 60_000}m"
    ttl = {
        "absolute": span,
        "latest": str(index.ttl_lat),
    }.get(index.ttl_type, f"({span}, {index.ttl_lat})")
    return f"{text}, TTL_TYPE={index.ttl_type.upper()}, TTL={ttl})"


def procedure(deployment: Deployment, inputs: Sequence[tuple[str, SqlType]]) -> str:
    """A deployment as the procedure that it is on a cluster."""
    columns = ", ".join(f"`{name}` {SPELLED[kind]}" for name, kind in inputs)
    return f"CREATE PROCEDURE {deployment.name} ({columns}) BEGIN {pretty(deployment.sql)}\n; END;"


def show_deployment(
    deployment: Deployment,
    inputs: Sequence[tuple[str, SqlType]],
    outputs: Sequence[tuple[str, SqlType]],
) -> str:
    """The answer to SHOW DEPLOYMENT."""
    options = ""
    if deployment.options:
        told = (f'{name.upper()}="{value}"' for name, value in deployment.options.items())
        options = f" OPTIONS({', '.join(told)})"
    sql = f"DEPLOY {deployment.name}{options} {pretty(deployment.sql)}\n;"
    text = grid(("DB", "Deployment"), [(deployment.db, deployment.name)]) + "1 row in set\n"
    text += grid(("SQL",), [(sql,)]) + "1 row in set\n"
    for title, fields in (("Input", inputs), ("Output", outputs)):
        rows = [
            (number, name, "Varchar" if kind is SqlType.STRING else kind.wire_name, "NO")
            for number, (name, kind) in enumerate(fields, 1)
        ]
        text += f"# {title} Schema\n" + grid(("#", "Field", "Type", "IsConstant"), rows) + "\n"
    return text
