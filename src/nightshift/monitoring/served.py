"""Quality of the scores that were really served, from the request log and the labels since.

A request counts for the day of its own time, in the pipeline's zone. Its label is final once the settle time has
passed; before that a day has an estimate: the AUC that its scores would have if they were
calibrated probabilities. Both are shown for old days, so that the estimate is held to the truth.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files, layout
from nightshift.config.monitor import MonitorConfig
from nightshift.data import reading
from nightshift.data.declared import declared_tables
from nightshift.errors import NightshiftError
from nightshift.features.profile import FeatureProfile, row_days
from nightshift.features.specification import FeatureSpec
from nightshift.features.stability import expected_profile, psi, usual_psi
from nightshift.features.values import FieldValues
from nightshift.gates import curves, measures
from nightshift.gates.data import is_identifier
from nightshift.gates.maturity import label_column
from nightshift.live.folders import live_folder
from nightshift.live.log import ANSWERED, FEATURE, REQUEST, RequestLog
from nightshift.monitoring.constant import ROWS, constant
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live
from nightshift.registry.store import ReleaseStore
from nightshift.zones import EPOCH

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST_ROWS = 100
"""Rows of a day that its drift is measured of."""

_DAY = dt.timedelta(days=1)


@dataclass
class Served:
    """Scored rows of the log: arrays of one length, and what their features looked like.

    Attributes:
        ids: [n], request ids.
        days: [n], ordinals of the requests' days.
        releases: [n].
        scores: float64 [n].
        slices: by name, [n] texts.
        values: by feature, the values that were seen.
        profiles: by (release, day ordinal) the features' profiles.
        newest: rows of the newest features by release, oldest first, for `constant`.
    """

    ids: npt.NDArray[np.object_]
    days: npt.NDArray[np.int64]
    releases: npt.NDArray[np.object_]
    scores: Floats
    slices: dict[str, npt.NDArray[np.object_]] = field(default_factory=dict)
    values: dict[str, FieldValues] = field(default_factory=dict)
    profiles: dict[tuple[str, int], list[FeatureProfile]] = field(default_factory=dict)
    newest: dict[str, Any] = field(default_factory=dict)


def report_path(pipeline: Pipeline) -> Path:
    """Where the newest report lies."""
    return live_folder(pipeline.settings, pipeline.name) / "served.json"


def measure(pipeline: Pipeline, *, until: dt.datetime | None = None) -> dict[str, Any]:
    """Measure what was served recently, write the report and return it.

    Args:
        pipeline: a pipeline with features.
        until: the end of what is looked at; now.

    Returns:
        The report `served`: figures by day and release, by release, by slice, curves of the live
        release, drift by feature and day, constant features, and what breaches the thresholds.
    """
    end = until or dt.datetime.now(dt.timezone.utc)
    config, spec = pipeline.config.monitor, pipeline.features.spec
    served = read(pipeline, end - config.days * _DAY, end)
    last = pipeline.zone.day_of(end)
    labels, known = labels_of(pipeline, served.ids, served.days, last)
    known &= served.days <= last.toordinal() - settle_days(pipeline)
    value: dict[str, Any] = {
        "check": "served", "at": end.strftime("%Y-%m-%dT%H:%M:%SZ"), "rows": len(served.ids),
        "settle_days": settle_days(pipeline), "judged": int(known.sum()),
        "days": [
            {"day": dt.date.fromordinal(day).isoformat(), "release": release, **found}
            for (day, release), found in _grouped(served, labels, known, served.days)
        ],
        "releases": [
            {"release": release, **_held_out(pipeline.store, release), **found}
            for (_, release), found in _grouped(
                served, labels, known, np.zeros(len(served.days), dtype=np.int64)
            )
        ],
        "slices": [
            {"slice": name, "value": str(text), "release": release, **found}
            for name, texts in served.slices.items()
            for (text, release), found in _grouped(served, labels, known, texts)
        ],
        "drift": _drift(pipeline.store, served, spec),
        "live": None, "curves": None, "constant": [],
    }  # fmt: skip
    live = read_live(pipeline.releases)
    if live is not None:
        mine = (served.releases == live.release_id) & known
        value["live"] = live.release_id
        if mine.any():
            value["curves"] = curves.of(labels[mine], served.scores[mine])
        newest = served.newest.get(live.release_id)
        if newest is not None:
            value["constant"] = constant(newest, shares_of(pipeline, live.release_id)[0])
    value["warnings"] = list(_breaches(value, config))
    value |= {"status": "warn" if value["warnings"] else "pass", "failures": []}
    files.write_json(report_path(pipeline), value)
    return value


def settle_days(pipeline: Pipeline) -> int:
    """Days after which a label is final."""
    found = pipeline.features.tables.label_settle_days
    return pipeline.features.spec.label_settle_days if found is None else found


def read(pipeline: Pipeline, since: dt.datetime, until: dt.datetime) -> Served:
    """What the log holds of answered requests; each answer of a release to a request once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spec, tables = pipeline.features.spec, pipeline.features.tables
    slices = list(pipeline.config.monitor.slices)
    time = REQUEST + tables.request_time
    wanted = ["request_id", "at", "role", "release", "score", time]
    wanted += [FEATURE + one.name for one in spec.fields]
    wanted += [FEATURE + name for name in slices if FEATURE + name not in wanted]
    parts: dict[str, list[Any]] = defaultdict(list)
    found = Served(
        ids=np.empty(0, dtype=object),
        days=np.empty(0, dtype=np.int64),
        releases=np.empty(0, dtype=object),
        scores=np.empty(0, dtype=np.float64),
    )
    for batch in RequestLog.of(pipeline).batches(since, until, columns=wanted):
        batch = batch.filter(
            pc.and_(pc.is_in(batch["role"], pa.array(ANSWERED)), pc.is_valid(batch["score"]))
        ).sort_by("at")
        if not batch.num_rows:
            continue
        parts["ids"].append(_texts(batch["request_id"]))
        parts["releases"].append(_texts(batch["release"]))
        parts["scores"].append(batch["score"].to_numpy(zero_copy_only=False).astype(np.float64))
        at = batch["at"].cast(pa.int64()).to_numpy() // 1000
        own = batch[time]
        if pa.types.is_integer(own.type):
            at = np.where(
                own.is_valid().to_numpy(zero_copy_only=False),
                own.fill_null(0).to_numpy(zero_copy_only=False), at,
            )  # fmt: skip
        days = pipeline.zone.days_of(at.astype(np.int64)).astype(np.int64) + EPOCH.toordinal()
        parts["days"].append(days)
        for name in slices:
            parts[f"slice {name}"].append(_texts(pc.cast(batch[FEATURE + name], pa.string())))
        _profile(found, batch, spec, parts["releases"][-1], days)
        _keep_newest(found, batch, spec, parts["releases"][-1])
    if parts:
        whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        keys = np.array([f"{a}\0{b}" for a, b in zip(whole["ids"], whole["releases"], strict=True)])
        _, first = np.unique(keys, return_index=True)
        first = np.sort(first)
        found.ids, found.days = whole["ids"][first], whole["days"][first]
        found.releases, found.scores = whole["releases"][first], whole["scores"][first]
        found.slices = {name: whole[f"slice {name}"][first] for name in slices}
    return found


