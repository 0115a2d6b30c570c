"""Remove a person's rows from the request log, the partitions and the online store.

A person is a value of a column, such as `user_id`. Rows of every table that has the column go, and
of the table of labels those of the person's requests. With `follow`, columns of the person's
requests name rows of further tables (`pair_id` of a user's requests, for example).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift import files
from nightshift.data import reading
from nightshift.data.declared import Declared, declared_tables
from nightshift.errors import ConfigurationError
from nightshift.live import spool
from nightshift.live.compact import LOCK, compact, write_part
from nightshift.live.events import connected, literal
from nightshift.live.folders import hiding_key, live_folder
from nightshift.live.hiding import keyed_hash
from nightshift.live.log import FEATURE, REQUEST, RequestLog, sources
from nightshift.openmldb import AbstractClient, quote_name, reconcile
from nightshift.openmldb.rows import digest, fitted
from nightshift.pipeline import Pipeline
from nightshift.release.online import stores
from nightshift.zones import Zone

Wanted = dict[str, set[str]]
"""Values that name the person's rows, by column, as text."""

_RANGES = {"int16": 15, "int32": 31, "int64": 63}
_NAMING = ("string", *_RANGES)
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass
class Forgotten:
    """What went, and what a second look found.

    Attributes:
        removed: rows by place: `log`, `partitions.<table>`, `online.<table>`.
        left: rows that are still found there, by place; all of them 0 where all went well.
        untouched: tables without any of the columns.
    """

    removed: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return not any(self.left.values())


def forget(
    pipeline: Pipeline,
    client: AbstractClient,
    column: str,
    value: str,
    *,
    follow: Sequence[str] = (),
    dry: bool = False,
) -> Forgotten:
    """Remove the rows of a person; safe to repeat after it was cut off.

    Args:
        pipeline: whose tables and log.
        client: the API server.
        column: a column of the request table or of another table.
        value: its value, as text.
        follow: further columns of the request table, whose values in the person's requests name
            rows of other tables.
        dry: only count: `removed` says what would go, `left` is empty.

    Raises:
        ConfigurationError: no table has the column, its type names nobody, or it cannot have
            the value.
        LockHeld: the log is being written and does not come to rest.
        ServiceUnavailable, OpenMLDBError: the online store.
        ContractError: rows of the online store cannot be removed.
    """
    tables = pipeline.features.tables
    declared = declared_tables(tables, pipeline.features.create_script())
    for name in (column, *follow):
        if not any(name in table.columns for table in declared.values()):
            raise ConfigurationError(f"no table of {pipeline.name} has a column {name}")
        for table in declared.values():
            if table.columns.get(name, "string") not in _NAMING:
                raise ConfigurationError(
                    f"{table.name}.{name} is {table.columns[name]}, which names nobody: give a "
                    "column of texts or of whole numbers"
                )
    kinds = {table.columns[column] for table in declared.values() if column in table.columns}
    if all(_typed(value, kind) is None for kind in kinds):
        raise ConfigurationError(
            f"{value[:60]!r} is not a value of {column}, which is {', '.join(sorted(kinds))}: write it "
            "as the table has it, such as 42"
        )
    place = _Places(pipeline, client, declared)
    # What the person's requests say of other tables' rows, from wherever one is still found.
    person: Wanted = {column: {value}}
    request = declared[tables.request_table]
    for name in (tables.request_id, *follow):
        if column in request.columns and name in request.columns and name != column:
            found = place.values(request, person, name)
            if found:
                person[name] = found
    labels = {tables.label_table} if tables.label_table else set()
    made = Forgotten()
    for name, table in declared.items():
        wanted = {
            key: values
            for key, values in person.items()
            if key in table.columns
            and (key != tables.request_id or name in labels or name == tables.request_table
                 or key in (column, *follow))
        }  # fmt: skip
        if not wanted:
            made.untouched.append(name)
            continue
        made.removed[f"partitions.{name}"] = place.partitions(table, wanted, dry=dry)
        made.removed[f"online.{name}"] = place.online(table, wanted, dry=dry)
        if not dry:
            made.left[f"partitions.{name}"] = place.partitions(table, wanted, dry=True)
            made.left[f"online.{name}"] = place.online(table, wanted, dry=True)
    made.removed["log"] = place.log(person, tables.request_id, dry=dry)
    if not dry:
        made.left["log"] = place.log(person, tables.request_id, dry=True)
    return made


