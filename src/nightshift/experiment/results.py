"""What an experiment's trainings say: a row a configuration, with intervals and verdicts.

The best configuration is chosen on the validation rows. The test rows are shown and compared, and
choose nothing, so that what they say of the chosen one is not flattered.

The difference to the first configuration is paired: the same dates, seeds and test rows. With
three or more pairs its interval is Student's of their mean; with fewer it is the paired bootstrap
of the test rows, averaged over the pairs, which knows nothing of the seeds' share.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nightshift.experiment.config import ExperimentConfig
from nightshift.experiment.design import Cell, Configuration
from nightshift.gates import baseline, measures, quality

CONFIDENCE = 0.95
_RESAMPLES = 400
_LEAST_PAIRS = 3

# Student's t at 97.5 %, by degrees of freedom; beyond the table the normal's.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """A mean over trainings and its 95 % interval, which takes three of them."""

    mean: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """What one configuration came to.

    Attributes:
        id: of the configuration.
        name: what it changes.
        factor: what was varied; empty in a grid.
        trainings: how many ended well.
        failed: why others did not, each reason once.
        valid: mean of the choosing measure on the validation rows (AUC, or minus the log loss).
        auc: of the test rows.
        logloss: of the test rows.
        difference: of the test AUC to the first configuration's.
        seed_deviation: standard deviation of the test AUC between the seeds of a date, averaged
            over dates; None with one seed.
        train_loss: mean training loss of the best epoch.
        best_epoch: mean of the best epoch.
        seconds: mean training time.
        versus_baseline: mean AUC difference to the logistic regression on the same rows.
        verdicts: by gate, how many trainings it would have passed, warned of, failed.
        by_date: mean test AUC by date.
    """

    id: str
    name: str
    factor: str
    trainings: int
    failed: tuple[str, ...]
    valid: float | None
    auc: Spread | None
    logloss: Spread | None
    difference: Spread | None
    seed_deviation: float | None
    train_loss: float | None
    best_epoch: float | None
    seconds: float | None
    versus_baseline: float | None
    verdicts: Mapping[str, Mapping[str, int]]
    by_date: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and Student's interval; None of nothing."""
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) < _LEAST_PAIRS:
        return Spread(mean, None, None, len(values))
    free = len(values) - 1
    factor = _STUDENT[free - 1] if free <= len(_STUDENT) else 1.96
    half = factor * statistics.stdev(values) / math.sqrt(len(values))
    return Spread(mean, mean - half, mean + half, len(values))


def valid_score(result: Mapping[str, Any], measure: str) -> float | None:
    """What chooses: the validation AUC, or minus the log loss; None where it is undefined."""
    value = result["valid"][measure]
    if value is None:
        return None
    return float(value) if measure == "auc" else -float(value)


def objective(results: Sequence[Mapping[str, Any]], measure: str) -> float | None:
    """Mean of what chooses over a configuration's trainings; None where one is missing."""
    scores = [valid_score(r, measure) if r["status"] == "ok" else None for r in results]
    known = [score for score in scores if score is not None]
    return statistics.fmean(known) if known and len(known) == len(scores) else None


def rows(
    config: ExperimentConfig,
    tried: Sequence[tuple[Configuration, Sequence[Cell]]],
    found: Mapping[Cell, Mapping[str, Any]],
    scores: Callable[[Cell], Path],
    gates: Mapping[str, Any],
) -> list[Row]:
    """One row a configuration, the first one first.

    Args:
        config: the experiment.
        tried: configurations with their trainings; the first one is what others are compared with.
        found: results of trainings; one without is not counted.
        scores: where a training's test scores lie.
        gates: the pipeline's thresholds by gate.
    """
    made = []
    reference = {(c.ds, c.seed): c for c in tried[0][1]} if tried else {}
    for number, (configuration, cells) in enumerate(tried):
        ended = [(cell, found[cell]) for cell in cells if cell in found]
        good = [(cell, result) for cell, result in ended if result["status"] == "ok"]
        aucs = [r["test"]["auc"] for _, r in good if r["test"]["auc"] is not None]
        pairs = [
            (cell, other)
            for cell, _ in good
            if (other := reference.get((cell.ds, cell.seed))) is not None
            and found.get(other, {}).get("status") == "ok"
        ]
        gaps = [
            r["baseline"]["auc_difference"]["difference"]
            for _, r in good
            if r["baseline"] and r["baseline"]["auc_difference"]
        ]
        made.append(
            Row(
                id=configuration.id,
                name=configuration.name,
                factor=configuration.factor,
                trainings=len(good),
                failed=tuple(dict.fromkeys(r["error"] for _, r in ended if r["status"] != "ok")),
                valid=objective([r for _, r in ended], config.measure),
                auc=spread(aucs),
                logloss=spread([r["test"]["logloss"] for _, r in good]),
                difference=_difference(pairs, found, scores) if number else None,
                seed_deviation=_between_seeds(good),
                train_loss=_mean([_best(r).get("train_loss") for _, r in good]),
                best_epoch=_mean([r["best_epoch"] for _, r in good]),
                seconds=_mean([r["seconds"]["train"] for _, r in good]),
                versus_baseline=_mean(gaps),
                verdicts=_verdicts(good, reference if number else {}, found, scores, gates),
                by_date=_by_date(good),
            )
        )
    return made