def _texts(column: Any) -> npt.NDArray[np.object_]:
    return np.array([str(value) for value in column.to_pylist()], dtype=object)


def _profile(
    found: Served, batch: Any, spec: FeatureSpec, releases: Any, days: npt.NDArray[np.int64]
) -> None:
    numbers = (days - EPOCH.toordinal()).astype(np.int32)
    parts = [
        (part, (releases == part[0]) & (days == part[1]))
        for part in {*zip(releases, days.tolist(), strict=True)}
    ]
    for one in spec.fields:
        found.values.setdefault(one.name, FieldValues(one))
    for position, one in enumerate(spec.fields):
        places = _places(batch[FEATURE + one.name], found.values[one.name])
        if places is None:
            continue
        for part, mine in parts:
            profiles = found.profiles.setdefault(
                part, [FeatureProfile(found.values[f.name]) for f in spec.fields]
            )
            profiles[position].add(places[mine], row_days(numbers[mine]))


def _places(column: Any, values: FieldValues) -> npt.NDArray[Any] | None:
    """A column's values as training counts them; None where it is hidden, or of another type."""
    import pyarrow as pa

    kinds = {"float": pa.float32(), "date": pa.date32(), "timestamp": pa.timestamp("ms")}
    kind = values.field.type
    try:
        whole = column.combine_chunks()
        if kind in kinds and not pa.types.is_null(whole.type):
            # The log keeps what the API server wrote: doubles, texts, milliseconds.
            whole = whole.cast(kinds[kind], safe=False)
        return values.places(values.take(whole))
    except (NightshiftError, TypeError, ValueError):
        return None