class _Places:
    def __init__(
        self, pipeline: Pipeline, client: AbstractClient, declared: Mapping[str, Declared]
    ) -> None:
        self._pipeline = pipeline
        self._client = client
        self._declared = declared
        self._live = live_folder(pipeline.settings, pipeline.name)
        self._log = RequestLog.of(pipeline)
        # A release of other tables has a database of its own.
        self._stores = [
            (one.database, declared_tables(one.features.tables, one.features.create_script()))
            for one in stores(client, pipeline)
        ]

    def values(self, table: Declared, wanted: Wanted, column: str) -> set[str]:
        """Values of a column in the person's rows of a table, in partitions, store and log."""
        found: set[str] = set()
        for path in self._files(table):
            part = _read(path)
            if column in part.column_names:
                found |= _texts(part.filter(_matches(part, wanted))[column])
        for database, there, known in self._held(table, wanted):
            if column in there.columns:
                at = list(there.columns).index(column)
                rows = self._stored(database, there, known)
                found |= {str(row[at]) for row in rows if row[at] is not None}
        for part in self._log.batches():
            mask = self._logged(part, wanted)
            if mask is not None and REQUEST + column in part.column_names:
                found |= _texts(part.filter(mask)[REQUEST + column])
        return found

    # -- partitions and snapshots

    def _files(self, table: Declared) -> list[Path]:
        return reading.parquet_files(self._pipeline.data / table.name)  # with its partitions

    def partitions(self, table: Declared, wanted: Wanted, *, dry: bool) -> int:
        """Rows of the person in the files, which are written anew without them."""
        gone = 0
        for path in self._files(table):
            part = _read(path)
            mask = _matches(part, wanted)
            count = pc.sum(mask).as_py() or 0
            gone += count
            if count and not dry:
                buffer = pa.BufferOutputStream()
                kept = part.filter(pc.invert(mask))
                pq.write_table(kept, buffer, data_page_version="1.0")
                files.write_bytes(path, buffer.getvalue().to_pybytes())
        return gone

    # -- the online store

    def _held(self, table: Declared, wanted: Wanted) -> list[tuple[str, Declared, Wanted]]:
        """Each database with the table, the table as it is there, and what of it is wanted."""
        found = []
        for database, tables in self._stores:
            there = tables.get(table.name)
            known = {c: v for c, v in wanted.items() if there is not None and c in there.columns}
            if there is not None and known:
                found.append((database, there, known))
        return found

    def _stored(self, database: str, table: Declared, wanted: Wanted) -> list[list[Any]]:
        names = ", ".join(quote_name(name) for name in table.columns)
        found: list[list[Any]] = []
        seen: set[bytes] = set()
        for column, values in wanted.items():
            for value in sorted(values):
                as_text = _typed(value, table.columns[column])
                if as_text is None:
                    continue
                result = self._client.execute(
                    database,
                    f"SELECT {names} FROM {quote_name(table.name)} "
                    f"WHERE {quote_name(column)} = {as_text}",
                    mode="onsync",
                )
                rows = result.rows if result is not None else []
                marks = [digest(fitted(row, table.columns)) for row in rows]
                found += [r for r, m in zip(rows, marks, strict=True) if m not in seen]
                seen |= set(marks)
        return found

    def online(self, table: Declared, wanted: Wanted, *, dry: bool) -> int:
        """Rows of the person in the online tables, which are deleted."""
        return sum(
            self._online(database, there, known, dry=dry)
            for database, there, known in self._held(table, wanted)
        )

    def _online(self, database: str, table: Declared, wanted: Wanted, *, dry: bool) -> int:
        found = self._stored(database, table, wanted)
        if dry or not found:
            return len(found)
        if table.time is None:
            self._delete_keys(database, table, wanted)
        else:
            self._delete_days(database, table, [fitted(row, table.columns) for row in found])
        marks = [(table.name, digest(fitted(row, table.columns))) for row in found]
        if (self._live / "events.sqlite").exists():
            with connected(self._live) as known, known:
                known.executemany("DELETE FROM event WHERE tbl = ? AND digest = ?", marks)
        return len(found)

    def _delete_keys(self, database: str, table: Declared, wanted: Wanted) -> None:
        for column, values in wanted.items():
            if not any(tuple(index.keys) == (column,) for index in table.indexes):
                continue  # the second look will say what is left
            for value in sorted(values):
                as_text = _typed(value, table.columns[column])
                if as_text is not None:
                    self._client.execute(
                        database,
                        f"DELETE FROM {quote_name(table.name)} WHERE {quote_name(column)} = {as_text}",
                        mode="onsync",
                    )

    def _delete_days(self, database: str, table: Declared, gone: Sequence[tuple[Any, ...]]) -> None:
        at = list(table.columns).index(str(table.time))
        marks = {digest(row) for row in gone}
        settle_s = self._pipeline.settings.openmldb_settle_s
        for day in sorted({layout_day(row[at], table.zone) for row in gone if row[at] is not None}):
            reconcile.rewrite(
                self._client,
                database,
                declared=table,
                day=day,
                keep=lambda row: digest(row) not in marks,
                work=self._pipeline.runs / "online",
                waiting=reconcile.Waiting(settle_s=settle_s),
            )

    # -- the log

    def _logged(self, part: pa.Table, wanted: Wanted) -> pa.ChunkedArray | None:
        """Which rows of a part are the person's; None where it has none of the columns."""
        key = hiding_key(self._live)
        mask: Any = None
        for column, values in wanted.items():
            known = values | {str(keyed_hash(value, key)) for value in values}
            for name in (REQUEST + column, FEATURE + column):
                if name in part.column_names:
                    one = _is_in(part[name], known)
                    mask = one if mask is None else pc.or_(mask, one)
        return mask

    def log(self, person: Wanted, request_id: str, *, dry: bool) -> int:
        """Rows of the person in the log, whose files are written anew without them."""
        if not self._log.folder.is_dir():
            return 0
        ids = person.get(request_id, set())
        key = hiding_key(self._live)
        ids = ids | {str(keyed_hash(one, key)) for one in ids}

        def mine(part: pa.Table) -> Any:
            mask = self._logged(part, person)
            by_id = _is_in(part["request_id"], ids)
            return by_id if mask is None else pc.or_(mask, by_id)

        if dry:
            return sum(pc.sum(mine(part)).as_py() or 0 for part in self._log.batches())
        spool.roll(self._log.folder / "spool")
        compact(self._log, None)
        gone = 0
        with files.locked(self._log.folder / LOCK, timeout_s=60.0):
            for hour in self._log.hours():
                for path in self._log.parts(hour):
                    part = _read(path)
                    mask = mine(part)
                    count = pc.sum(mask).as_py() or 0
                    gone += count
                    if count:
                        write_part(path, part.filter(pc.invert(mask)), sorted(sources(path)))
        return gone


