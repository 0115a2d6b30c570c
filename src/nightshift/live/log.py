"""The request log: what it holds, where it lies, and how it is read.

One row is one scored row of one answer. The predict server's workers append to spool files, which
`nightshift.live.compact` turns into parquet files of one hour each:

    <home>/live/<pipeline>/requests/hour=2026-11-26T04/<part>.parquet    (hours of UTC)
    <home>/live/<pipeline>/requests/spool/<writer>-<number>.{open,done}

`RequestLog` reads both, so a request can be read as soon as a worker has written it. Columns are
those of `FIXED`, then `request.<column>` for each column of the request table and
`feature.<column>` for each column of the feature query, by the SQL types in `arrow_type`. Fields
that the pipeline hashes are text that begins with `HASHED`; fields that it omits have no column.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift.errors import ConfigurationError, ContractError, DataError
from nightshift.live import spool
from nightshift.live.folders import live_folder
from nightshift.live.hiding import HASHED
from nightshift.pipeline import Pipeline

__all__ = ["FIXED", "HASHED", "RequestLog", "arrow_type"]

REQUEST, FEATURE = "request.", "feature."
"""Prefixes of the columns that depend on the pipeline."""

ANSWERED = ("live", "canary")
"""Roles of what was answered: by the live release, or by one that has a share of the users."""

FIXED = pa.schema(
    [
        pa.field("receipt", pa.string()),  # of the answer; <hour>-<writer>-<number>
        pa.field("row", pa.int32()),  # place in the request, from 0; with `receipt` unique
        pa.field("at", pa.timestamp("us", "UTC")),  # when it was scored, the server's clock
        pa.field("began", pa.timestamp("us", "UTC")),  # before its features were asked for
        pa.field("operation", pa.string()),  # predict | rank | recommend
        # live or canary: answered; shadow: not; error: no answer; probe: asked by nobody
        pa.field("role", pa.string()),
        pa.field("release", pa.string()),
        pa.field("deployment", pa.string()),
        pa.field("model", pa.string()),
        pa.field("model_version", pa.int64()),
        pa.field("request_id", pa.string()),  # the request's key column as text
        pa.field("place", pa.int32()),  # rank: 1 is best; null where it was not returned
        pa.field("score", pa.float32()),  # as answered, bit for bit
        pa.field("request_hash", pa.string()),  # 16 hex digits, of all rows of the answer
        pa.field("feature_hash", pa.string()),
        pa.field("watermark", pa.string()),  # JSON: newest streamed event by table, ms
        pa.field("of", pa.string()),  # shadow: the receipt of the answer; `row` is the same
    ]
)
"""The columns that every pipeline's log has."""

SOURCES = b"nightshift.sources"
"""Metadata of a merged file: names of the files whose rows it holds."""

_TYPES = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float64(),  # as the API server wrote it
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.string(),
    "timestamp": pa.int64(),  # milliseconds
}


def arrow_type(sql: str) -> pa.DataType:
    """The type that a column of an SQL type has in the log: values as the API server gives them."""
    return _TYPES.get(sql, pa.string())


