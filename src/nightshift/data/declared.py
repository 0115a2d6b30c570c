"""The source tables as their files must be: columns by name, order and type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openmldb_sql import statements
from openmldb_sql.errors import SqlError
from openmldb_sql.types import IndexDef, SqlType

from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError
from nightshift.features.tables import SourceTables
from nightshift.zones import Zone

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Declared:
    """One source table.

    Attributes:
        name: the table.
        columns: SQL type by column, in the table's order.
        required: columns that are NOT NULL.
        time: the column that says which day a row belongs to; None for a snapshot.
        indexes: the table's indexes.
        request_id: the column that names a request, where this is the request table.
        zone: the time zone of its partitions' days.
        label: the column that is the label as it stands, where the table gives it.
    """

    name: str
    columns: Mapping[str, str]
    required: frozenset[str]
    time: str | None
    indexes: tuple[IndexDef, ...] = ()
    request_id: str | None = None
    zone: Zone = Zone()
    label: str | None = None

    @property
    def keeps_latest(self) -> bool:
        """Whether an index keeps the newest rows of a key only, so that young rows go, too."""
        return any(
            index.ttl_lat and index.ttl_type in ("latest", "absorlat") for index in self.indexes
        )

    @property
    def expires_ms(self) -> int | None:
        """Age in milliseconds from which on rows go by themselves; None: no age."""
        from nightshift.features.ttl import expires_ms

        return expires_ms(self.indexes)

    def arrow_schema(self) -> pa.Schema:
        """The schema of the files that are written: one that Spark takes for the table's."""
        import pyarrow as pa
        from openmldb_files.convert import stored_type

        return pa.schema([(name, stored_type(sql)) for name, sql in self.columns.items()])


def declared_tables(
    tables: SourceTables, script: str, source: str = "create_tables.sql"
) -> dict[str, Declared]:
    """Every table of a declaration with the columns that a script gives it, event tables first.

    Args:
        tables: what each table is.
        script: CREATE TABLE statements.
        source: the script's file, named in messages.

    Raises:
        ConfigurationError: the script is not OpenMLDB's, or makes other tables.
    """
    made: dict[str, statements.CreateTable] = {}
    problems: list[str] = []
    for text in _cut(script, source):
        try:
            statement = statements.parse(text)
        except SqlError as error:
            problems.append(f"{source}: {_reason(error, text, script)}")
            continue
        if isinstance(statement, statements.CreateTable):
            problems += [f"{source}: {fault}" for fault in _faults(statement, made)]
            made[statement.table.name] = statement
        elif not isinstance(statement, statements.CreateIndex):
            problems.append(
                f"{source}: {' '.join(text.split())[:60]!r} is not CREATE TABLE; each night runs "
                "this script, which makes tables and nothing else"
            )
    problems += [
        f"{source}: an index of {name} names {column}, which is not a column"
        f"{nearest(column, one.schema.names)}"
        for name, one in made.items()
        for index in one.schema.indexes
        for column in (*index.keys, *([index.ts] if index.ts else []))
        if column not in one.schema.names
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    tables.check_created({name: one.schema.names for name, one in made.items()}, source)
    return {
        name: Declared(
            name,
            {column.name: column.type.value for column in made[name].schema.columns},
            frozenset(column.name for column in made[name].schema.columns if column.not_null),
            tables.events.get(name),
            made[name].schema.indexes,
            tables.request_id if name == tables.request_table else None,
            tables.zone,
        )
        for name in tables.names
    }


def _faults(statement: statements.CreateTable, before: Mapping[str, object]) -> Iterator[str]:
    """What OpenMLDB refuses of a CREATE TABLE that can be parsed, or takes for something else."""
    name = statement.table.name
    if name in before:
        yield f"creates table {name} twice, and OpenMLDB passes over the second; remove one"
    if statement.table.db is not None:
        yield (
            f"creates {name} in the database {statement.table.db}, and each pipeline has a database "
            f"of its own; write {name} alone"
        )
    names = statement.schema.names
    for column in sorted({column for column in names if names.count(column) > 1}):
        yield f"table {name} has the column {column} twice; remove one"
    for one in statement.schema.columns:
        if one.default is not None and not _may_be(one.default, one.type):
            yield (
                f"table {name} gives {one.name}, a {one.type.value}, the default {one.default!r}; "
                "give one of its type"
            )
    seen = set()
    for index in statement.schema.indexes:
        place = (index.keys, index.ts)
        if place in seen:
            yield f"table {name} has two indexes by {', '.join(index.keys)}; remove one"
        seen.add(place)
    for option in ("partitionnum", "replicanum"):
        value = statement.options.get(option, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"table {name} has {option}={value}; give 1 or more"


def _may_be(default: object, kind: SqlType) -> bool:
    """Whether a constant may be a column's default."""
    if isinstance(default, str):
        return kind in (SqlType.STRING, SqlType.DATE, SqlType.TIMESTAMP)
    if isinstance(default, bool):
        return kind is SqlType.BOOL
    if isinstance(default, float):
        return kind.is_floating
    return kind not in (SqlType.STRING, SqlType.DATE)


def _reason(error: SqlError, statement: str, script: str) -> str:
    """Why a statement is refused; a place in it is told as the script's line."""
    reason = str(getattr(error, "reason", error))
    match = re.search(r" \[at (\d+):\d+\]", reason)
    begin = script.find(statement)
    if match is None or begin < 0:
        return reason
    line = script.count("\n", 0, begin) + int(match[1])
    return f"line {line}: {reason[: match.start()]}{reason[match.end() :]}"


def _cut(script: str, source: str) -> list[str]:
    try:
        return list(statements.split(script))
    except SqlError as error:
        raise ConfigurationError(f"{source}: {getattr(error, 'reason', error)}") from error
