"""Training from more than one start: which of the trained networks becomes the model.

A network that begins at the logistic regression stays near it, one that begins at zero finds
something else, and which of the two is ahead differs from data to data. Their mean is steadier than
either. It is no larger thing to serve than another network: the mean of two factorisation machines
with deep networks is one of both widths (`mean`), so nothing but training knows that there were two.

Where the model is no mean with the regression (`tasks.ctr.train.mixture`), the network has to be
better than it by more than chance: a simple model that may be as good is the better bet on rows that
nobody has seen (the one-standard-error rule of Breiman et al. 1984, "Classification and Regression
Trees"). Else the regression stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.dataset import Split
from tasks.ctr.train.defaults import MIXED
from tasks.ctr.train.fit import Fitted
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.metrics import auc, logloss, losses_of_scores, mean_gap, stopping_score
from tasks.ctr.train.models import Architecture, Network, build, views
from tasks.ctr.train.models.base import BIAS, EMBEDDING, FIRST_LAYER, FIRST_ORDER
from tasks.ctr.train.scoring import score

BOTH = "both"
"""The name of the mean, beside those of the starts."""

BASELINE = "baseline"
"""The name of the start at the logistic regression."""

TWO = ("validation", BOTH)
"""Values of `linear_start` that train from both starts."""


@dataclass(frozen=True)
class Outcome:
    """What became of the starts.

    Attributes:
        name: the start whose network was kept, or `both`.
        fitted: the model; of `both` with the progress of the better start.
        rated: what the validation rows give each, by name; empty where they were not asked.
        doubted: why the start itself was kept although a trained network was rated higher; empty
            where none was.
        mixed: of which parts the model is the mean (`tasks.ctr.train.mixture`); empty where it is
            the network alone.
    """

    name: str
    fitted: Fitted
    rated: Mapping[str, float]
    doubted: str = ""
    mixed: str = ""


def choose(
    found: Mapping[str, Fitted],
    chosen: Hyperparameters,
    valid: Split | None,
    device: str,
    *,
    may_mix: bool,
) -> Outcome:
    """The network that the validation rows rate highest; of equals the mean, then the first.

    Args:
        found: the trained networks by the name of their start.
        chosen: hyper-parameters; `linear_start: both` asks for the mean, whatever its rating.
        valid: the validation rows; None in a refit.
        device: `cpu` or `cuda`.
        may_mix: the mean is among those to choose from.
    """
    rated = {name: _rated(each) for name, each in found.items()}
    better = max(rated, key=rated.__getitem__)
    if len(found) == 1:
        return Outcome(better, found[better], {})
    if may_mix and chosen.family in MIXED:
        one, other = (views(each.network) for each in found.values())
        shape, values = mean(found[better].network.shape, one, other)
        both = Fitted(build(shape, values, device), found[better].progress)
        if valid is not None:
            scores = score(both.network, valid.tensors, device)
            figures = {"auc": auc(valid.labels, scores), "logloss": logloss(valid.labels, scores)}
            rated = {BOTH: stopping_score(figures, chosen.monitor), **rated}
        if chosen.linear_start == BOTH:
            return Outcome(BOTH, both, rated)
        if max(rated, key=rated.__getitem__) == BOTH:
            return Outcome(BOTH, both, rated)
    return Outcome(better, found[better], rated)


def unless_doubtful(
    outcome: Outcome,
    found: Mapping[str, Fitted],
    begun: Callable[[], Network],
    valid: Split,
    device: str,
) -> Outcome:
    """What was chosen, or the regression that training began at where that may be as good.

    Args:
        outcome: what was chosen.
        found: the trained networks by the name of their start, `baseline` among them.
        begun: gives the network that answers as the regression.
        valid: the validation rows, in the order of time.
        device: `cpu` or `cuda`.
    """
    if outcome.name == BASELINE and outcome.fitted.progress.best_epoch == -1:
        return outcome
    start = begun()
    ours, theirs = (
        losses_of_scores(score(network, valid.tensors, device), valid.labels)
        for network in (outcome.fitted.network, start)
    )
    better, error = mean_gap(theirs, ours)
    if better > error:
        return outcome
    gap = (
        f"{better:.2g} lower, no more than its standard error"
        if better >= 0
        else f"{-better:.2g} higher, standard error"
    )
    doubted = (
        "the regression itself is kept: the validation log loss of the network "
        f"({outcome.name}) is {gap} {error:.2g}"
    )
    progress = replace(found[BASELINE].progress, best_epoch=-1)
    return Outcome(BASELINE, Fitted(start, progress), outcome.rated, doubted)


def said(outcome: Outcome) -> str:
    """Why the model card's `linear_start` is what it is."""
    if not outcome.rated:
        why = "there is one start"
    else:
        found = ", ".join(f"{name} {rated:.4f}" for name, rated in outcome.rated.items())
        why = f"by the validation rows: {found}"
    return "; ".join(part for part in (why, outcome.doubted, outcome.mixed) if part)


