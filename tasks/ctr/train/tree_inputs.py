"""What boosted trees look at: numbers as they are, and a number for each id.

An id's number is its rate: by how much the log-odds of its training rows are above those of all
rows, held towards 0 where the rows are few (Micci-Barreca 2001, "A preprocessing scheme for
high-cardinality categorical attributes"). So trees see all ids of a column in one order, also the
rare ones, of which each alone says little. How strongly rates are held is learned for each column.

The rates that trees are grown on must not hold a row's own label: each training row gets the rates
of the rows of other folds. Every other row gets those of all training rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import Ids, numbers_of
from nightshift.features.specification import Field

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Folds = npt.NDArray[np.int64]
Columns = Any
"""Encoded columns int64 [n] by number."""

FOLDS = 4
"""A training row's rates are of the rows of the other folds."""

FEWEST = 2
"""An id seen less often in training has no rate of its own."""

STRENGTHS = (5.0, 2000.0)
"""So many rows at least, and at most, does a rate need to get halfway from 0 to what its rows say."""


class Seen(NamedTuple):
    """What trees look at.

    Attributes:
        columns: int32 [inputs], the encoded row's column of each input.
        is_id: bool [inputs]: an id, or else a number.
        ids: int64, the known ids of each input one after another, ascending within one.
        starts: int32 [inputs + 1], where each input's ids begin.
        rates: float64, of each of `ids` the number that stands for it; 0 stands for an unknown one.
    """

    columns: npt.NDArray[np.int32]
    is_id: npt.NDArray[np.bool_]
    ids: Ids
    starts: npt.NDArray[np.int32]
    rates: Doubles


def matrix(columns: Columns, count: int, seen: Seen) -> Doubles:
    """Inputs float64 [n, inputs] of encoded columns; a missing number is NaN."""
    found = numbers(columns, count, seen)
    for at in np.flatnonzero(seen.is_id).tolist():
        begin, end = seen.starts[at], seen.starts[at + 1]
        known, column = seen.ids[begin:end], columns[int(seen.columns[at])]
        place = np.minimum(np.searchsorted(known, column), len(known) - 1)
        found[:, at] = np.where(known[place] == column, seen.rates[begin:end][place], 0.0)
    return found


def numbers(columns: Columns, count: int, seen: Seen) -> Doubles:
    """As `matrix`, with nothing yet in the columns of ids."""
    found = np.empty((count, len(seen.columns)), dtype=np.float64)
    for at in np.flatnonzero(~seen.is_id).tolist():
        found[:, at] = numbers_of(columns[int(seen.columns[at])])
    return found


class Counted(NamedTuple):
    """The training rows of a column's ids.

    Attributes:
        ids: int64 [k], ascending.
        place: int32 [training rows], of each row's id, or k where it has none.
        rows: float64 [k, all].
        positives: float64 [k], of them.
        strength: rows that an id's rate is held to 0 by.
    """

    ids: Ids
    place: npt.NDArray[np.int32]
    rows: Doubles
    positives: Doubles
    strength: float


class Rates:
    """Rates of ids by all training rows, and by the rows of some folds."""

    def __init__(self, inputs: list[tuple[int, Counted | None]], labels: Labels) -> None:
        self._inputs, self._labels = inputs, labels
        self._share = float(np.mean(labels))

    @classmethod
    def of(cls, spec_fields: Sequence[Field], train: Columns, labels: Labels) -> Rates:
        """Count the training rows of each id.

        Args:
            spec_fields: the specification's fields.
            train: encoded columns of the training rows.
            labels: int8 [n], of both classes.
        """
        inputs: list[tuple[int, Counted | None]] = []
        at = 0
        for field in spec_fields:
            if field.number is not None:
                inputs.append((at, None))
            elif not field.tokens:
                found = _counted(train[at], labels)
                # A column of nothing but rare ids says nothing to a tree.
                if len(found.ids):
                    inputs.append((at, found))
            at += field.width
        return cls(inputs, labels)

    def seen(self) -> Seen:
        """The inputs, with the rates of all training rows."""
        ids = [np.empty(0, np.int64) if found is None else found.ids for _, found in self._inputs]
        rates = [
            np.empty(0)
            if found is None
            else self._rates(found.rows, found.positives, found.strength)
            for _, found in self._inputs
        ]
        return Seen(
            np.array([at for at, _ in self._inputs], dtype=np.int32),
            np.array([found is not None for _, found in self._inputs], dtype=np.bool_),
            np.concatenate([*ids, np.empty(0, np.int64)]),
            np.cumsum([0, *(len(known) for known in ids)]).astype(np.int32),
            np.concatenate([*rates, np.empty(0)]),
        )

    def put(self, x: Doubles, folds: Folds, without: int | None = None) -> None:
        """Give each training row the rates of the rows of other folds.

        Args:
            x: float64 [training rows, inputs], changed in place.
            folds: int64 [training rows], less than `FOLDS`.
            without: a fold whose labels no row is told of.
        """
        rows = [np.flatnonzero(folds == fold) for fold in range(FOLDS)]
        for at, (_, found) in enumerate(self._inputs):
            if found is None:
                continue
            size = len(found.ids) + 1
            counts = [np.bincount(found.place[mine], minlength=size) for mine in rows]
            ones = [
                np.bincount(found.place[mine], weights=self._labels[mine], minlength=size)
                for mine in rows
            ]
            for fold, mine in enumerate(rows):
                others = [other for other in range(FOLDS) if other not in (fold, without)]
                rates = self._rates(
                    np.stack([counts[other] for other in others]).sum(axis=0).astype(np.float64),
                    np.stack([ones[other] for other in others]).sum(axis=0).astype(np.float64),
                    found.strength,
                )
                rates[-1] = 0.0
                x[mine, at] = rates[found.place[mine]]

    def _rates(self, rows: Doubles, positives: Doubles, strength: float) -> Doubles:
        """Log-odds above those of all rows; 0 of an id without rows."""
        ones = positives + strength * self._share
        middle = math.log(self._share) - math.log1p(-self._share)
        found: Doubles = np.log(ones) - np.log(rows + strength - ones) - middle
        return found


def _counted(column: Ids, labels: Labels) -> Counted:
    known, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts >= FEWEST)
    places = np.full(len(known), len(kept), dtype=np.int32)
    places[kept] = np.arange(len(kept))
    place = places[inverse]
    rows = counts[kept].astype(np.float64)
    ones: Doubles = np.bincount(place, weights=labels, minlength=len(kept) + 1)[:-1].astype(
        np.float64
    )
    return Counted(known[kept], place, rows, ones, strength(rows, ones, float(np.mean(labels))))


def strength(rows: Doubles, positives: Doubles, share: float) -> float:
    """How strongly rates are held to 0: as by so many rows that say nothing of the id.

    By the moments of a beta-binomial distribution: the less ids differ beyond chance, the more rows
    an id needs to have a rate of its own.

    Args:
        rows: of each id, float64 [k].
        positives: of them, float64 [k].
        share: of the positives among all rows.
    """
    least, most = STRENGTHS
    total = float(rows.sum())
    if not total:
        return most
    chance = share * (1 - share)
    spread = float((rows * (positives / rows - share) ** 2).sum())
    free = total - float((rows**2).sum()) / total
    excess = spread - (len(rows) - 1) * chance
    if excess <= 0 or free <= 0:
        return most
    return float(np.clip(chance * free / excess - 1.0, least, most))
