"""What retrieval finds of the days that it has not seen, against the most popular items."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.recommend.interactions import Interactions
from nightshift.recommend.ragged import Index, Ragged
from nightshift.recommend.recommender import Recommender

AT = (10, 20, 50, 100, 200)
"""Lengths of the list at which recall is measured."""

USERS = 2_000
"""Users measured at most, spread evenly."""


def measure(made: Recommender, found: Interactions, later: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Recall and NDCG of the candidates, of each retriever, and of popular items alone.

    A user's relevant items are those liked in the held-out days and not touched before. Users
    without one are left out; users who were not there before count as they will be asked: by
    popular items.

    Args:
        made: fitted on the earlier days.
        found: all interactions.
        later: bool [rows], those of the held-out days.

    Returns:
        users, new_users, `recall` and `ndcg` by length of the list, `by_retriever` recall, and
        `difference` from popular by length: mean, low and high of its 95 % interval.
    """
    rows = later & found.liked
    wanted = Ragged.of(found.user[rows], found.item[rows], len(found.users))
    asked = np.flatnonzero(wanted.lengths)
    asked = asked[:: max(1, -(-len(asked) // USERS))]
    names = list(made.options.retrievers)
    recalls: dict[str, list[list[float]]] = {name: [] for name in ("all", "popular", *names)}
    gains: list[list[float]] = []
    new = 0
    for user in asked.tolist():
        consumed = made.consumed.row(user)
        relevant = np.setdiff1d(wanted.row(user), consumed)
        if not len(relevant):
            continue
        known = len(consumed) > 0
        new += not known
        mask = np.ones(len(made.items), bool)
        mask[consumed] = False
        liked = made.liked.row(user)
        ask = partial(made.candidates, user if known else None, liked, mask, max(AT))
        answer = ask().items
        recalls["all"].append(recall(answer, relevant))
        gains.append([ndcg(answer[:at], relevant) for at in AT])
        for name in {"popular", *names}:
            recalls[name].append(recall(ask(only=[name]).items, relevant))
    if not gains:
        return {"users": 0, "new_users": 0}
    means = {name: _by_length(np.mean(values, axis=0)) for name, values in recalls.items()}
    gap = np.array(recalls["all"]) - np.array(recalls["popular"])
    error = 1.96 * gap.std(axis=0) / np.sqrt(len(gap))
    return {
        "users": len(gains),
        "new_users": new,
        "recall": means.pop("all"),
        "ndcg": _by_length(np.mean(gains, axis=0)),
        "by_retriever": means,
        "difference": {
            "mean": _by_length(gap.mean(axis=0)),
            "low": _by_length(gap.mean(axis=0) - error),
            "high": _by_length(gap.mean(axis=0) + error),
        },
    }


def recall(answer: Index, relevant: Index) -> list[float]:
    """The share of the relevant items among the first 10, 20, ... of an answer."""
    hits = np.isin(answer, relevant)
    return [float(hits[:at].sum()) / len(relevant) for at in AT]


def ndcg(answer: Index, relevant: Index) -> float:
    """Normalised discounted cumulative gain of binary relevance."""
    hits = np.isin(answer, relevant)
    discounts = 1.0 / np.log2(np.arange(2, len(answer) + 2))
    ideal = (1.0 / np.log2(np.arange(2, min(len(relevant), len(answer)) + 2))).sum()
    return float((hits * discounts).sum() / ideal) if ideal else 0.0


def _by_length(values: npt.NDArray[Any]) -> dict[str, float]:
    return {str(at): round(float(value), 6) for at, value in zip(AT, values, strict=True)}