def epochs(outcome: Outcome, found: Mapping[str, Fitted]) -> int | dict[str, int]:
    """The best epoch, 0 being the start; of the mean by the name of the start."""
    if outcome.name == BOTH:
        return {name: _epoch(each) for name, each in found.items()}
    return _epoch(outcome.fitted)


def _epoch(fitted: Fitted) -> int:
    return 1 + (fitted.progress.best_epoch or 0)


def best(found: Mapping[str, Fitted]) -> float:
    """The best score of the trainings so far; minus infinity without one."""
    return max(map(_rated, found.values()), default=-math.inf)


def _rated(fitted: Fitted) -> float:
    found = fitted.progress.best_score
    return -math.inf if found is None else found


def mean(shape: Architecture, one: Arrays, other: Arrays) -> tuple[Architecture, Arrays]:
    """One network whose logit is the mean of two networks' logits.

    Embeddings stand side by side, each over the square root of 2, so that a pair's product is the
    mean of both products; layers are blocks on a diagonal, which the numbers enter both.

    Args:
        shape: of both networks, of a family of `defaults.MIXED`.
        one: parameters of the one, by name.
        other: of the other.

    Returns:
        The shape, of twice the widths, and its parameters float32 by name.
    """
    k, scale = shape.embedding_dim, np.float32(math.sqrt(2.0))
    values: Arrays = {}
    for name, a in one.items():
        b = other[name]
        if name in (FIRST_ORDER, BIAS):
            values[name] = (a + b) / np.float32(2)
        elif name == EMBEDDING:
            values[name] = np.concatenate([a, b], axis=1)
            values[name] /= scale
        elif name == "out.weight":
            values[name] = np.concatenate([a, b], axis=1) / np.float32(2)
        elif name == FIRST_LAYER:
            parts = [_spread(w, shape.num_fields, k, scale, at) for at, w in enumerate((a, b))]
            values[name] = np.concatenate(parts)
        elif name.endswith(".bias"):
            values[name] = np.concatenate([a, b])
        else:
            values[name] = _diagonal(a, b)
    wide = replace(shape, embedding_dim=2 * k, hidden=tuple(2 * width for width in shape.hidden))
    return wide, {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}


def _spread(
    weight: npt.NDArray[np.float32], fields: int, k: int, scale: np.float32, half: int
) -> npt.NDArray[np.float32]:
    """A first layer that reads its half of each field's embedding, then the numbers."""
    width = len(weight)
    found = np.zeros((width, fields, 2, k), np.float32)
    found[:, :, half] = weight[:, : fields * k].reshape(width, fields, k) * scale
    return np.concatenate([found.reshape(width, -1), weight[:, fields * k :]], axis=1)


def _diagonal(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    found = np.zeros((len(a) + len(b), a.shape[1] + b.shape[1]), np.float32)
    found[: len(a), : a.shape[1]] = a
    found[len(a) :, a.shape[1] :] = b
    return found
