"""The JD tutorial as the tests use it: its tables, its SQL and its figures, read from the seeds."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import NotFound
from openmldb_sql.types import Schema, SqlType, schema_of


def seed(shared: Path, number: str) -> str:
    (path,) = (shared / "seeds").glob(f"{number}_*.txt")
    return path.read_text()


def schemas(shared: Path) -> dict[str, Schema]:
    """The tables as seed 000 creates them."""
    found = re.findall(r"> CREATE TABLE (\w+)\((.*?)\);", seed(shared, "000"))
    return {
        name: schema_of(
            (c.split()[0], SqlType.from_sql_name(c.split()[1])) for c in columns.split(",")
        )
        for name, columns in found
    }


def feature_sql(shared: Path) -> str:
    """The feature SELECT of seed 000 for OpenMLDB 0.9.2, without INTO OUTFILE.

    The tutorial's fz_ functions have lost that prefix since.
    """
    text = seed(shared, "000")
    start = text.index("> select * from\n") + 2
    return text[start : text.index("INTO OUTFILE", start)].replace("fz_", "")


def tables(shared: Path) -> dict[str, Batch]:
    """The tutorial's data."""
    folders = {"flattenRequest": "flattenRequest_clean"}
    return {
        name: Batch.from_arrow(
            pq.read_table(shared / "data" / "jd" / folders.get(name, name)), schema.fields
        )
        for name, schema in schemas(shared).items()
    }


def table_sizes(shared: Path) -> list[int]:
    """The tutorial's ``table size array``: distinct values of I1..I13, then of C1..C28."""
    (line,) = re.findall(r"table size array:\n (.*)", seed(shared, "000"))
    return [int(x) for x in line.split(",")]


class Catalog:
    """Schemas by table name, in any database."""

    def __init__(self, known: dict[str, Schema]) -> None:
        self.known = known

    def table_schema(self, db: str, name: str) -> Schema:
        if name not in self.known:
            raise NotFound(f"table {db}.{name} not found")
        return self.known[name]