def best(found: Sequence[Row]) -> Row | None:
    """The row that the validation rows choose; None where none is whole."""
    whole = [row for row in found if row.valid is not None]
    return max(whole, key=lambda row: row.valid or -math.inf) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(v) for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _best(result: Mapping[str, Any]) -> Mapping[str, Any]:
    history: Sequence[Mapping[str, Any]] = result["history"]
    at = max(int(result["best_epoch"]), 1) - 1
    return history[at] if at < len(history) else {}


def _between_seeds(good: Sequence[tuple[Cell, Mapping[str, Any]]]) -> float | None:
    by_date: dict[str, list[float]] = {}
    for cell, result in good:
        if result["test"]["auc"] is not None:
            by_date.setdefault(cell.ds, []).append(result["test"]["auc"])
    return _mean([statistics.stdev(v) for v in by_date.values() if len(v) > 1])


def _by_date(good: Sequence[tuple[Cell, Mapping[str, Any]]]) -> dict[str, float]:
    by_date: dict[str, list[float]] = {}
    for cell, result in good:
        if result["test"]["auc"] is not None:
            by_date.setdefault(cell.ds, []).append(result["test"]["auc"])
    return {ds: statistics.fmean(values) for ds, values in sorted(by_date.items())}


def _difference(
    pairs: Sequence[tuple[Cell, Cell]],
    found: Mapping[Cell, Mapping[str, Any]],
    scores: Callable[[Cell], Path],
) -> Spread | None:
    aucs = [(found[a]["test"]["auc"], found[b]["test"]["auc"]) for a, b in pairs]
    gaps = [a - b for a, b in aucs if a is not None and b is not None]
    if len(gaps) >= _LEAST_PAIRS or not gaps:
        return spread(gaps)
    ends = []
    for ours, theirs in pairs:
        both = _paired(scores(ours), scores(theirs))
        if both is not None:
            ends.append((both.auc.low, both.auc.high))
    if not ends:
        return Spread(statistics.fmean(gaps), None, None, len(gaps))
    low, high = (statistics.fmean(side) for side in zip(*ends, strict=True))
    return Spread(statistics.fmean(gaps), low, high, len(gaps))


def _scores(path: Path) -> tuple[Any, Any] | None:
    import numpy as np

    if not path.is_file():
        return None
    with np.load(path) as kept:
        return kept["label"].astype(bool), kept["score"].astype(np.float64)


def _paired(ours: Path, theirs: Path) -> measures.PairedIntervals | None:
    first, second = _scores(ours), _scores(theirs)
    if first is None or second is None or len(first[0]) != len(second[0]):
        return None
    if (first[0] != second[0]).any():
        return None
    return measures.paired_bootstrap(
        *(first[0], first[1], second[1]), resamples=_RESAMPLES, confidence=CONFIDENCE
    )


def _verdicts(
    good: Sequence[tuple[Cell, Mapping[str, Any]]],
    reference: Mapping[tuple[str, int], Cell],
    found: Mapping[Cell, Mapping[str, Any]],
    scores: Callable[[Cell], Path],
    gates: Mapping[str, Any],
) -> dict[str, dict[str, int]]:
    """What the gates would have said, the first configuration being the live release."""
    counts: dict[str, dict[str, int]] = {}

    def count(report: Mapping[str, Any]) -> None:
        of_gate = counts.setdefault(report["check"], {"pass": 0, "warn": 0, "fail": 0})
        of_gate[report["status"]] += 1

    for cell, result in good:
        count(baseline.judge(result, gates["baseline"]))
        ours = _scores(scores(cell))
        if ours is None:
            continue
        live = reference.get((cell.ds, cell.seed))
        theirs = None
        if live is not None and found.get(live, {}).get("status") == "ok":
            theirs = _scores(scores(live))
        count(
            quality.judge(
                *(ours[0], ours[1], theirs[1] if theirs else None),
                gates["quality"],
                champion_id="as it is" if theirs else None,
            )
        )
    return counts
