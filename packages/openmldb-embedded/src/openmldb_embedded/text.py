"""The preformatted text that DESC, SHOW DEPLOYMENT and SHOW CREATE TABLE answer with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmldb_sql.types import ColumnDef, IndexDef, SqlType

from openmldb_embedded.catalog import Deployment, Table

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
_TTL_TITLES = {
    "absolute": "kAbsoluteTime",
    "latest": "kLatestTime",
    "absorlat": "kAbsOrLat",
    "absandlat": "kAbsAndLat",
}


def grid(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of text as OpenMLDB's shell draws it."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max([len(title), *(len(row[i]) for row in cells)]) + 2 for i, title in enumerate(header)
    ]
    rule = " " + " ".join("-" * width for width in widths) + " "
    lines = [rule, _line(header, widths), rule]
    if cells:
        lines += [*(_line(row, widths) for row in cells), rule]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return " " + " ".join(
        f" {cell}".ljust(width) for cell, width in zip(cells, widths, strict=True)
    )


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


def describe(table: Table) -> str:
    """The answer to DESC."""
    columns = [
        (
            number,
            column.name,
            TITLES[column.type],
            "NO" if column.not_null else "YES",
            "" if column.default is None else column.default,
        )
        for number, column in enumerate(table.schema.columns, 1)
    ]
    indexes = [
        (
            number,
            index.name,
            "|".join(index.keys),
            index.ts or "-",
            ttl_text(index),
            ttl_title(index),
        )
        for number, index in enumerate(table.schema.indexes, 1)
    ]
    text = grid(("#", "Field", "Type", "Null", "Default"), columns)
    text += grid(("#", "name", "keys", "ts", "ttl", "ttl_type"), indexes)
    if table.parts:
        offline = [
            (part.path, part.options.get("format", "parquet"), "false" if part.link else "true")
            for part in table.parts
        ]
        text += grid(("Data path", "Format", "Deep copy"), offline)
    compression = str(table.options.get("compress_type", "NoCompress"))
    storage = str(table.options.get("storage_mode", "Memory"))
    return text + grid(("compress_type", "storage_mode"), [(compression, storage)])


def show_create(table: Table) -> str:
    """The statement that would create the table."""
    parts = [_column(column) for column in table.schema.columns]
    parts += [_index(index) for index in table.schema.indexes]
    storage = str(table.options.get("storage_mode", "Memory"))
    return (
        f"CREATE TABLE `{table.name}` (\n"
        + ",\n".join(parts)
        + f"\n) OPTIONS (PARTITIONNUM={table.options.get('partitionnum', 1)}, "
        f"REPLICANUM={table.options.get('replicanum', 1)}, STORAGE_MODE='{storage}', "
        f"COMPRESS_TYPE='NoCompress');"
    )


def _column(column: ColumnDef) -> str:
    text = f"`{column.name}` {TITLES[column.type]}"
    if column.not_null:
        text += " NOT NULL"
    if column.default is not None:
        quoted = isinstance(column.default, str) or column.type is SqlType.DATE
        text += f" DEFAULT '{column.default}'" if quoted else f" DEFAULT {column.default}"
    return text


def _index(index: IndexDef) -> str:
    keys = ", ".join(f"`{key}`" for key in index.keys)
    text = f"INDEX (KEY=({keys})" if len(index.keys) > 1 else f"INDEX (KEY={keys}"
    if index.ts:
        text += f", TS=`{index.ts}`"
    span = f"{index.ttl_ms_abs // 60_000}m"
    ttl = {
        "absolute": span,
        "latest": str(index.ttl_lat),
    }.get(index.ttl_type, f"({span}, {index.ttl_lat})")
    return f"{text}, TTL_TYPE={index.ttl_type.upper()}, TTL={ttl})"


def show_deployment(
    deployment: Deployment,
    inputs: Sequence[tuple[str, SqlType]],
    outputs: Sequence[tuple[str, SqlType]],
) -> str:
    """The answer to SHOW DEPLOYMENT."""
    sql = f"DEPLOY {deployment.name} {deployment.sql}"
    lines = sql.split("\n")
    width = max(len(line) for line in lines) + 2
    text = grid(("DB", "Deployment"), [(deployment.db, deployment.name)]) + "1 row in set\n"
    rule = " " + "-" * width + " \n"
    text += rule + "  SQL\n" + rule + "".join(f"  {line}\n" for line in lines) + rule
    text += "1 row in set\n"
    for title, fields in (("Input", inputs), ("Output", outputs)):
        rows = [(i, name, TITLES[kind], "NO") for i, (name, kind) in enumerate(fields, 1)]
        text += f"# {title} Schema\n" + grid(("#", "Field", "Type", "IsConstant"), rows)
    return text