class RequestLog:
    """A pipeline's request log.

    Args:
        folder: `<home>/live/<pipeline>/requests`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, pipeline: Pipeline) -> RequestLog:
        """The log of a pipeline."""
        return cls(live_folder(pipeline.settings, pipeline.name) / "requests")

    def hours(self) -> list[dt.datetime]:
        """The hours of which there are parquet files, oldest first."""
        return sorted(_hour_of(path) for path in self.folder.glob("hour=*") if path.is_dir())

    def parts(self, hour: dt.datetime) -> list[Path]:
        """The parquet files of an hour, without those that a merged one holds already."""
        found = sorted((self.folder / _name(hour)).glob("[!.]*.parquet"))
        if len(found) < 2:
            return found
        held: set[str] = set()
        for path in found:
            if path.name.startswith("merged-"):
                held |= sources(path)
        return [path for path in found if path.name not in held]

    def bytes_on_disk(self) -> int:
        """Of all files, spools included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def batches(
        self,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> Iterator[pa.Table]:
        """Rows with `since <= at < until`, hour by hour; each table is in the order of `at`.

        Args:
            since: with a zone; None: from the first.
            until: with a zone; None: to the last.
            columns: only these, in this order; a column that no part of the hour has is null.
            where: a condition on columns that all parts have (those of `FIXED`).

        Raises:
            DataError: a file cannot be read.
        """
        spooled = self._spooled()
        for hour in sorted({*self.hours(), *spooled}):
            if until is not None and hour >= until:
                continue
            if since is not None and hour + dt.timedelta(hours=1) <= since:
                continue
            done = {path.stem for path in self.parts(hour)} | self._merged(hour)
            tables = [_read(path) for path in self.parts(hour)]
            # A spool that was compacted meanwhile has its part under its own name.
            tables += [made for name, made in spooled.get(hour, ()) if name not in done]
            if not tables:
                continue
            table = _within(unite(tables), since, until)
            if where is not None:
                table = table.filter(where)
            if table.num_rows:
                table = table.sort_by(
                    [("at", "ascending"), ("receipt", "ascending"), ("row", "ascending")]
                )
                yield table if columns is None else _pick(table, columns)

    def read(
        self,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """`batches` in one table; no row gives an empty table with the columns of `FIXED`.

        Raises:
            DataError: a file cannot be read.
        """
        tables = list(self.batches(since, until, columns=columns, where=where))
        if not tables and columns is not None:
            return _pick(FIXED.empty_table(), columns)
        return unite(tables)

    def find(self, receipt: str) -> pa.Table:
        """The rows of one answer, in their order; empty where it is not in the log.

        Raises:
            ConfigurationError: the text is not a receipt.
            DataError: a file cannot be read.
        """
        hour = hour_of_receipt(receipt)
        # Its hour is that of its number's making, which is at most the answer's time later.
        table = self.read(hour, hour + dt.timedelta(hours=2), where=pc.field("receipt") == receipt)
        return table.sort_by("row")

    def _merged(self, hour: dt.datetime) -> set[str]:
        held: set[str] = set()
        for path in (self.folder / _name(hour)).glob("merged-*.parquet"):
            held |= {Path(name).stem for name in sources(path)}
        return held

    def _spooled(self) -> dict[dt.datetime, list[tuple[str, pa.Table]]]:
        """Rows that are not compacted yet, by hour: (spool's name, its rows)."""
        found: dict[dt.datetime, list[tuple[str, pa.Table]]] = {}
        for path in spool.paths(self.folder / "spool"):
            for hour, table in tables_of(path).items():
                found.setdefault(hour, []).append((path.stem, table))
        return found


def sources(path: Path) -> set[str]:
    """Names of the files whose rows a merged file holds."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return set()
    return set(json.loads(metadata.get(SOURCES, b"[]")))


def hour_of_receipt(receipt: str) -> dt.datetime:
    """The hour in which a receipt was made.

    Raises:
        ConfigurationError: the text is not a receipt.
    """
    try:
        made = dt.datetime.strptime(receipt.split("-")[0], "%Y%m%dT%H")
    except ValueError:
        raise ConfigurationError(
            f"{receipt[:60]!r} is not a receipt; it looks like 20261126T04-5f3a9c01b2d4-7"
        ) from None
    return made.replace(tzinfo=dt.timezone.utc)


def tables_of(path: Path) -> dict[dt.datetime, pa.Table]:
    """The rows of a spool file by hour; a frame that was cut off by a kill is left out."""
    by_hour: dict[dt.datetime, dict[int, list[spool.Answer]]] = {}
    contexts: dict[int, spool.Context] = {}
    for frame in spool.frames(path):
        if isinstance(frame, spool.Context):
            contexts[frame.number] = frame
        elif frame.context in contexts:
            hour = dt.datetime.fromtimestamp(frame.at_us // 3_600_000_000 * 3600, dt.timezone.utc)
            by_hour.setdefault(hour, {}).setdefault(frame.context, []).append(frame)
    return {
        hour: unite([_table(contexts[n], answers) for n, answers in groups.items()])
        for hour, groups in by_hour.items()
    }


def _table(context: spool.Context, answers: Sequence[spool.Answer]) -> pa.Table:
    fixed: dict[str, list[Any]] = {name: [] for name in FIXED.names}
    requests: list[Sequence[Any]] = []
    features: list[Sequence[Any]] = []
    for answer in answers:
        count = len(answer.rows)
        requests += answer.rows
        features += answer.features
        places: list[int | None] = [None] * count
        for place, row in enumerate(answer.order or (), start=1):
            places[row] = place
        fixed["receipt"] += [answer.receipt] * count
        fixed["row"] += range(count)
        fixed["at"] += [answer.at_us] * count
        fixed["began"] += [answer.began_us] * count
        fixed["operation"] += [answer.operation] * count
        fixed["role"] += [answer.role] * count
        fixed["place"] += places
        fixed["score"] += answer.scores_as_floats()
        fixed["request_hash"] += [answer.request_hash] * count
        fixed["feature_hash"] += [answer.feature_hash] * count
        fixed["watermark"] += [answer.watermark] * count
        fixed["of"] += [answer.of] * count
    rows = len(requests)
    for name in ("release", "deployment", "model", "model_version"):
        fixed[name] = [getattr(context, name)] * rows
    key = context.key
    ids = [None] * rows if key is None else [row[key] for row in features]
    fixed["request_id"] = [None if value is None else str(value) for value in ids]
    arrays = [_array(fixed[field.name], field.type) for field in FIXED]
    names = list(FIXED.names)
    for prefix, schema, values in (
        (REQUEST, context.request, requests),
        (FEATURE, context.features, features),
    ):
        for at, (name, sql) in enumerate(schema):
            if name in context.omitted:
                continue
            kind = pa.string() if name in context.hashed else arrow_type(sql)
            arrays.append(_array([row[at] for row in values], kind))
            names.append(prefix + name)
    return pa.table(arrays, names=names)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_one(value, kind) for value in values], kind)


def _one(value: Any, kind: pa.DataType) -> Any:
    """A value of another type than its column's, as near as can be."""
    if pa.types.is_string(kind):
        return value if value is None or isinstance(value, str) else json.dumps(value)
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowException, OverflowError, TypeError):
        return None


def unite(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of parts with perhaps other columns in one: what one lacks is null there.

    A column that is of two types, since a setting or a query changed, becomes text.
    """
    if not tables:
        return FIXED.empty_table()
    kinds: dict[str, pa.DataType] = {field.name: field.type for field in FIXED}
    for table in tables:
        for field in table.schema:
            known = kinds.setdefault(field.name, field.type)
            if known != field.type:
                kinds[field.name] = pa.string()
    present = {name for table in tables for name in table.column_names}
    schema = pa.schema([(name, kind) for name, kind in kinds.items() if name in present])
    made = []
    for table in tables:
        columns = [
            table[item.name].cast(item.type)
            if item.name in table.column_names
            else pa.nulls(len(table), item.type)
            for item in schema
        ]
        made.append(pa.table(columns, schema=schema))
    return pa.concat_tables(made)


def _within(table: pa.Table, since: dt.datetime | None, until: dt.datetime | None) -> pa.Table:
    kind = FIXED.field("at").type
    if since is not None:
        table = table.filter(pc.field("at") >= pa.scalar(since, kind))
    if until is not None:
        table = table.filter(pc.field("at") < pa.scalar(until, kind))
    return table


def _pick(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    kinds: Mapping[str, pa.DataType] = {field.name: field.type for field in FIXED}
    return pa.table(
        {
            name: table[name]
            if name in table.column_names
            else pa.nulls(len(table), kinds.get(name, pa.null()))
            for name in columns
        }
    )


def _read(path: Path) -> pa.Table:
    try:
        # Not by its folder: `hour=` is not a column.
        with pq.ParquetFile(path) as file:
            return file.read().replace_schema_metadata(None)
    except FileNotFoundError:
        return FIXED.empty_table()  # merged, or gone with its hour, at this moment
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: {error}; remove it if its rows may be missed") from error


def _name(hour: dt.datetime) -> str:
    return f"hour={hour:%Y-%m-%dT%H}"


def _hour_of(path: Path) -> dt.datetime:
    try:
        made = dt.datetime.strptime(path.name, "hour=%Y-%m-%dT%H")
    except ValueError:
        raise ContractError(f"{path} is not an hour of a request log; move it away") from None
    return made.replace(tzinfo=dt.timezone.utc)
