"""One answer of the log, with all that can be said of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError, DataError, NightshiftError
from nightshift.features import lineage
from nightshift.features.encoding import encode_rows, shown
from nightshift.features.reach import Window
from nightshift.features.specification import FeatureSpec
from nightshift.live.events import arrivals, literal
from nightshift.live.folders import live_folder
from nightshift.live.hiding import HASHED
from nightshift.live.log import FEATURE, REQUEST, RequestLog
from nightshift.openmldb import AbstractClient, quote_name
from nightshift.openmldb.rows import digest, fitted
from nightshift.pipeline import Pipeline

if TYPE_CHECKING:
    from nightshift.data.declared import Declared

MOST_ROWS = 200
"""Rows shown of one window."""


def explain(
    pipeline: Pipeline, receipt: str, client: AbstractClient | None = None
) -> dict[str, Any]:
    """What was asked and answered under a receipt.

    Args:
        pipeline: whose log.
        receipt: its id.
        client: the API server, to show the rows that each window saw; None leaves them out.

    Returns:
        The answer's names and hashes, and a row each with request, features, ids, score and
        windows. A row of a window has `arrived`, in milliseconds, where it was streamed; the others
        were loaded.

    Raises:
        DataError: the log has no such answer.
        ConfigurationError: the text is not a receipt.
    """
    table = RequestLog.of(pipeline).find(receipt)
    if not table.num_rows:
        raise DataError(
            f"the log of {pipeline.name} has no answer {receipt}: it was not sampled, was dropped, "
            "or is older than the log keeps (live.log in pipeline.yaml)"
        )
    first = table.slice(0, 1).to_pylist()[0]
    spec = _spec(pipeline, first["release"])
    windows = None
    if client is not None:
        windows = _Windows(_as_answered(pipeline, first["release"], client), client)
    rows = [_row(one, spec, windows) for one in table.to_pylist()]
    return {
        "pipeline": pipeline.name,
        **{
            name: first[name]
            for name in (
                *("receipt", "operation", "role", "release", "deployment", "model"),
                *("model_version", "request_hash", "feature_hash", "watermark"),
            )
        },
        "at": first["at"].isoformat(),
        "rows": rows,
    }


def _as_answered(pipeline: Pipeline, release: str, client: AbstractClient) -> Pipeline:
    """The pipeline with the query and the tables that answered; as it is where they are gone."""
    with contextlib.suppress(NightshiftError):
        answered = pipeline.of_release(release)
        if answered.database in client.databases():
            return answered
    return pipeline


def _row(one: dict[str, Any], spec: FeatureSpec | None, windows: _Windows | None) -> dict[str, Any]:
    request = _part(one, REQUEST)
    features = _part(one, FEATURE)
    made: dict[str, Any] = {
        "row": one["row"],
        "request_id": one["request_id"],
        "place": one["place"],
        "score": one["score"],
        "request": request,
        "features": features,
        "ids": _ids(spec, features),
    }
    if windows is not None:
        made["windows"] = windows.of(request, int(one["began"].timestamp() * 1000))
    return made


def _part(one: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in one.items() if name.startswith(prefix)
    }


def _spec(pipeline: Pipeline, release: str) -> FeatureSpec | None:
    """The specification kept with a release; None where it is gone."""
    try:
        return FeatureSpec.load(pipeline.store.folder(release).spec)
    except NightshiftError:
        return None


def _ids(spec: FeatureSpec | None, features: dict[str, Any]) -> dict[str, str] | None:
    """The ids that the model was given; None where a feature is not kept as it was."""
    if spec is None or not set(spec.names) <= set(features):
        return None
    if any(str(features[name]).startswith(HASHED) for name in spec.names):
        return None
    names = list(features)
    ids = encode_rows(spec, names, [list(features.values())])
    return {name: str(value) for name, value in shown(spec, np.asarray(ids)[0]).items()}


class _Windows:
    """The rows in reach of a request, as the online store holds them now."""

    def __init__(self, pipeline: Pipeline, client: AbstractClient) -> None:
        files = pipeline.features
        self._client = client
        self._database = pipeline.database
        self._folder = live_folder(pipeline.settings, pipeline.name)
        script = files.create_script()
        self._declared = declared_tables(files.tables, script, str(files.create_tables))
        try:
            self._reach = lineage.reach_of(
                files.query(),
                tables=files.tables,
                columns=lineage.columns_of(script, files.tables),
                source=str(files.sql),
            )
        except ConfigurationError as error:
            raise DataError(f"the windows of {files.sql} cannot be told: {error}") from error
        self._arrivals: dict[str, Any] = {}

    def of(self, request: dict[str, Any], began_ms: int) -> dict[str, Any]:
        """Rows by window and table; text says why where they cannot be told."""
        return {
            window.name: {
                self._reach.read(source.read).table: self._rows(
                    window, source.read, source.time, request, began_ms
                )
                for source in window.sources
            }
            for window in self._reach.windows
        }

    def _rows(
        self, window: Window, number: int, time: str, request: dict[str, Any], began_ms: int
    ) -> list[dict[str, Any]] | str:
        read = self._reach.read(number)
        moment = request.get(window.time)
        if not isinstance(moment, int):
            return f"the request's {window.time} is not kept"
        terms = []
        for name, column in read.keys:
            value = request.get(column.name) if column.read == 0 else None
            if column.read != 0 or value is None or str(value).startswith(HASHED):
                return f"the request's {column.name} is not kept, or is another table's"
            terms.append(f"{quote_name(name)} = {literal(value)}")
        at = quote_name(time)
        terms.append(f"{at} <= timestamp({moment - window.end})")
        if window.start is not None:
            terms.append(f"{at} >= timestamp({moment - window.start})")
        declared = self._declared[read.table]
        names = ", ".join(quote_name(name) for name in declared.columns)
        result = self._client.execute(
            self._database,
            f"SELECT {names} FROM {quote_name(read.table)} WHERE {' AND '.join(terms)}",
            mode="onsync",
        )
        found = [self._one(declared, row) for row in (result.rows if result is not None else [])]
        seen = [row for row in found if row.get("arrived") is None or row["arrived"] <= began_ms]
        seen.sort(key=lambda row: int(row[time] or 0), reverse=True)
        return seen[: min([*window.cuts, MOST_ROWS])]

    def _one(self, declared: Declared, row: list[Any]) -> dict[str, Any]:
        if declared.name not in self._arrivals:
            self._arrivals[declared.name] = arrivals(self._folder, declared.name)
        kept = fitted(row, declared.columns)
        came = self._arrivals[declared.name].get(digest(kept))
        made = dict(zip(declared.columns, kept, strict=True))
        return {**made, "arrived": came[0]} if came else made


def text(found: dict[str, Any]) -> str:
    """An explanation for people."""
    lines = [
        f"answer     {found['receipt']} of {found['at']} ({found['operation']}, {found['role']})",
        "release    {release}: {deployment}, {model} {model_version}".format_map(found),
        f"hashes     request {found['request_hash']}, features {found['feature_hash']}",
        f"watermark  {found['watermark']}",
    ]
    for row in found["rows"]:
        place = f", place {row['place']}" if row["place"] is not None else ""
        lines += ["", f"row {row['row']}  {row['request_id']}  score {row['score']:.9g}{place}"]
        lines.append("  request")
        lines += [f"    {name} = {value!r}" for name, value in row["request"].items()]
        lines.append("  features" + ("" if row["ids"] else " (ids cannot be told)"))
        ids = row["ids"] or {}
        for name, value in row["features"].items():
            lines.append(f"    {name} = {value!r}" + (f"  id {ids[name]}" if name in ids else ""))
        for window, tables in row.get("windows", {}).items():
            for table, rows in tables.items():
                if isinstance(rows, str):
                    lines.append(f"  {window}, {table}: {rows}")
                    continue
                lines.append(f"  {window}, {table}: {len(rows)} rows in reach")
                lines += [f"    {one}" for one in rows[:10]]
    return "\n".join(lines)
