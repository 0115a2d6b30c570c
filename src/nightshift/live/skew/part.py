"""The ledger of a part of a release's requests: replays, and a cause for each differing value."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.live.skew import causes as c
from nightshift.live.skew import replay
from nightshift.live.skew.causes import Step
from nightshift.live.skew.compare import Row, as_served, differing, equal, kept_column, kept_rows
from nightshift.live.skew.requests import Requests
from nightshift.live.skew.world import NEVER, World
from nightshift.openmldb import AbstractClient
from nightshift.pipeline import Pipeline

SHOWN = 20
"""Examples of differing values in a report."""

Floats = npt.NDArray[np.float64]
Score = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]
Said = Callable[[str], None]
Place = tuple[int, int]
"""(request, feature)."""

SERVED, STOOD, TRAINING = "served", "as the store stood", "training"
"""Names of the states that are scored; between the last two come the steps."""


def _silent(text: str) -> None:
    del text


@dataclass(frozen=True)
class Release:
    """What the parts of a release have in common.

    Attributes:
        world: without rows.
        sql: the query that served.
        spec: the specification that served.
        features: names of the features, without the label.
        kinds: the SQL type of each.
        scored: whether its model is still served, so that causes have a price.
        changed_snapshots: snapshot tables of which the store held another content.
        snapshots: files of the snapshots that the store held.
        key: the column of `Share.truth` that names a request.
        name: of a database for replays.
        work: folder that OpenMLDB can read.
    """

    pipeline: Pipeline
    world: World
    sql: str
    spec: FeatureSpec
    features: list[str]
    kinds: list[str]
    scored: bool
    changed_snapshots: list[str]
    snapshots: Mapping[str, Sequence[Path]]
    key: str
    name: str
    work: Path

    def at(self, slot: int) -> Release:
        """The same with a database and a folder of its own, for replays side by side."""
        name, work = f"{self.name}_{slot}", self.work / str(slot)
        return dataclasses.replace(self, name=name, work=work)


@dataclass(frozen=True)
class Share:
    """A part of a release's requests, and what training sees of them.

    Attributes:
        truth: features and label of requests as a night would extract them now by the release's
            query.
        now: what the pipeline's query of today gives of them, and the column that names a request;
            None where it is the same.
    """

    requests: Requests
    truth: pa.Table
    now: tuple[pa.Table, str] | None = None


@dataclass(frozen=True)
class Changed:
    """Requests that another state gives other features.

    Attributes:
        at: int64 [k], their places among those that have a label.
        ids: int64 [k, width], their encoded features.
    """

    at: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]


@dataclass
class Cause:
    """Differing values of one cause and table.

    Attributes:
        features: values by feature.
        late: seconds that each row which came late did so, by the row's hash.
    """

    step: Step
    rows: int = 0
    features: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    late: dict[int, float] = field(default_factory=dict)

    @property
    def values(self) -> int:
        """Differing values."""
        return sum(self.features.values())


@dataclass
class Found:
    """What became of some requests.

    Attributes:
        labels: bool [m], of the requests that have one.
        served: float64 [m], their scores; empty where the model is no longer served.
        changed: by the name of a state, in the order in which they are reached, the requests that
            have other features there than in the one before.
        wrong: served values that the replay did not give, at most `SHOWN`.
    """

    requests: int = 0
    not_in_training: int = 0
    compared: int = 0
    rows_differing: int = 0
    values_differing: int = 0
    not_reproduced: int = 0
    unexplained: int = 0
    causes: dict[tuple[str, str], Cause] = field(default_factory=dict)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    labels: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    served: Floats = field(default_factory=lambda: np.empty(0))
    changed: dict[str, Changed] = field(default_factory=dict)

    def scores(self, score: Score) -> dict[str, Floats]:
        """Float64 [m] by the name of a state, in the order in which they are reached."""
        now = self.served
        found = {SERVED: now}
        for state, changed in self.changed.items():
            if len(changed.at):
                now = now.copy()
                now[changed.at] = score(changed.ids)
            found[state] = now
        return found


class Part:
    """A share of a release's requests, with the rows that they reach.

    Args:
        release: what served them.
        share: the requests.
        client: the API server.
        said: told what is done.
    """

    def __init__(
        self, release: Release, share: Share, client: AbstractClient, said: Said = _silent
    ) -> None:
        self.release, self.share, self.requests = release, share, share.requests
        self._client, self._said = client, said
        requests = share.requests
        self.ids, self.rows = requests.ids, requests.rows
        self.named = [dict(zip(requests.columns, row, strict=True)) for row in self.rows]
        self.world = release.world.reached(self.named, int(requests.began.min()))
        self.times, self.began = requests.times, requests.began

    def found(self) -> Found:
        """Its part of the ledger."""
        release, own = self.release, self.release.pipeline.features.tables
        stood = self.replayed(by_arrival=True)
        served = kept_rows(self.requests.served(release.features), release.kinds)
        truth, labels = self._truth()
        there = [n for n, row in enumerate(truth) if row is not None]
        beside = self.world.same_instant(self.named, own.request_time)
        steps = c.steps(
            self.world, self.times, self.began, release.changed_snapshots,
            [table for table in beside if table != own.request_table],
        )  # fmt: skip
        states: list[tuple[Step | None, list[Row]]] = [(None, stood)]
        for number, step in enumerate(steps, 1):
            self._said(f"with {step.cause}: {step.table} repaired")
            states.append((step, self._repaired(steps[:number], states[-1][1])))
        places = list(differing(stood, truth, there))
        made = Found(
            requests=len(self.ids),
            not_in_training=len(self.ids) - len(there),
            compared=len(there),
            rows_differing=len({n for n, _ in places}),
            values_differing=len(places),
        )
        self._attribute(made, states, truth, places, beside)
        made.unexplained = len(places) - sum(one.values for one in made.causes.values())
        self._of_query(made, truth)
        self._explain_wrong(made, served, stood)
        self._score(made, served, states, truth, labels)
        return made

    # -- the replays

    def replayed(
        self,
        repaired: Sequence[Step] = (),
        *,
        by_arrival: bool = False,
        only: Sequence[int] | None = None,
    ) -> list[Row]:
        """Features, kept, of all requests or some, in the order in which they are given."""
        release, count = self.release, len(self.ids)
        order = np.argsort(self.began, kind="stable") if by_arrival else np.arange(count)
        times, began = self.times[order], self.began[order]
        chosen = order.tolist() if only is None else list(only)
        keys = list(range(count)) if only is None else chosen
        world = self.world if only is None else self.world.narrowed([self.named[n] for n in only])
        places = {
            table: c.places(self.world, table, repaired, times, began) for table in world.events
        }
        fresh = {step.table for step in repaired if step.cause == c.SNAPSHOT}
        names, rows = replay.run(
            self._client,
            world,
            release.sql,
            replay.Asked(
                [self.rows[n] for n in chosen], keys, self.times[np.array(chosen)].tolist()
            ),
            lambda table: [places[table][n] for n in world.events[table].origin],
            {
                table: paths if table in fresh else release.snapshots.get(table, paths)
                for table, paths in world.snapshots.items()
            },
            name=release.name,
            work=release.work,
        )
        at = [names.index(name) for name in release.features]
        kept = kept_rows([[row[n] for n in at] for row in rows], release.kinds)
        if not by_arrival:
            return kept
        made: list[Row] = [()] * count
        for place, one in zip(chosen, kept, strict=True):
            made[place] = one
        return made

    def _repaired(self, steps: Sequence[Step], before: Sequence[Row]) -> list[Row]:
        """Features with some steps taken; `before` are those without the last of them."""
        asked = self._affected(steps)
        if asked is None:
            return self.replayed(steps)
        made = list(before)
        if asked:
            for n, row in zip(asked, self.replayed(steps, only=asked), strict=True):
                made[n] = row
        return made

    def _affected(self, steps: Sequence[Step]) -> list[int] | None:
        """The requests that the last step can change; None: all of them."""
        last = steps[-1]
        if last.cause == c.SNAPSHOT or (len(steps) == 1 and (np.diff(self.began) < 0).any()):
            return None
        table = last.table
        before, after = (
            np.array(c.places(self.world, table, some, self.times, self.began))
            for some in (steps[:-1], steps)
        )
        columns = list(self.world.declared[table].columns)
        rows = self.world.events[table].rows
        changed = np.flatnonzero(after != before)
        first, end = np.minimum(before, after), np.maximum(before, after)
        pairs = self.world.pairs(table)
        found: set[int] = set()
        if not pairs:
            for n in changed.tolist():
                found.update(range(first[n], min(int(end[n]), len(self.ids))))
        for mine, theirs in pairs:
            by_key: dict[tuple[Any, ...], list[int]] = {}
            for number, one in enumerate(self.named):
                by_key.setdefault(tuple(one[name] for name in theirs), []).append(number)
            places = [columns.index(name) for name in mine]
            for n in changed.tolist():
                known = by_key.get(tuple(rows[n][place] for place in places), ())
                found.update(k for k in known if first[n] <= k < end[n])
        return sorted(found)

    def _truth(self) -> tuple[list[Row | None], list[Any]]:
        """Features, kept, and label of each request as training sees it; None where it has none."""
        release = self.release
        there, chosen = self._chosen(self.share.truth, release.key)
        columns = [
            kept_column(chosen[name].to_pylist(), kind) if name in chosen.column_names
            else [None] * len(there)
            for name, kind in zip(release.features, release.kinds, strict=True)
        ]  # fmt: skip
        rows: list[Row | None] = [None] * len(self.ids)
        labels: list[Any] = [None] * len(self.ids)
        known = chosen[release.spec.label].to_pylist()
        for n, row, label in zip(there, zip(*columns, strict=True), known, strict=True):
            rows[n], labels[n] = row, label
        return rows, labels

    def _chosen(self, table: pa.Table, key: str) -> tuple[list[int], pa.Table]:
        """The requests that a table has rows of, and these rows."""
        at = pc.index_in(pa.array(self.ids), value_set=table[key])
        there = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
        return there.tolist(), table.take(at.drop_null())

    # -- causes

    def _attribute(
        self,
        made: Found,
        states: Sequence[tuple[Step | None, Sequence[Row]]],
        goal: Sequence[Row | None],
        places: Sequence[Place],
        beside: Mapping[str, set[int]],
    ) -> None:
        """Each differing value to the step from which on it is training's."""
        own = self.release.pipeline.features.tables.request_table
        rest, mine, again = Step(c.CODE, ""), Step(c.SAME_INSTANT, own), Step(c.AGAIN, own)
        repeated = self._asked_again()
        stood = states[0][1]
        last: dict[tuple[str, str], int] = {}
        for n, j in places:
            wanted = goal[n]
            assert wanted is not None
            step = mine if n in beside.get(own, ()) else again if n in repeated else rest
            for number in range(len(states) - 1, 0, -1):
                if not equal(states[number][1][n][j], wanted[j]):
                    break
                if not equal(states[number - 1][1][n][j], wanted[j]):
                    step = states[number][0] or rest
                    break
            key = step.cause, step.table
            cause = made.causes.setdefault(key, Cause(step, late=dict(step.late)))
            cause.rows += last.get(key) != n
            last[key] = n
            cause.features[self.release.features[j]] += 1
            if len(cause.examples) < SHOWN:
                cause.examples.append(self._example(n, j, stood[n][j], training=wanted[j]))

    def _of_query(self, made: Found, truth: Sequence[Row | None]) -> None:
        """Values of features that the pipeline's query of today gives otherwise than the release's.

        That is a change which the next release brings, no skew of this one: it has a cause of its
        own, and the counts leave it out.
        """
        if self.share.now is None:
            return
        there, chosen = self._chosen(*self.share.now)
        step = Step(c.QUERY, "")
        cause, differ = Cause(step), set[int]()
        for j, (name, kind) in enumerate(
            zip(self.release.features, self.release.kinds, strict=True)
        ):
            if name not in chosen.column_names:
                continue
            for n, value in zip(there, kept_column(chosen[name].to_pylist(), kind), strict=True):
                known = truth[n]
                if known is None or equal(known[j], value):
                    continue
                differ.add(n)
                cause.features[name] += 1
                if len(cause.examples) < SHOWN:
                    cause.examples.append(self._example(n, j, known[j], training=value))
        cause.rows = len(differ)
        if cause.rows:
            made.causes[step.cause, step.table] = cause

    def _asked_again(self) -> set[int]:
        """Requests whose own row was in the store before they were asked."""
        own = self.release.pipeline.features.tables
        rows = self.world.events[own.request_table]
        at = list(self.world.declared[own.request_table].columns).index(own.request_id)
        came = {str(row[at]): moment for row, moment in zip(rows.rows, rows.arrived, strict=True)}
        return {n for n, one in enumerate(self.ids) if came.get(one, NEVER) <= self.began[n]}

    def _example(self, n: int, j: int, served: Any, **other: Any) -> dict[str, Any]:
        kind = self.release.kinds[j]
        return {
            "request_id": self.ids[n],
            "feature": self.release.features[j],
            "served": as_served(served, kind),
            **{name: as_served(value, kind) for name, value in other.items()},
        }

    def _explain_wrong(self, made: Found, served: Sequence[Row], stood: Sequence[Row]) -> None:
        """Cause and table of each value that a replay did not give as it was served."""
        changed = self.release.changed_snapshots
        for n, j in differing(served, stood, range(len(self.ids))):
            cause, where = c.CODE, ""
            for table in self.world.events:
                if table in self._gone or self._corrected(table, int(self.began[n])):
                    cause, where = c.CHANGED, table
                    break
            else:
                if changed:
                    cause, where = c.SNAPSHOT, changed[0]
            made.not_reproduced += cause == c.CODE
            if len(made.wrong) < SHOWN:
                shown = self._example(n, j, served[n][j], replayed=stood[n][j])
                made.wrong.append({**shown, "cause": cause, "table": where})

    @cached_property
    def _gone(self) -> set[str]:
        """Tables of which streamed rows are in no partition any more."""
        return {table for table in self.world.events if self.world.gone(table)}

    def _corrected(self, table: str, moment_ms: int) -> bool:
        return any(
            name == table and any(at > moment_ms for at in moments)
            for (name, _), moments in self.world.loaded.changed.items()
        )

    # -- scores

    def _score(
        self,
        made: Found,
        served: Sequence[Row],
        states: Sequence[tuple[Step | None, Sequence[Row]]],
        truth: Sequence[Row | None],
        labels: Sequence[Any],
    ) -> None:
        """What there is to score in every state, of the requests whose label is known."""
        absent = self.release.pipeline.features.tables.label_absent
        rows: list[int] = []
        known: list[bool] = []
        for n, row in enumerate(truth):
            value = absent if labels[n] is None else labels[n]
            if row is not None and value is not None:
                rows.append(n)
                known.append(bool(value))
        made.labels = np.array(known, dtype=bool)
        if not self.release.scored or not rows:
            return
        made.served = self.requests.scores[np.array(rows)]
        before: Sequence[Row] = served
        goal = [row if row is not None else () for row in truth]
        for name, values in (
            *((STOOD if step is None else step.name, values) for step, values in states),
            (TRAINING, goal),
        ):
            made.changed[name] = self._changed(values, rows, before)
            before = values

    def _changed(
        self, values: Sequence[Row], rows: Sequence[int], before: Sequence[Row]
    ) -> Changed:
        release = self.release
        at = [n for n, row in enumerate(rows) if values[row] != before[row]]
        listed = [
            [as_served(v, kind) for v, kind in zip(values[rows[n]], release.kinds, strict=True)]
            for n in at
        ]
        ids = (
            encode_rows(release.spec, release.features, listed)
            if listed
            else np.empty((0, release.spec.width), dtype=np.int64)
        )
        return Changed(np.array(at, dtype=np.int64), ids)
