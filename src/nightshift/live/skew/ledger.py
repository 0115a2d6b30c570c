"""`observe`: logged requests replayed as the store stood, and against what training sees now.

Three things are compared: what was served (the log), what a replay gives with the rows that the
store held at that moment, and what the offline query gives now. The first two must be equal. From
the second to the third the rows that were not there are added step by step (see `causes`), so that
each differing value has one cause, and each cause its price.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift import layout
from nightshift.errors import DataError
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec, sql_type
from nightshift.live.hiding import HASHED
from nightshift.live.log import FEATURE, REQUEST, RequestLog, unite
from nightshift.live.skew import causes as c
from nightshift.live.skew import replay
from nightshift.live.skew.causes import Longs, Step
from nightshift.live.skew.pricing import Priced, price
from nightshift.live.skew.world import World
from nightshift.openmldb import AbstractClient
from nightshift.openmldb.reconcile import fingerprint
from nightshift.pipeline import Pipeline
from nightshift.serving.pair import plain_values

SHOWN = 20
"""Examples of differing values in a report."""

TOLERANCE = 1e-6
"""Doubles that differ relatively less are equal: sums may be added up in another order."""

Score = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]
ScoreOf = Callable[[str, int], "Score | None"]
"""By model and version: scores of ids, or None where the model is no longer served."""

Values = list[list[Any]]


class NoRequests(DataError):
    """The log has no request of the days."""


@dataclass(frozen=True)
class Requests:
    """Logged requests of one release, in the order of their own times."""

    release: str
    model: str
    version: int
    ids: list[str]
    rows: list[list[Any]]
    named: list[dict[str, Any]]
    names: list[str]
    served: Values
    scores: npt.NDArray[np.float64]
    times: Longs
    began: Longs


def observe(
    pipeline: Pipeline,
    client: AbstractClient,
    first: dt.date,
    last: dt.date,
    *,
    score_of: ScoreOf = lambda model, version: None,
    sample: int | None = None,
    seed: int = 10,
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
        said: told what is done.

    Returns:
        The report, JSON; see docs/live.md.

    Raises:
        NoRequests: the log has no such request.
        DataError: the partitions cannot be read.
        OpenMLDBError, ServiceUnavailable, JobFailed: the server.
    """
    found = _requests(pipeline, first, last, sample, seed)
    world = World.of(pipeline, first, last)
    parts = [_Release(pipeline, client, world, one, first, last, score_of, said) for one in found]
    releases = [part.report() for part in parts]
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


def _requests(
    pipeline: Pipeline, first: dt.date, last: dt.date, sample: int | None, seed: int
) -> list[Requests]:
    files = pipeline.features
    script_columns = _request_columns(pipeline)
    time = REQUEST + files.tables.request_time
    start, end = pipeline.zone.start_ms(first), pipeline.zone.end_ms(last)
    parts = []
    for part in RequestLog.of(pipeline).batches(where=pc.field("role") == "live"):
        if time not in part.column_names:
            continue
        chosen = part.filter((pc.field(time) >= start) & (pc.field(time) < end))
        if not chosen.num_rows:
            continue
        for name in script_columns:
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
    made = []
    for release in sorted({str(one) for one in log["release"].to_pylist()}):
        part = log.filter(pc.field("release") == release)
        columns = [part[REQUEST + name].to_pylist() for name in script_columns]
        rows = [list(row) for row in zip(*columns, strict=True)]
        if any(isinstance(v, str) and v.startswith(HASHED) for row in rows[:1] for v in row):
            raise DataError(
                f"the log of {pipeline.name} hashes columns of the request "
                "(live.log.hashed), so that its requests cannot be replayed"
            )
        names = _feature_names(part)
        served = [part[FEATURE + name].to_pylist() for name in names]
        named = [dict(zip(script_columns, row, strict=True)) for row in rows]
        made.append(
            Requests(
                release, part["model"][0].as_py(), part["model_version"][0].as_py(),
                [str(one) for one in part["request_id"].to_pylist()], rows, named, names,
                [list(row) for row in zip(*served, strict=True)],
                part["score"].to_numpy().astype(np.float64),
                np.array(part[time].to_pylist(), dtype=np.int64),
                part["began"].cast(pa.int64()).to_numpy() // 1000,
            )
        )  # fmt: skip
    return made


