"""`observe`: logged requests replayed as the store stood, and against what training sees now.

Three things are compared: what was served (the log), what a replay gives with the rows that the
store held at that moment, and what the offline query gives now. The first two must be equal. From
the second to the third the rows that were not there are added step by step (see `causes`), so that
each differing value has one cause, and each cause its price.

Requests are replayed in parts (see `requests`), and a step asks only those again that it can change.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightshift import layout
from nightshift.features.specification import FeatureSpec, sql_type
from nightshift.live.skew import causes as c
from nightshift.live.skew import replay, workers
from nightshift.live.skew.compare import same
from nightshift.live.skew.part import (
    SERVED,
    SHOWN,
    STOOD,
    TRAINING,
    Cause,
    Found,
    Release,
    Score,
    Share,
)
from nightshift.live.skew.pricing import Priced, price
from nightshift.live.skew.requests import PART, NoRequests, Requests, logged
from nightshift.live.skew.world import World
from nightshift.openmldb import AbstractClient
from nightshift.openmldb.reconcile import fingerprint
from nightshift.pipeline import Pipeline

__all__ = ["NoRequests", "Score", "ScoreOf", "observe", "same"]

ScoreOf = Callable[[str, int], "Score | None"]
"""By model and version: scores of ids, or None where the model is no longer served."""


def observe(
    pipeline: Pipeline,
    client: AbstractClient,
    first: dt.date,
    last: dt.date,
    *,
    score_of: ScoreOf = lambda model, version: None,
    sample: int | None = None,
    seed: int = 10,
    part: int = PART,
    said: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The ledger of the requests whose own time lies in days (UTC+8) from `first` to `last`.

    Args:
        pipeline: whose log, partitions and query.
        client: the API server; databases of their own are made in it and dropped.
        first: the first day.
        last: the last day.
        score_of: gives models, to price the causes.
        sample: so many requests at most, drawn at random; None for all.
        seed: of the drawing.
        part: so many requests, about, are replayed together; memory grows with it.
        said: told what is done.

    Returns:
        The report, JSON; see docs/live.md.

    Raises:
        NoRequests: the log has no such request.
        DataError: the partitions cannot be read.
        OpenMLDBError, ServiceUnavailable, JobFailed: the server.
    """
    found = logged(pipeline, first, last, sample, seed)
    asked = _Asked(pipeline, client, first, last)
    releases = [_of_release(asked, one, score_of, part, said) for one in found]
    total: Counter[str] = Counter()
    for one in releases:
        total.update({name: one[name] for name in _COUNTS})
    return {
        "pipeline": pipeline.name,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "status": "bug" if total["not_reproduced"] or total["unexplained"] else "explained",
        **{name: total[name] for name in _COUNTS},
        "releases": releases,
        "meanings": c.MEANINGS,
    }


_COUNTS = (
    "requests", "not_in_training", "compared", "rows_differing", "values_differing",
    "not_reproduced", "unexplained",
)  # fmt: skip


@dataclass
class _Asked:
    """What is asked of all releases: days, and what each query reaches and gives of them."""

    pipeline: Pipeline
    client: AbstractClient
    first: dt.date
    last: dt.date
    _worlds: dict[str, World] = field(default_factory=dict)
    _given: dict[str, pa.Table] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """A folder that OpenMLDB can read."""
        return self.pipeline.runs / "observe"

    @property
    def name(self) -> str:
        """A database for replays."""
        return f"{self.pipeline.owner}_observe"

    def world(self, sql: str) -> World:
        """What requests can see by a query."""
        if sql not in self._worlds:
            self._worlds[sql] = World.of(self.pipeline, sql, self.first, self.last)
        return self._worlds[sql]

    def training(self, sql: str) -> pa.Table:
        """What a night would extract now by a query."""
        if sql not in self._given:
            days = layout.days_back(self.last, (self.last - self.first).days + 1)
            world = self.world(sql)
            self._given[sql] = replay.training(
                self.client, world, sql, days, world.snapshots, name=self.name, work=self.work
            )
        return self._given[sql]


def _of_release(
    asked: _Asked,
    requests: Requests,
    score_of: ScoreOf,
    part: int,
    said: Callable[[str], None],
) -> dict[str, Any]:
    """What became of a release's requests, by its own query."""
    pipeline = asked.pipeline
    folder = pipeline.store.folder(requests.release)
    spec = FeatureSpec.load(folder.spec) if folder.spec.exists() else pipeline.features.spec
    features = [one for one in spec.names if one != spec.label]
    sql_types = {f.name: sql_type(f.type) for f in spec.fields}
    current = pipeline.features.query()
    sql = folder.sql.read_text(encoding="utf-8") if folder.sql.exists() else current
    try:
        said(f"{requests.release}: {len(requests)} requests; what training sees of them")
        world = asked.world(sql)
        key = next(k for k in spec.keys if k in asked.training(sql).column_names)
        truth = _plain(asked.training(sql), requests, key)
        changed = sql.split() != current.split()
        now = _now(asked.training(current), pipeline, requests) if changed else None
        score = score_of(requests.model, requests.version)
        release = Release(
            pipeline, world, sql, spec, features, [sql_types[one] for one in features],
            score is not None, changed_snapshots(world, requests), _held(world, requests),
            key, asked.name, asked.work,
        )  # fmt: skip
        pairs = world.keys.get(pipeline.features.tables.request_table, [])
        shares = (
            Share(
                one,
                _of(truth, one, key),
                None if now is None else (_of(now[0], one, now[1]), now[1]),
            )
            for one in requests.parts(pairs[0][1] if pairs else (), part)
        )
        made = workers.found_of(release, shares, asked.client, said, len(requests) > part)
        return _merged(release, requests.release, made, score)
    finally:
        replay.clear(asked.work)


