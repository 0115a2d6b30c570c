"""Thresholds of the gates that nothing passes: by their meaning, by the newest data, by the past."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nightshift import files, layout
from nightshift.check.doubts import Doubt
from nightshift.check.labels import Positives
from nightshift.config.gates import GatesConfig
from nightshift.data import reading
from nightshift.errors import NightshiftError

if TYPE_CHECKING:
    from nightshift.features.reach import Output
    from nightshift.features.specification import FeatureSpec
    from nightshift.pipeline import Pipeline
    from nightshift.registry.store import ReleaseFolder

_NEAR = 1.1
"""A share that is counted roughly breaks a bound where it is so many times beyond it."""

_FEW_DAYS = 0.25
"""Share of the days that may break a bound of single days, where its level is warn."""


def perfect(gates: GatesConfig, runs: Sequence[str]) -> Iterator[Doubt]:
    """Thresholds that ask for a model without any error, or for what chance decides.

    Args:
        gates: the thresholds.
        runs: the gates that run; the others' are not judged.
    """
    quality = gates.quality
    if "quality" in runs:
        if quality.min_auc.value == 1:
            yield Doubt(
                "quality.min_auc", "is 1, which only a model without a single error has",
                "give a floor that is worth serving, such as 0.6",
            )  # fmt: skip
        elif quality.min_auc.value < 0.5:
            yield Doubt(
                "quality.min_auc",
                f"is {quality.min_auc.value:g}, and 0.5 is what chance has: a model that has "
                "learned nothing passes", "give more than 0.5",
            )  # fmt: skip
        if quality.max_logloss_ratio.value < 0.1:
            yield Doubt(
                "quality.max_logloss_ratio",
                f"is {quality.max_logloss_ratio.value:g}: a log loss so far below that of always "
                "answering the share of positives is hardly reached", "give about 1",
            )  # fmt: skip
        if quality.max_calibration_error.value == 0:
            yield Doubt(
                "quality.max_calibration_error", "is 0, which no model reaches",
                "give a small share, such as 0.05",
            )  # fmt: skip
        ratio = quality.calibration_ratio
        if not ratio.min <= 1 <= ratio.max:
            yield Doubt(
                "quality.calibration_ratio",
                f"lets pass {ratio.min:g} to {ratio.max:g}, and a model that is calibrated has 1",
                "give bounds with 1 between them",
            )  # fmt: skip
    if "rehearsal" in runs and gates.rehearsal.latency.max_ratio < 1:
        yield Doubt(
            "rehearsal.latency.max_ratio",
            f"is {gates.rehearsal.latency.max_ratio:g}: a candidate that is as fast as the live "
            "release does not pass", "give more than 1",
        )  # fmt: skip
    if "recommend" in runs and gates.recommend.min_recall.value == 1:
        yield Doubt(
            "recommend.min_recall", "is 1: every item that any user liked would have to be found",
            "give a share that retrieval reaches",
        )  # fmt: skip


def share_of_positives(gates: GatesConfig, found: Positives) -> Iterator[Doubt]:
    """Bounds of the share of positives that the newest settled days are far from."""
    bounds = gates.data.positives
    low = found.share * _NEAR < bounds.min_share
    if not found.judged or (not low and found.share <= bounds.max_share * _NEAR):
        return
    key, bound = ("min_share", bounds.min_share) if low else ("max_share", bounds.max_share)
    yield Doubt(
        f"data.positives.{key}",
        f"is {bound:g}, and in the newest {found.days} settled days about {found.positive} of "
        f"{found.judged} judged requests are positive, a share of {found.share:.4f}, so that the data "
        f"gate {_would(bounds.level)}",
        f"{'lower' if low else 'raise'} it, or see whether the labels are whole",
    )


def days_of_rows(gates: GatesConfig, requests: Mapping[dt.date, int]) -> Iterator[Doubt]:
    """Bounds of a day's rows that the days of the newest window break."""
    bounds = gates.data.day_rows
    counts = {day: count for day, count in requests.items() if count}
    if len(counts) < 2:
        return
    median = statistics.median(counts.values())
    shares = {day: count / median for day, count in counts.items()}
    for key, bound, out in (
        ("min_share", bounds.min_share, [d for d, s in shares.items() if s < bounds.min_share]),
        ("max_share", bounds.max_share, [d for d, s in shares.items() if s > bounds.max_share]),
    ):
        if not out or (bounds.level == "warn" and len(out) <= _FEW_DAYS * len(shares)):
            continue
        yield Doubt(
            f"data.day_rows.{key}",
            f"is {bound:g}, and {len(out)} of the newest {len(shares)} days are beyond it, such as "
            f"{out[-1]} with {counts[out[-1]]} requests against {median:g} on the median day, so "
            f"that the data gate {_would(bounds.level)}",
            f"{'lower' if key == 'min_share' else 'raise'} it, or see what became of these days",
        )


