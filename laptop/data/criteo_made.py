"""Make files of Criteo's shape with a known truth, since the real ones cannot be shipped.

13 counts (long-tailed, some missing, one with a few negative values) and 26 categories (power
laws; 3 to hundreds of thousands of values). The logit of a click adds up:

- a normal effect of each value of each category;
- effects of the counts: on the log scale, a threshold, a bell, a saturation;
- products of hidden vectors of pairs of categories, which a sum of effects cannot hold;
- a count whose slope depends on a category.

Half of the categories and three of the counts mean nothing. An effect is a function of (seed,
field, value) alone, so a world has no tables and any number of rows can be made. The truth, the
probability of each row, is written beside the file: its AUC is the best that any model can reach.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from laptop.data.criteo import CATEGORIES, DENSE
from nightshift import files
from nightshift.errors import ConfigurationError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIZES = (1400, 550, 250_000, 80_000, 300, 20, 12_000, 600, 3, 40_000, 5000, 200_000, 3100,
         27, 11_000, 150_000, 10, 4700, 2000, 4, 180_000, 18, 15, 50_000, 100, 35_000)  # fmt: skip
"""Values of each category; near those of the challenge's 45 million rows, the largest cut."""

_STRENGTHS = (0.35, 0.3, 0.25, 0.25, 0.25, 0.15, 0.3, 0.2, 0.15, 0.3, 0.25, 0.2, 0.25,
              *(0.0,) * 13)  # fmt: skip
_PAIRS = ((0, 6, 0.35), (1, 9, 0.35), (4, 13, 0.3), (5, 12, 0.3))
"""Pairs of categories with hidden vectors, and how much they matter."""

_VECTOR = 4
_MISSING = (0.45, 0.0, 0.22, 0.22, 0.03, 0.22, 0.04, 0.001, 0.04, 0.45, 0.04, 0.75, 0.22)
_CHUNK = 100_000
_SAMPLE = 200_000


@dataclass(frozen=True)
class World:
    """What tells one made file from another.

    Attributes:
        seed: of everything.
        positive_rate: share of clicks.
    """

    seed: int = 1
    positive_rate: float = 0.25

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigurationError(f"the seed is {self.seed}; it must not be negative")
        if not 0.001 <= self.positive_rate <= 0.9:
            raise ConfigurationError(
                f"the share of positives is {self.positive_rate}; it must be 0.001 to 0.9"
            )

    def rows(self, chunk: int, count: int) -> tuple[Floats, Ints, Floats]:
        """Some rows of the chunk of a number.

        Returns:
            Counts float64 [n, 13] (NaN is missing), categories int64 [n, 26], logits float64 [n]
            without the intercept.
        """
        rng = np.random.default_rng([self.seed, 1, chunk])
        uniform = rng.random((count, len(CATEGORIES)))
        # A power law by inversion: the density of the value's rank falls as 1 / rank^0.9.
        sizes = np.array(SIZES)
        ids = np.minimum(((sizes**0.1 - 1.0) * uniform + 1.0) ** 10 - 1.0, sizes - 1).astype(
            np.int64
        )
        scale = rng.gamma(0.6, 12.0, (count, len(DENSE)))
        counts = rng.poisson(scale).astype(np.float64)
        counts[:, 1] -= 3  # the second one has negative values, as Criteo's
        counts[:, 4] = np.floor(rng.lognormal(7.0, 2.0, count))
        logit = self._of_categories(ids) + self._of_counts(counts, ids)
        counts[rng.random(counts.shape) < np.array(_MISSING)] = np.nan
        return counts, ids, logit

    def _of_categories(self, ids: Ints) -> Floats:
        logit = np.zeros(len(ids))
        for field, strength in enumerate(_STRENGTHS):
            if strength:
                logit += strength * _normal(self.seed, field, ids[:, field])
        for number, (left, right, strength) in enumerate(_PAIRS):
            for axis in range(_VECTOR):
                key = 100 + number * 2 * _VECTOR + 2 * axis
                product = _normal(self.seed, key, ids[:, left])
                product = product * _normal(self.seed, key + 1, ids[:, right])
                logit += strength / np.sqrt(_VECTOR) * product
        return logit

    def _of_counts(self, counts: Floats, ids: Ints) -> Floats:
        logs = np.log1p(np.maximum(counts, 0))
        logit = (
            0.3 * (logs[:, 0] - 1.5) - 0.35 * (counts[:, 2] > 6) + 0.15 * np.tanh(counts[:, 1] / 5)
        )
        logit += 0.5 * np.exp(-(((logs[:, 4] - 7.5) / 1.2) ** 2)) - 0.2 * (logs[:, 5] - 1.5)
        logit += 0.2 * np.minimum(counts[:, 6], 10) / 10 + 0.15 * (counts[:, 7] == 0)
        logit += 0.25 * (logs[:, 8] - 1.5) * np.sign(_normal(self.seed, 90, ids[:, 8]))
        logit += 0.1 * (logs[:, 10] - 1.5) * (ids[:, 5] % 2)
        return logit

    def intercept(self) -> float:
        """What gives the share of positives."""
        logit = self.rows(-1 % (1 << 31), _SAMPLE)[2]
        low, high = -20.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            high, low = (middle, low) if _chance(logit + middle).mean() > self.positive_rate else (
                high, middle)  # fmt: skip
        return low