def _now(given: pa.Table, pipeline: Pipeline, requests: Requests) -> tuple[pa.Table, str]:
    """What the pipeline's query gives of logged requests, and the column that names them."""
    key = next(k for k in pipeline.features.spec.keys if k in given.column_names)
    return _plain(given, requests, key), key


def _plain(truth: pa.Table, requests: Requests, key: str) -> pa.Table:
    """The rows of logged requests, with times in milliseconds and ids as text."""
    ids = truth[key].cast(pa.string())
    truth = _of(truth.set_column(truth.column_names.index(key), key, ids), requests, key)
    for at, item in enumerate(truth.schema):
        if pa.types.is_timestamp(item.type):
            millis = truth[item.name].cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
            truth = truth.set_column(at, item.name, millis)
    return truth


def _of(truth: pa.Table, requests: Requests, key: str) -> pa.Table:
    """The rows of logged requests, where ids are text."""
    asked = requests.log["request_id"].combine_chunks()
    return truth.filter(pc.is_in(truth[key], value_set=asked))


def _held(world: World, requests: Requests) -> dict[str, Sequence[Path]]:
    """Files of the snapshots that the store held, where they are still there."""
    moment = int(requests.began.max())
    found: dict[str, Sequence[Path]] = {}
    for table in world.snapshots:
        held = world.loaded.snapshot_at(table, moment)
        if held is not None:
            path = Path(held[1])
            found[table] = sorted(path.parent.glob(path.name))
    return found


def changed_snapshots(world: World, requests: Requests) -> list[str]:
    """Snapshot tables of which the store held another content than there is now."""
    changed = []
    for table, paths in world.snapshots.items():
        marks = {
            held[0] if held is not None else ""
            for moment in (int(requests.began.min()), int(requests.began.max()))
            for held in [world.loaded.snapshot_at(table, moment)]
        }
        if marks != {fingerprint(paths)} and marks != {""}:
            changed.append(table)
    return changed


def _merged(
    release: Release, name: str, parts: Sequence[Found], score: Score | None
) -> dict[str, Any]:
    """The report of a release of those of its parts."""
    causes: dict[tuple[str, str], Cause] = {}
    for part in parts:
        for key, cause in part.causes.items():
            whole = causes.setdefault(key, Cause(cause.step))
            whole.rows += cause.rows
            whole.features.update(cause.features)
            whole.late.update(cause.late)
            whole.examples += cause.examples[: SHOWN - len(whole.examples)]
    priced = _priced(release, parts, score)
    return {
        "release": name,
        **{count: sum(getattr(part, count) for part in parts) for count in _COUNTS},
        "served_otherwise": [one for part in parts for one in part.wrong][:SHOWN],
        "causes": [_cause(cause, priced) for cause in causes.values()],
        "price": priced.total,
    }


def _priced(release: Release, parts: Sequence[Found], score: Score | None) -> Priced:
    if score is None:
        return Priced.none("the model is no longer served")
    labels = np.concatenate([part.labels for part in parts])
    if not len(labels):
        return Priced.none("no request has a label yet")
    # A part without a step stays at that step where it was before it.
    steps = [one.name for one in c.order(release.world, release.changed_snapshots)]
    scores = []
    found = [part.scores(score) for part in parts]
    now = [one[SERVED] for one in found]
    for state in (SERVED, STOOD, *steps, TRAINING):
        if any(state in one for one in found):
            now = [one.get(state, old) for one, old in zip(found, now, strict=True)]
            scores.append((state, np.concatenate(now)))
    return price(labels, scores)


def _cause(cause: Cause, priced: Priced) -> dict[str, Any]:
    """A cause as JSON."""
    late = list(cause.late.values())
    waits = [one for one in late if math.isfinite(one)]
    made: dict[str, Any] = {
        "cause": cause.step.cause,
        "table": cause.step.table,
        "values": cause.values,
        "rows": cause.rows,
        "features": dict(cause.features.most_common()),
        "price": priced.steps.get(cause.step.name),
        "examples": cause.examples,
    }
    if late:
        made["late_rows"] = len(late)
        made["never_arrived"] = len(late) - len(waits)
    if waits:
        low, middle, high = np.quantile(waits, [0.5, 0.95, 1.0]).tolist()
        made["late_s"] = {"p50": low, "p95": middle, "max": high}
    return made
