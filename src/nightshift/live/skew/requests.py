"""Logged requests of a range of days, in parts that fit into memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.data.declared import declared_tables
from nightshift.errors import DataError
from nightshift.live.hiding import HASHED
from nightshift.live.log import ANSWERED, FEATURE, REQUEST, RequestLog, unite
from nightshift.live.skew.causes import Longs
from nightshift.pipeline import Pipeline

PART = 100_000
"""Requests that are replayed together, about."""


class NoRequests(DataError):
    """The log has no request of the days."""


@dataclass(frozen=True)
class Requests:
    """Logged requests of one release, in the order of their own times.

    Attributes:
        log: their rows in the log.
        columns: of the request table.
        features: names of the features that were logged.
        times: int64 [n], their own times, milliseconds.
        began: int64 [n], when their features were asked for.
    """

    release: str
    model: str
    version: int
    log: pa.Table
    columns: list[str]
    features: list[str]
    times: Longs
    began: Longs

    @classmethod
    def of(cls, log: pa.Table, columns: list[str], time: str) -> Requests:
        """The rows of one release, in the order of their times."""
        return cls(
            str(log["release"][0].as_py()), log["model"][0].as_py(),
            log["model_version"][0].as_py(), log, columns,
            [n.removeprefix(FEATURE) for n in log.column_names if n.startswith(FEATURE)],
            log[REQUEST + time].to_numpy().astype(np.int64),
            log["began"].cast(pa.int64()).to_numpy() // 1000,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.times)

    @property
    def ids(self) -> list[str]:
        """Request ids."""
        return [str(one) for one in self.log["request_id"].to_pylist()]

    @property
    def rows(self) -> list[list[Any]]:
        """Request rows in the request table's order, as the API server takes them."""
        return _lists(self.log, [REQUEST + name for name in self.columns])

    def served(self, names: Sequence[str]) -> list[list[Any]]:
        """What was served of some features; one that was not logged is NULL."""
        return _lists(self.log, [FEATURE + name for name in names])

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Float64 [n]."""
        return np.asarray(self.log["score"].to_numpy(), dtype=np.float64)

    def parts(self, by: Sequence[str], size: int = PART) -> Iterator[Requests]:
        """About so many requests each; those of one key are in one part.

        Args:
            by: columns of the request table.
            size: requests of a part.
        """
        count = -(-len(self) // size)
        if count < 2 or not by:
            yield self
            return
        codes = np.zeros(len(self), dtype=np.int64)
        for name in by:
            coded = self.log[REQUEST + name].combine_chunks().dictionary_encode()
            codes = codes * 1_000_003 + coded.indices.fill_null(-1).to_numpy().astype(np.int64)
        for number in range(count):
            chosen = np.flatnonzero(codes % count == number)
            if len(chosen):
                log = self.log.take(pa.array(chosen))
                yield Requests(
                    self.release, self.model, self.version, log, self.columns, self.features,
                    self.times[chosen], self.began[chosen],
                )  # fmt: skip


def _lists(table: pa.Table, names: Sequence[str]) -> list[list[Any]]:
    empty = [None] * len(table)
    columns = [table[n].to_pylist() if n in table.column_names else empty for n in names]
    return [list(row) for row in zip(*columns, strict=True)]


def logged(
    pipeline: Pipeline, first: dt.date, last: dt.date, sample: int | None, seed: int
) -> list[Requests]:
    """The requests whose own time lies in days from `first` to `last`, by release.

    Those of a canary are among them: each release is replayed by its own query.

    Raises:
        NoRequests: there is none.
        DataError: the log hides what a replay needs.
    """
    files = pipeline.features
    columns = request_columns(pipeline)
    time = REQUEST + files.tables.request_time
    start, end = pipeline.zone.start_ms(first), pipeline.zone.end_ms(last)
    parts = []
    answered = pc.field("role").isin(ANSWERED)
    for part in RequestLog.of(pipeline).batches(where=answered):
        if time not in part.column_names:
            continue
        chosen = part.filter((pc.field(time) >= start) & (pc.field(time) < end))
        if not chosen.num_rows:
            continue
        for name in columns:
            if REQUEST + name not in chosen.column_names:
                raise DataError(
                    f"the log of {pipeline.name} has no {name} of requests, without which they "
                    "cannot be replayed; take it out of live.log.omitted, or observe later days"
                )
        parts.append(chosen)
    log = unite(parts)
    if not log.num_rows:
        raise NoRequests(f"the log of {pipeline.name} has no request from {first} to {last}")
    if sample is not None and log.num_rows > sample:
        drawn = np.random.default_rng(seed).choice(log.num_rows, sample, replace=False)
        log = log.take(pa.array(np.sort(drawn)))
    log = log.sort_by([(time, "ascending"), ("began", "ascending"), ("receipt", "ascending")])
    for name in columns:
        column = log[REQUEST + name]
        if pa.types.is_string(column.type) and pc.any(pc.starts_with(column, HASHED)).as_py():
            raise DataError(
                f"the log of {pipeline.name} hashes columns of the request "
                "(live.log.hashed), so that its requests cannot be replayed"
            )
    return [
        Requests.of(log.filter(pc.field("release") == release), columns, files.tables.request_time)
        for release in sorted({str(one) for one in pc.unique(log["release"]).to_pylist()})
    ]


def request_columns(pipeline: Pipeline) -> list[str]:
    """The columns of the request table."""
    files = pipeline.features
    declared = declared_tables(files.tables, files.create_script(), str(files.create_tables))
    return list(declared[files.tables.request_table].columns)