def _chance(logit: Floats) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-logit))
    return chance


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer (Steele et al. 2014): nearby values become unrelated ones."""
    with np.errstate(over="ignore"):
        values = values * np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _normal(seed: int, key: int, ids: Ints) -> Floats:
    """A normal number for each (seed, key, id), always the same: Box and Muller's of two hashes."""
    base = _mixed(np.array([seed * 4096 + key], np.uint64))
    first = _mixed(ids.astype(np.uint64) ^ base)
    unit = (first >> np.uint64(11)).astype(np.float64) / 2**53
    angle = (_mixed(first) >> np.uint64(11)).astype(np.float64) / 2**53
    found: Floats = np.sqrt(-2 * np.log(np.maximum(unit, 1e-300))) * np.cos(2 * np.pi * angle)
    return found


def make(
    folder: Path, world: World, rows: int, said: Callable[[str], None] = lambda text: None
) -> Path:
    """Write `train.txt` in Criteo's format, `truth.txt` and `world.json` into a new folder.

    Args:
        folder: replaced as a whole.
        world: whose rows they are.
        rows: number of rows.
        said: told how far it is.

    Returns:
        The file `train.txt`. `truth.txt` has the probability of a click for each of its lines.

    Raises:
        ConfigurationError: there is no row to make.
    """
    if not 1 <= rows <= 200_000_000:
        raise ConfigurationError(f"rows is {rows}; it must be 1 to 200,000,000")
    intercept = world.intercept()
    positives = 0
    with files.staged_dir(folder, replace=True) as staged:
        with (
            (staged / "train.txt").open("w", encoding="ascii") as train,
            (staged / "truth.txt").open("w", encoding="ascii") as truth,
        ):
            for chunk, first in enumerate(range(0, rows, _CHUNK)):
                count = min(_CHUNK, rows - first)
                positives += _write(world, intercept, chunk, count, train, truth)
                said(f"{first + count} rows")
        about: dict[str, Any] = {
            "seed": world.seed,
            "positive_rate": world.positive_rate,
            "rows": rows,
            "positives": positives,
            "intercept": intercept,
        }
        (staged / "world.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return folder / "train.txt"


def _write(
    world: World, intercept: float, chunk: int, count: int, train: IO[str], truth: IO[str]
) -> int:
    """Write a chunk's rows; their positives."""
    counts, ids, logit = world.rows(chunk, _CHUNK)
    chance = _chance(logit[:count] + intercept)
    labels = np.random.default_rng([world.seed, 2, chunk]).random(count) < chance
    names = [_mixed(ids[:count, f].astype(np.uint64) ^ _mixed(np.array([f + 1], np.uint64)))
             for f in range(len(CATEGORIES))]  # fmt: skip
    cells: list[list[str]] = [["1" if label else "0" for label in labels.tolist()]]
    cells += [
        ["" if value != value else str(int(value)) for value in counts[:count, at].tolist()]
        for at in range(len(DENSE))
    ]
    cells += [[f"{value & 0xFFFFFFFF:08x}" for value in column.tolist()] for column in names]
    train.writelines("\t".join(row) + "\n" for row in zip(*cells, strict=True))
    truth.writelines(f"{value:.6g}\n" for value in chance.tolist())
    return int(labels.sum())