def nulls(
    pipeline: Pipeline,
    gates: GatesConfig,
    outputs: Sequence[Output],
    requests: Mapping[dt.date, int],
) -> Iterator[Doubt]:
    """Bounds of NULLs that columns of the requests break, by the footers of the newest window.

    Args:
        pipeline: its requests.
        gates: the thresholds.
        outputs: what the query gives.
        requests: how many there are of each day of the newest window.

    Raises:
        DataError: a partition cannot be read.
    """
    bounds, data = gates.data.nulls, pipeline.data
    table = pipeline.features.tables.request_table
    plain = {one.name: one.origin[1] for one in outputs if one.origin and one.origin[0] == table}
    judged = {name: plain[name] for name in pipeline.features.spec.names if name in plain}
    paths = [
        path
        for day in requests
        for path in reading.parquet_files(layout.partition(data, table, day))
    ]
    counted = reading.null_counts(paths, set(judged.values()))
    total = sum(requests.values())
    for name, column in judged.items():
        bound = bounds.except_.get(name, bounds.max_share)
        count = counted.get(column)
        if not total or count is None or count / total <= bound:
            continue
        key = f"except.{name}" if name in bounds.except_ else "max_share"
        yield Doubt(
            f"data.nulls.{key}",
            f"is {bound:g}, and {name} is NULL in {count} of {total} requests of the newest window, a "
            f"share of {count / total:.4f}, so that the data gate {_would(bounds.level)}",
            f"raise it, or give {name} a bound of its own under data.nulls.except",
        )


def too_few_compared(gates: GatesConfig, requests: int) -> Iterator[Doubt]:
    """A consistency check that asks for more requests than the newest window has."""
    least = gates.consistency.min_compared.value
    if requests < least:
        yield Doubt(
            "consistency.min_compared",
            f"is {least}, and the newest window has {requests} requests, so that the gate "
            f"{_would(gates.consistency.min_compared.level)}", "lower it",
        )  # fmt: skip


def of_the_past(
    pipeline: Pipeline, gates: GatesConfig, spec: FeatureSpec, told: frozenset[str]
) -> Iterator[Doubt]:
    """Thresholds that the newest accepted release would not pass today.

    Args:
        pipeline: its releases.
        gates: the thresholds.
        spec: the specification; a release of another one says nothing.
        told: keys of the same file that are told already.
    """
    release = _newest_accepted(pipeline)
    if release is None:
        return
    from nightshift.gates import data, quality

    values = gates.model_dump(by_alias=True)
    found = []
    try:
        card = files.read_json(release.data_card)
        if not spec.accepts(card["schema_hash"]):
            return
        found += [("data", one) for one in data.bounds(card, values["data"])]
        figures = files.read_json(release.reports / "quality.json")["challenger"]
        if "quality" in pipeline.config.gates_run:
            found += [("quality", one) for one in quality.floor(figures, values["quality"])]
    except (NightshiftError, OSError, ValueError, KeyError, TypeError):
        return  # of another version, or damaged: `releases` tells of it
    for gate, finding in found:
        key = f"{gate}.{finding.check}"
        if finding.level != "fail" or any(one.startswith(key) for one in told):
            continue
        yield Doubt(
            key, f"the accepted release {release.id} would not pass: {finding.message}",
            "choose a bound that what serves keeps, where that was not meant",
        )  # fmt: skip


def _newest_accepted(pipeline: Pipeline) -> ReleaseFolder | None:
    accepted = (folder for folder in reversed(pipeline.store.releases()) if _accepted(folder))
    return next(accepted, None)


def _accepted(folder: ReleaseFolder) -> bool:
    try:
        return folder.accepted
    except (NightshiftError, OSError):
        return False


def _would(level: str) -> str:
    return "would not pass" if level == "fail" else "would warn every night"