def layout_day(moment_ms: int, zone: Zone = Zone()) -> dt.date:  # noqa: B008 (frozen)
    """The partition's day of a moment."""
    return dt.datetime.fromtimestamp(moment_ms / 1000, zone.tzinfo).date()


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def _texts(column: pa.ChunkedArray) -> set[str]:
    return {str(value) for value in column.unique().to_pylist() if value is not None}


def _is_in(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    kind = column.type
    if not pa.types.is_string(kind):
        column = column.cast(pa.string())
    return pc.is_in(column, value_set=pa.array(sorted(values), pa.string()))


def _matches(part: pa.Table, wanted: Wanted) -> pa.ChunkedArray:
    mask: Any = None
    for column, values in wanted.items():
        if column in part.column_names:
            one = _is_in(part[column], values)
            mask = one if mask is None else pc.or_(mask, one)
    return pa.chunked_array([pa.repeat(pa.scalar(False), len(part))]) if mask is None else mask


def _typed(value: str, sql: str) -> str | None:
    """A value as a literal for a column; None where the column cannot hold it."""
    if sql == "string":
        # Half a surrogate pair, as bytes that are not UTF-8 become on a command line; a table has none.
        sound = "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
        return literal(value) if sound else None
    if sql not in _RANGES or _WHOLE.fullmatch(value) is None:
        return None  # `1_0` and `010` are not how a table writes the number 10, whose rows are another person's
    return value if -(2 ** _RANGES[sql]) <= int(value) < 2 ** _RANGES[sql] else None