def _keep_newest(found: Served, batch: Any, spec: FeatureSpec, releases: Any) -> None:
    import pyarrow as pa

    names = [FEATURE + one.name for one in spec.fields]
    rows = batch.select(names).rename_columns([one.name for one in spec.fields])
    for release in set(releases):
        mine = rows.filter(pa.array(releases == release))
        before = found.newest.get(release)
        both = (
            mine
            if before is None
            else pa.concat_tables([before, mine], promote_options="permissive")
        )
        found.newest[release] = both.slice(max(0, both.num_rows - ROWS))


def labels_of(
    pipeline: Pipeline,
    ids: npt.NDArray[np.object_],
    days: npt.NDArray[np.int64],
    last: dt.date,
) -> tuple[Bools, Bools]:
    """Each request's label as far as it has come, and whether there is one; not if it is final.

    Args:
        pipeline: its label table.
        ids: [n], request ids.
        days: int64 [n], ordinals of the requests' days.
        last: the last partition that is read.

    Returns:
        bool [n] each.
    """
    tables, features = pipeline.features.tables, pipeline.features
    table = tables.label_table
    none = np.zeros(len(ids), dtype=bool)
    if table is None or not len(ids):
        return none, none.copy()
    declared = declared_tables(tables, features.create_script(), str(features.create_tables))
    column = label_column(features.query(), features.spec.label, declared[table].columns)
    if table in tables.events:
        first = dt.date.fromordinal(int(days.min()))
        span = layout.days_back(last, (last - first).days + 1)
        folders = [layout.partition(pipeline.data, table, day) for day in span]
    else:
        folders = [pipeline.data / table]
    paths = [path for folder in folders for path in reading.parquet_files(folder)]
    wanted = [tables.request_id, *([column] if column else [])]
    truth: dict[str, bool] = {}
    for batch in reading.batches(paths, columns=wanted):
        values = batch.column(column).to_pylist() if column else [1] * batch.num_rows
        for key, value in zip(batch.column(tables.request_id).to_pylist(), values, strict=True):
            if value is not None:
                truth[str(key)] = truth.get(str(key), False) or bool(value > 0)
    absent = tables.label_absent
    labels = np.array([truth.get(key, absent == 1) for key in ids], dtype=bool)
    known = np.array([key in truth for key in ids], dtype=bool)
    if absent is not None:
        known[:] = True
    return labels, known


def _grouped(
    served: Served, labels: Bools, known: Bools, by: npt.NDArray[Any]
) -> Iterable[tuple[tuple[Any, str], dict[str, Any]]]:
    for key in sorted({*zip(by.tolist(), served.releases, strict=True)}):
        mine = (by == key[0]) & (served.releases == key[1])
        yield key, figures(labels[mine], served.scores[mine], known[mine])


def figures(labels: Bools, scores: Floats, known: Bools) -> dict[str, Any]:
    """Figures of served scores: those whose labels are final, and the estimate of all.

    Args:
        labels: bool [n].
        scores: float64 [n].
        known: bool [n], whether the label is final.
    """
    truth, judged = labels[known], scores[known]
    auc = curves.auc_interval(truth, judged)
    loss = curves.logloss_interval(truth, judged)
    return {
        "rows": len(scores),
        "judged": int(known.sum()),
        "positives": int(truth.sum()),
        "auc": _rounded(measures.auc(truth, judged)),
        "auc_interval": list(auc) if auc else None,
        "logloss": _rounded(measures.logloss(truth, judged)),
        "logloss_interval": list(loss) if loss else None,
        "calibration_ratio": _rounded(measures.calibration_ratio(truth, judged)),
        "mean_score": _rounded(float(scores.mean())) if len(scores) else None,
        "expected_auc": _rounded(expected_auc(scores)),
    }


def expected_auc(scores: Floats) -> float | None:
    """The AUC that scores have if each is the probability of its row being a positive.

    The ratio of the expected number of rightly ordered pairs to that of all pairs of a positive
    and a negative; a pair is counted by the chance that the one is positive and the other not.

    Args:
        scores: float64 [n], probabilities.
    """
    if len(scores) < 2:
        return None
    p = np.sort(scores)
    q = 1.0 - p
    before = np.cumsum(q) - q
    _, start = np.unique(p, return_index=True)
    tied_q = np.add.reduceat(q, start)
    tied_p = np.add.reduceat(p, start)
    right = float((tied_p * before[start]).sum())
    same = float((tied_p * tied_q).sum() - (p * q).sum())
    pairs = float(p.sum() * q.sum() - (p * q).sum())
    return (right + 0.5 * same) / pairs if pairs > 0 else None


