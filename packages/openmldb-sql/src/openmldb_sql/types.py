"""SQL types, columns, indexes and schemas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from openmldb_sql.errors import NameResolutionError, TypeCheckError


class SqlType(Enum):
    """OpenMLDB's scalar types; NULL is the type of an untyped null literal.

    A value in Python: BOOL bool; INT16, INT32, INT64 int; FLOAT (32 bit) and DOUBLE float; STRING
    str; DATE datetime.date; TIMESTAMP int, milliseconds since the epoch.
    """

    BOOL = "bool"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"
    NULL = "null"
    LIST = "list<string>"  # what split() gives: only an argument, never a column
    ARRAY = "array"  # these three likewise: [a, b], map(k, v) and discrete(x)
    MAP = "map"
    FEATURE = "feature"

    @property
    def lower_name(self) -> str:
        """The name in deployment replies and table descriptions: ``int32``."""
        return "bool" if self is SqlType.NULL else self.value

    @property
    def wire_name(self) -> str:
        """The name in query replies: ``Int32``; an untyped null is a ``Bool``, as it is there."""
        return self.lower_name.capitalize()

    @property
    def is_integer(self) -> bool:
        """Whether this is INT16, INT32 or INT64."""
        return self in INTEGERS

    @property
    def is_floating(self) -> bool:
        """Whether this is FLOAT or DOUBLE."""
        return self in FLOATS

    @property
    def is_numeric(self) -> bool:
        """Whether this is an integer or floating type (BOOL is not)."""
        return self in INTEGERS or self in FLOATS

    @classmethod
    def from_sql_name(cls, name: str) -> SqlType:
        """The type of a name as written in SQL (``bigint``, ``varchar(20)``, ...).

        Raises:
            TypeCheckError: The name is not one of OpenMLDB's scalar types.
        """
        base = name.strip().lower().split("(")[0].strip()
        found = _SQL_NAMES.get(base)
        if found is None:
            raise TypeCheckError(
                f"Unknow DataType identifier: {name}; known: {', '.join(sorted(_SQL_NAMES))}"
            )
        return found


INTEGERS = (SqlType.INT16, SqlType.INT32, SqlType.INT64)
FLOATS = (SqlType.FLOAT, SqlType.DOUBLE)

_SQL_NAMES: dict[str, SqlType] = {
    "bool": SqlType.BOOL,
    "smallint": SqlType.INT16,
    "int16": SqlType.INT16,
    "i16": SqlType.INT16,
    "int": SqlType.INT32,
    "integer": SqlType.INT32,
    "int32": SqlType.INT32,
    "i32": SqlType.INT32,
    "bigint": SqlType.INT64,
    "int64": SqlType.INT64,
    "i64": SqlType.INT64,
    "float": SqlType.FLOAT,
    "float32": SqlType.FLOAT,
    "double": SqlType.DOUBLE,
    "float64": SqlType.DOUBLE,
    "string": SqlType.STRING,
    "varchar": SqlType.STRING,
    "date": SqlType.DATE,
    "timestamp": SqlType.TIMESTAMP,
}
"""OpenMLDB's own names (``hybridse/src/node/sql_node.cc``), and no others."""


@dataclass(frozen=True)
class ColumnDef:
    """A table's column.

    Attributes:
        default: The value an INSERT without this column stores (already of ``type``), or None.
    """

    name: str
    type: SqlType
    not_null: bool = False
    default: Any = None


@dataclass(frozen=True)
class IndexDef:
    """An index: rows found by ``keys``, each key's rows in the order of ``ts``.

    Attributes:
        ts: The ordering column (TIMESTAMP or BIGINT), None for insertion order.
        ttl_type: ``absolute``, ``latest``, ``absorlat`` or ``absandlat``.
        ttl_ms_abs: Age limit in milliseconds, 0 for none.
        ttl_lat: Rows kept for each key, 0 for none.
    """

    keys: tuple[str, ...]
    ts: str | None = None
    ttl_type: str = "absolute"
    ttl_ms_abs: int = 0
    ttl_lat: int = 0
    name: str = ""

    @property
    def expires(self) -> bool:
        """Whether the index ever drops rows."""
        return self.ttl_ms_abs > 0 or self.ttl_lat > 0


@dataclass(frozen=True)
class Schema:
    """A table's columns and indexes."""

    columns: tuple[ColumnDef, ...]
    indexes: tuple[IndexDef, ...] = ()

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return [c.name for c in self.columns]

    @property
    def fields(self) -> list[tuple[str, SqlType]]:
        """(name, type) of each column in order."""
        return [(c.name, c.type) for c in self.columns]

    def position(self, name: str) -> int:
        """The place of a column by exact name.

        Raises:
            NameResolutionError: There is no such column.
        """
        for i, column in enumerate(self.columns):
            if column.name == name:
                return i
        raise NameResolutionError(f"column {name!r} not found among {', '.join(self.names)}")


def schema_of(fields: Iterable[tuple[str, SqlType]], indexes: Iterable[IndexDef] = ()) -> Schema:
    """A schema from (name, type) pairs."""
    return Schema(tuple(ColumnDef(n, t) for n, t in fields), tuple(indexes))
