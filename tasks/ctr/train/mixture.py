"""The model as a weighted mean of three logits: the regression's, the trees' and the network's.

Which of several models is the best on the validation rows is partly chance, and rows to come differ
from those by more than chance: the more freely a model follows its rows, the more it loses when the
world moves on. A mean of unlike models loses less (Wolpert 1992, "Stacked Generalization"; Breiman
1996, "Stacked Regressions"). Its weights are the mean of all weights that add up to one, each set
counted by the likelihood that it gives the validation rows: near thirds where those say little, near
the best model where they say much.

The mean is no other thing to serve than the network. Regression and trees are linear in inputs that
the network has, so they go into its first-order weights; what is left of the network is its own
parameters, scaled (`join`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.metrics import Labels, Scores, losses, mean_gap
from tasks.ctr.train.models import Architecture, Network
from tasks.ctr.train.models.base import BIAS, EMBEDDING, FIRST_LAYER, FIRST_ORDER
from tasks.ctr.train.scoring import score
from tasks.ctr.train.trees import NAME as TREES

if TYPE_CHECKING:
    from tasks.ctr.train.baseline import Baseline
    from tasks.ctr.train.inputs import Inputs, Tensors

Doubles = npt.NDArray[np.float64]
Shares = Mapping[str, float]
"""Weights by the name of the part; they add up to one."""

REGRESSION, BOOSTED, NETWORK = "regression", "trees", "network"

_STEPS = 20
"""Weights are tried in twentieths."""

_COUNTS = 0.25
"""What a validation row counts as evidence of later rows."""

_CLIP = 1e-7


def parts(
    network: Network,
    linear: Baseline,
    plain: Tensors,
    rows: Tensors,
    inputs: Inputs,
    device: str,
) -> dict[str, Doubles]:
    """Logits of each part, float64 [n] by its name.

    Args:
        network: the trained network.
        linear: the regression, without trees.
        plain: n rows without trees.
        rows: the same rows as the network takes them.
        inputs: the network's.
        device: `cpu` or `cuda`.
    """
    found = {REGRESSION: linear.logits(plain)}
    if inputs.trees is not None:
        assert rows.dense is not None
        number = inputs.statistics[TREES]
        found[BOOSTED] = rows.dense[:, -1].astype(np.float64) * number.scale + number.shift
    found[NETWORK] = logits_of(score(network, rows, device))
    return found


def logits_of(scores: Scores) -> Doubles:
    """Logits float64 [n] of probabilities float32 [n]."""
    p = np.clip(scores.astype(np.float64), _CLIP, 1 - _CLIP)
    found: Doubles = np.log(p) - np.log1p(-p)
    return found


def weigh(logits: Mapping[str, Doubles], labels: Labels) -> Shares:
    """How much each part weighs: the posterior mean of the weights, all being alike before.

    A row counts for less than one: rows of one stretch of time are alike (`metrics.mean_gap`), and
    later rows are less like the validation rows than those are like each other.

    Args:
        logits: of the validation rows in the order of time, float64 [n], by part.
        labels: int8 [n].
    """
    parts = np.stack(list(logits.values()))
    tried = np.array(list(_weights(len(parts)))) / _STEPS
    middle = losses(parts.mean(axis=0), labels)
    alike = [alone for alone in (_alone(middle, losses(part, labels)) for part in parts) if alone]
    counts = _COUNTS * (float(np.mean(alike)) if alike else 1.0)
    likelihood = [-counts * float(losses(each @ parts, labels).sum()) for each in tried]
    posterior = np.exp(np.array(likelihood) - max(likelihood))
    found = (posterior / posterior.sum()) @ tried
    shares = {name: round(float(share), 3) for name, share in zip(logits, found, strict=True)}
    last = next(reversed(shares))
    shares[last] = round(1.0 - sum(share for name, share in shares.items() if name != last), 3)
    return shares


def _weights(parts: int) -> list[tuple[int, ...]]:
    """All weights of so many parts that add up to `_STEPS`."""
    every = itertools.product(range(_STEPS + 1), repeat=parts - 1)
    return [(*some, _STEPS - sum(some)) for some in every if sum(some) <= _STEPS]


def _alone(one: Doubles, other: Doubles) -> float:
    """As how many rows that share nothing each row counts, by the error of the mean difference."""
    by_row = float((one - other).std() / math.sqrt(len(one)))
    _, error = mean_gap(one, other)
    return (by_row / error) ** 2 if error > 0 else 0.0


def said(shares: Shares, logits: Mapping[str, Doubles], labels: Labels) -> str:
    """Why the model is this mean, for the model card."""
    mixed = losses(mean(shares, logits), labels)
    gains = []
    for name, part in logits.items():
        lower, error = mean_gap(losses(part, labels), mixed)
        gains.append(f"{name} {lower:.2g} (standard error {error:.1g})")
    weights = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    return (
        f"served is a mean of logits, weighed by the validation rows: {weights}; its validation log "
        f"loss is lower than that of each alone by: {', '.join(gains)}"
    )


def mean(shares: Shares, logits: Mapping[str, Doubles]) -> Doubles:
    """The mean of logits float64 [n]."""
    found: Doubles = sum((shares[name] * part for name, part in logits.items()), np.zeros(1))
    return found


def join(
    shape: Architecture, network: Arrays, shares: Shares, linear: Baseline, inputs: Inputs
) -> Arrays:
    """Parameters of the network of the same shape whose logit is the mean.

    Products of embeddings get the network's share by its root in each embedding, which the first
    layer takes back; the last layer gets it whole.

    Args:
        shape: of the network, of a family of `defaults.MIXED`.
        network: its parameters float32 by name.
        shares: what `weigh` gave.
        linear: the regression; the trees' row of the table, the last one, is not among its weights.
        inputs: the network's, with the trees' number where they have a share.
    """
    share = shares[NETWORK]
    root = math.sqrt(share)
    first = np.zeros(shape.num_rows)
    first[: len(linear.weights)] = shares[REGRESSION] * linear.weights
    constant = shares[REGRESSION] * linear.bias
    if BOOSTED in shares:
        number = inputs.statistics[TREES]
        first[-1] += shares[BOOSTED] * number.scale
        constant += shares[BOOSTED] * number.shift
    added = {FIRST_ORDER: first[:, None], BIAS: np.array([constant])}
    values: Arrays = {}
    for name, value in network.items():
        if name in (FIRST_ORDER, BIAS, "out.weight"):
            values[name] = (share * value.astype(np.float64) + added.get(name, 0.0)).astype(
                np.float32
            )
        elif name == EMBEDDING:
            values[name] = value * np.float32(root)
        elif name == FIRST_LAYER and root > 0:
            values[name] = value.copy()
            values[name][:, : shape.num_fields * shape.embedding_dim] /= np.float32(root)
        else:
            values[name] = value.copy()
    return values