def _request_columns(pipeline: Pipeline) -> list[str]:
    from nightshift.data.declared import declared_tables

    files = pipeline.features
    declared = declared_tables(files.tables, files.create_script(), str(files.create_tables))
    return list(declared[files.tables.request_table].columns)


def _feature_names(table: pa.Table) -> list[str]:
    return [name.removeprefix(FEATURE) for name in table.column_names if name.startswith(FEATURE)]


class _Release:
    """The ledger of one release's requests."""

    def __init__(
        self,
        pipeline: Pipeline,
        client: AbstractClient,
        world: World,
        requests: Requests,
        first: dt.date,
        last: dt.date,
        score_of: ScoreOf,
        said: Callable[[str], None],
    ) -> None:
        self.pipeline, self.client, self.requests = pipeline, client, requests
        self.days = layout.days_back(last, (last - first).days + 1)
        self.world = world.reached(requests.named)
        self.score = score_of(requests.model, requests.version)
        self.said = said
        self.name = f"{pipeline.owner}_observe"
        self.work = pipeline.runs / "observe"
        folder = pipeline.store.folder(requests.release)
        there = folder.sql.exists()
        self.sql = folder.sql.read_text(encoding="utf-8") if there else pipeline.features.query()
        self.spec = (
            FeatureSpec.load(folder.spec) if folder.spec.exists() else pipeline.features.spec
        )
        self.kinds = {f.name: sql_type(f.type) for f in self.spec.fields}
        self.features = [name for name in self.spec.names if name != self.spec.label]

    # -- the replays

    def replayed(self, mended: Sequence[Step], *, by_arrival: bool = False) -> Values:
        """Features of all requests, in the order of `requests`."""
        asked = self.requests
        count = len(asked.ids)
        order = np.arange(count)
        if by_arrival:
            order = np.argsort(asked.began, kind="stable")
        times, began = asked.times[order], asked.began[order]
        fresh = {step.table for step in mended if step.cause == c.SNAPSHOT}
        names, rows = replay.run(
            self.client,
            self.world,
            self.sql,
            replay.Asked([asked.rows[n] for n in order], list(range(count))),
            lambda table: c.places(self.world, table, mended, times, began),
            {
                table: paths if table in fresh else self.snapshots.get(table, paths)
                for table, paths in self.world.snapshots.items()
            },
            name=self.name,
            work=self.work,
        )
        at = [names.index(name) for name in self.features]
        made: Values = [[] for _ in range(count)]
        for place, row in zip(order.tolist(), rows, strict=True):
            made[place] = [row[n] for n in at]
        return made

    def training(self) -> tuple[dict[str, list[Any]], dict[str, Any]]:
        """Features and label by request id, as a night would see them now."""
        table = replay.training(
            self.client, self.world, self.pipeline.features.query(), self.days,
            self.world.snapshots, name=self.name, work=self.work,
        )  # fmt: skip
        key = next(k for k in self.spec.keys if k in table.column_names)
        wanted = pa.array(sorted(set(self.requests.ids)))
        table = table.filter(pc.is_in(table[key].cast(pa.string()), value_set=wanted))
        ids = [str(one) for one in table[key].to_pylist()]
        columns = [
            plain_values(table[name]) if name in table.column_names else [None] * len(ids)
            for name in self.features
        ]
        rows = [list(row) for row in zip(*columns, strict=True)]
        labels = table[self.spec.label].to_pylist()
        return dict(zip(ids, rows, strict=True)), dict(zip(ids, labels, strict=True))

    @property
    def snapshots(self) -> Mapping[str, Sequence[Path]]:
        """Files of the snapshots that the store held, where they are still there."""
        moment = int(self.requests.began.max())
        found: dict[str, Sequence[Path]] = {}
        for table in self.world.snapshots:
            held = self.world.loaded.snapshot_at(table, moment)
            if held is not None:
                path = Path(held[1])
                found[table] = sorted(path.parent.glob(path.name))
        return found

    def changed_snapshots(self) -> list[str]:
        """Snapshot tables of which the store held another content than there is now."""
        changed = []
        for table, paths in self.world.snapshots.items():
            marks = {
                held[0] if held is not None else ""
                for moment in (int(self.requests.began.min()), int(self.requests.began.max()))
                for held in [self.world.loaded.snapshot_at(table, moment)]
            }
            if marks != {fingerprint(paths)} and marks != {""}:
                changed.append(table)
        return changed

    # -- the ledger

    def report(self) -> dict[str, Any]:
        """What became of the release's requests."""
        try:
            return self._report()
        finally:
            replay.clear(self.work)

    def _report(self) -> dict[str, Any]:
        asked = self.requests
        self.said(f"{asked.release}: {len(asked.ids)} requests; what training sees of them")
        truth, labels = self.training()
        there = [n for n, one in enumerate(asked.ids) if one in truth]
        missing = len(asked.ids) - len(there)
        self.said("as the store stood")
        stood = self.replayed([], by_arrival=True)
        served = self._served()
        wrong = self._differences(served, stood, range(len(asked.ids)))
        beside = self.world.same_instant(asked.named, self.pipeline.features.tables.request_time)
        own = self.pipeline.features.tables.request_table
        steps = c.steps(
            self.world, asked.times, asked.began, self.changed_snapshots(),
            [table for table in beside if table != own],
        )  # fmt: skip
        states: list[tuple[Step | None, Values]] = [(None, stood)]
        for number, step in enumerate(steps, 1):
            self.said(f"with {step.cause}: {step.table} mended")
            states.append((step, self.replayed(steps[:number])))
        goal = [truth.get(one) for one in asked.ids]
        goal_rows = [row if row is not None else [] for row in goal]
        differing = self._differences(stood, goal_rows, there)
        attributed = self._attribute(states, goal_rows, differing, beside)
        repaired = self._explain_wrong(wrong)
        priced = self._priced(states, goal_rows, there, labels)
        return {
            "release": asked.release,
            "requests": len(asked.ids),
            "not_in_training": missing,
            "compared": len(there),
            "rows_differing": len({n for n, _ in differing}),
            "values_differing": len(differing),
            "not_reproduced": sum(cause == c.CODE for cause, _ in repaired.values()),
            "served_otherwise": self._listed(wrong, served, stood, repaired),
            "unexplained": len(differing) - sum(len(places) for _, places in attributed),
            "causes": [
                self._cause(step, places, stood, goal_rows, priced) for step, places in attributed
            ],
            "price": priced.total,
        }

    def _served(self) -> Values:
        names = self.requests.names
        at = [names.index(name) if name in names else -1 for name in self.features]
        return [[row[n] if n >= 0 else None for n in at] for row in self.requests.served]

    def _differences(
        self, one: Values, other: Values, rows: Sequence[int] | range
    ) -> list[tuple[int, int]]:
        """(row, feature) of values that are not equal."""
        return [
            (n, j)
            for n in rows
            for j, name in enumerate(self.features)
            if not same(one[n][j], other[n][j], self.kinds[name])
        ]

    def _attribute(
        self,
        states: Sequence[tuple[Step | None, Values]],
        goal: Values,
        differing: Sequence[tuple[int, int]],
        beside: Mapping[str, set[int]],
    ) -> list[tuple[Step, list[tuple[int, int]]]]:
        """Each differing value at the step from which on it is training's."""
        own = self.pipeline.features.tables.request_table
        rest = Step(c.CODE, "")
        mine = Step(c.SAME_INSTANT, own)
        found: dict[tuple[str, str], tuple[Step, list[tuple[int, int]]]] = {}
        for n, j in differing:
            kind = self.kinds[self.features[j]]
            step = mine if n in beside.get(own, ()) else rest
            for number in range(len(states) - 1, 0, -1):
                if not same(states[number][1][n][j], goal[n][j], kind):
                    break
                before = states[number - 1][1][n][j]
                if not same(before, goal[n][j], kind):
                    step = states[number][0] or rest
                    break
            found.setdefault((step.cause, step.table), (step, []))[1].append((n, j))
        return list(found.values())

    def _explain_wrong(
        self, wrong: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], tuple[str, str]]:
        """Cause and table of each value that a replay did not give as it was served."""
        changed = self.changed_snapshots()
        found: dict[tuple[int, int], tuple[str, str]] = {}
        for n, j in wrong:
            cause, where = c.CODE, ""
            for table in self.world.events:
                if self.world.gone.get(table) or self._corrected(
                    table, int(self.requests.began[n])
                ):
                    cause, where = c.CHANGED, table
                    break
            else:
                if changed:
                    cause, where = c.SNAPSHOT, changed[0]
            found[n, j] = cause, where
        return found

    def _corrected(self, table: str, moment_ms: int) -> bool:
        return any(
            name == table and any(at > moment_ms for at in moments)
            for (name, _), moments in self.world.loaded.changed.items()
        )

    # -- the price

    def _priced(
        self,
        states: Sequence[tuple[Step | None, Values]],
        goal: Values,
        there: Sequence[int],
        labels: Mapping[str, Any],
    ) -> Priced:
        if self.score is None:
            return Priced.none("the model is no longer served")
        absent = self.pipeline.features.tables.label_absent
        known = []
        for n in there:
            value = labels.get(self.requests.ids[n], absent)
            value = absent if value is None else value
            if value is not None:
                known.append((n, bool(value)))
        if not known:
            return Priced.none("no request has a label yet")
        rows = [n for n, _ in known]
        truth = np.array([label for _, label in known], dtype=bool)
        scores = [("served", self.requests.scores[np.array(rows)])]
        for step, values in states:
            name = "as the store stood" if step is None else f"{step.cause}: {step.table}"
            scores.append((name, self._scores(values, rows)))
        scores.append(("training", self._scores(goal, rows)))
        return price(truth, scores)

    def _scores(self, values: Values, rows: Sequence[int]) -> npt.NDArray[np.float64]:
        if self.score is None:
            raise DataError("there is no model to score with")
        made = [[_as_served(v, self.kinds[f]) for v, f in zip(values[n], self.features, strict=True)]
                for n in rows]  # fmt: skip
        ids = encode_rows(self.spec, self.features, made)
        return np.asarray(self.score(ids), dtype=np.float64)

    # -- as JSON

    def _cause(
        self,
        step: Step,
        places: Sequence[tuple[int, int]],
        stood: Values,
        goal: Values,
        priced: Priced,
    ) -> dict[str, Any]:
        features = Counter(self.features[j] for _, j in places)
        waits = [late for late in step.late_s if math.isfinite(late)]
        made: dict[str, Any] = {
            "cause": step.cause,
            "table": step.table,
            "values": len(places),
            "rows": len({n for n, _ in places}),
            "features": dict(features.most_common()),
            "price": priced.steps.get(f"{step.cause}: {step.table}"),
            "examples": [
                {
                    "request_id": self.requests.ids[n],
                    "feature": self.features[j],
                    "served": _plain(stood[n][j]),
                    "training": _plain(goal[n][j]),
                }
                for n, j in list(places)[:SHOWN]
            ],
        }
        if step.late_s:
            made["late_rows"] = len(step.late_s)
            made["never_arrived"] = len(step.late_s) - len(waits)
        if waits:
            low, middle, high = np.quantile(waits, [0.5, 0.95, 1.0]).tolist()
            made["late_s"] = {"p50": low, "p95": middle, "max": high}
        return made

    def _listed(
        self,
        wrong: Sequence[tuple[int, int]],
        served: Values,
        stood: Values,
        why: Mapping[tuple[int, int], tuple[str, str]],
    ) -> list[dict[str, Any]]:
        return [
            {
                "request_id": self.requests.ids[n],
                "feature": self.features[j],
                "served": _plain(served[n][j]),
                "replayed": _plain(stood[n][j]),
                "cause": why[n, j][0],
                "table": why[n, j][1],
            }
            for n, j in list(wrong)[:SHOWN]
        ]


def same(one: Any, other: Any, kind: str) -> bool:
    """Whether two values of a feature are equal as a column of its type holds them."""
    one, other = _as_kept(one, kind), _as_kept(other, kind)
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=0.0)
    return bool(one == other)


def _as_kept(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        number = float(np.float32(value))
        return number if math.isfinite(number) else None
    if kind == "double":
        return float(value) if math.isfinite(float(value)) else None
    if kind == "date":
        return tuple(int(part) for part in str(value).split("-"))
    return int(value) if kind == "bool" else value


def _as_served(value: Any, kind: str) -> Any:
    """A value as the API server's JSON gives it."""
    if value is None:
        return None
    return float(value) if kind in ("float", "double") else value


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
