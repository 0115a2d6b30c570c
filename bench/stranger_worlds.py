"""Worlds drawn at random, for `bench/strangers.py`: nobody chose their columns or effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from bench.stranger_data import DAYS, Doubles, Made, Whole, labels_of, power_ids, table_of

_SHAPES = ("lin", "lin", "sat", "thr", "bell", "none", "none")
_FORMS = ("raw", "exp", "count", "round", "scale")
_SHARES = (0.015, 0.03, 0.05, 0.1, 0.2, 0.4)


def worlds(rows: int, seed: int) -> Made:
    """2 to 11 categories, 2 to 15 numbers, up to 4 products of them, days that differ, or none.

    Which effects there are, their shapes and strengths, the scales and gaps of numbers and the share
    of positives (1.5 to 40 %) are drawn, too.
    """
    rng = np.random.default_rng([seed, 77])
    kinds, count = int(rng.integers(2, 12)), int(rng.integers(2, 16))
    logit = np.zeros(rows)
    ids: dict[str, Whole] = {}
    vectors: list[Doubles] = []
    for at in range(kinds):
        size = int(np.exp(rng.uniform(np.log(2), np.log(8000))))
        taken = power_ids(rng, rows, size, float(rng.uniform(0.1, 1.1)))
        ids[f"c{at}"] = taken
        strength = rng.choice([0, 0.15, 0.35, 0.6], p=[0.25, 0.3, 0.3, 0.15])
        logit += strength * rng.normal(size=size)[taken]
        vectors.append(rng.normal(size=(size, 3))[taken])
    values: list[Doubles] = []
    numbers: dict[str, Any] = {}
    for at in range(count):
        z = rng.normal(size=rows)
        if rng.random() < 0.3 and values:
            z = 0.7 * z + 0.7 * values[int(rng.integers(len(values)))]
        if rng.random() < 0.25:
            z = 0.8 * z + 0.6 * vectors[int(rng.integers(kinds))][:, 0]
        values.append(z)
        logit += _effect(rng, z)
        numbers[f"n{at}"] = _column(rng, z)
    for _ in range(int(rng.integers(0, 5))):
        logit += _product(rng, vectors, values)
    day = np.arange(rows) / rows
    if rng.random() < 0.4:
        logit += rng.normal(0, 0.4, DAYS)[np.minimum((day * DAYS).astype(int), DAYS - 1)]
    if rng.random() < 0.4:
        logit += 0.5 * (day - 0.5) * 2 * vectors[int(rng.integers(kinds))][:, 2]
    return table_of(rng, labels_of(rng, logit, float(rng.choice(_SHARES))), ids, numbers)


def _effect(rng: np.random.Generator, z: Doubles) -> Doubles:
    """What a number does to the logit."""
    shape, strength = rng.choice(_SHAPES), float(rng.choice([0.1, 0.25, 0.5]))
    # Both places are drawn whatever the shape, so that a shape does not move what follows.
    threshold, middle = rng.normal(), rng.normal()
    found: Doubles = {
        "lin": z,
        "sat": np.tanh(2 * z),
        "thr": 1.0 * (z > threshold),
        "bell": np.exp(-((z - middle) ** 2)),
        "none": 0 * z,
    }[shape]
    return strength * float(rng.choice([-1, 1])) * found


def _column(rng: np.random.Generator, z: Doubles) -> Any:
    """A number as the table holds it."""
    form, power, more = rng.choice(_FORMS), rng.uniform(0.5, 2), rng.uniform(0, 1.5)
    shift = rng.normal()
    if form == "count":
        return np.floor(np.exp(z + more)).astype(np.int64)
    found: Doubles = {
        "raw": z,
        "exp": np.exp(power * z + 2),
        "round": np.round(z, 1),
        "scale": 1e4 * z + shift * 1e4,
    }[form]
    return pa.array(found, mask=rng.random(len(z)) < rng.choice([0, 0, 0.05, 0.2]))


def _product(rng: np.random.Generator, vectors: list[Doubles], values: list[Doubles]) -> Doubles:
    """An effect of two columns together."""
    one, other = rng.choice(len(vectors), 2, replace=False)
    strength = float(rng.choice([0.1, 0.2, 0.35]))
    kind = int(rng.integers(3))
    if kind == 0:
        found: Doubles = (vectors[one] * vectors[other]).sum(axis=1)
    elif kind == 1:
        found = vectors[one][:, 1] * values[int(rng.integers(len(values)))]
    else:
        first, second = rng.choice(len(values), 2, replace=False)
        found = values[first] * values[second]
    return strength * found