def _drift(store: ReleaseStore, served: Served, spec: FeatureSpec) -> list[dict[str, Any]]:
    found = []
    for (release, day), profiles in sorted(served.profiles.items()):
        trained = _card(store, release)
        for one in profiles:
            name, live = one.values.field.name, one.summary()
            champion = trained.get(name)
            if champion is None or live["rows"] < LEAST_ROWS or is_identifier(champion):
                continue
            index, noise = psi(expected_profile(champion, live), live)
            noise += usual_psi(champion, 1)[0]
            found.append(
                {"day": dt.date.fromordinal(day).isoformat(), "release": release, "feature": name,
                 "psi": round(index, 4), "noise": round(noise, 4)}
            )  # fmt: skip
    return found


def _card(store: ReleaseStore, release: str) -> Mapping[str, Any]:
    try:
        card = files.read_json(store.folder(release).data_card)
        return dict(card["features"])
    except (NightshiftError, KeyError, TypeError):
        return {}


_LEAST_OF_WEEKDAY = 50
"""Training rows of a weekday; the share of fewer says nothing."""


def shares_of(pipeline: Pipeline, release: str) -> tuple[dict[str, float], dict[str, float]]:
    """By feature, the share in training of its most frequent value (NULL counts), and of NULL.

    Requests of one moment have one hour and one weekday: what follows from the request's time
    alone counts as always the same, and of each weekday its own share counts as well.
    """
    top, null = {}, {}
    of_time = _of_time(pipeline, release)
    for name, profile in _card(pipeline.store, release).items():
        if isinstance(profile, dict) and profile.get("rows"):
            null[name] = float(profile.get("null_share", 0.0))
            weekdays = profile.get("weekdays") or ()
            weekdays = [one for one in weekdays if one.get("rows", 0) >= _LEAST_OF_WEEKDAY]
            shares = [share for one in (profile, *weekdays) for share in _shares(one)]
            top[name] = 1.0 if name in of_time else max(shares)
    return top, null


def _shares(summary: Mapping[str, Any]) -> Iterable[float]:
    yield float(summary.get("null_share", 0.0))
    yield from summary.get("bins", {}).values()


def _of_time(pipeline: Pipeline, release: str) -> frozenset[str]:
    """Features of a release's query that follow from the request's time."""
    from nightshift.features import lineage

    files = pipeline.features
    try:
        query = pipeline.store.folder(release).sql.read_text(encoding="utf-8")
        columns = lineage.columns_of(files.create_script(), files.tables)
        outputs = lineage.outputs_of(query, tables=files.tables, columns=columns)
    except (NightshiftError, OSError):  # of other tables than those of today
        return frozenset()
    return frozenset(output.name for output in outputs if output.of_time)


def _held_out(store: ReleaseStore, release: str) -> dict[str, Any]:
    """AUC on the release's held-out days, and its 90 % interval; None where it is not known."""
    folder = store.folder(release)
    try:
        auc = folder.manifest().metrics.get("auc")
    except NightshiftError:
        return {"held_out": None, "held_out_interval": None}
    try:
        quality = files.read_json(folder.reports / "quality.json")
    except (NightshiftError, OSError):
        quality = {}
    interval = curves.interval_of(quality, "auc")
    return {"held_out": auc, "held_out_interval": None if interval is None else list(interval)}


def _breaches(value: Mapping[str, Any], config: MonitorConfig) -> Iterable[str]:
    live = value["live"]
    if value["constant"]:
        yield (
            f"features of {live} have one value in all of the last {ROWS} requests: "
            f"{', '.join(value['constant'][:10])}"
        )
    for one in value["releases"]:
        if one["release"] != live:
            continue
        held, served = one["held_out"], one["auc_interval"]
        if held is not None and served and served[1] < held - config.auc_margin:
            yield (
                f"{live} serves with AUC {one['auc']:.4f} (at most {served[1]:.4f}); on held-out "
                f"days it had {held:.4f}, and the margin is {config.auc_margin:g}"
            )
        ratio = one["calibration_ratio"]
        enough = one["positives"] >= config.least_positives
        if enough and not 1 / config.max_calibration <= ratio <= config.max_calibration:
            yield (
                f"{live}: the mean score is {ratio:.2f} times the share of positives; "
                f"{1 / config.max_calibration:.2g} to {config.max_calibration:.2g} is allowed"
            )
    days = [one["day"] for one in value["drift"] if one["release"] == live]
    drifted = [
        f"{one['feature']} ({one['psi']:.2f})"
        for one in value["drift"]
        if one["release"] == live
        and one["day"] == max(days)
        and one["psi"] > config.max_psi + one["noise"]
    ]
    if drifted:
        yield (
            f"live features of {live} differ from its training data on {max(days)}, PSI above "
            f"{config.max_psi:g}: {', '.join(drifted[:10])}"
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
