"""Numbers that stay numbers: from raw values to what a network takes, the same way everywhere.

A model's input carries raw values (float32, NaN where one is missing). What is done to them is
learned from the training rows alone, kept in the model folder, and applied by this module in
training, in scoring and in Triton; no other code transforms a number.

With x the raw value held within `clip`, and m and s the mean and the standard deviation of the
transformed training values:

- `standard`: (x - m) / s
- `minmax`: (x - least) / (greatest - least), held within 0 and 1
- `log1p`: log(1 + x), standardized; for values of 0 or more
- `signed_log1p`: sign(x) log(1 + |x|), standardized
- `quantile`: the normal score of x's rank, standardized; ranks between two knots of the training
  values are interpolated (Conover and Iman 1981, "Rank Transformations as a Bridge Between
  Parametric and Nonparametric Statistics")
- `none`: x
- `auto`: `quantile` for a column of more than `FEW` distinct values, else `standard`. Where training
  asks for the values' own scale, such a column has `standard`, or a logarithm where it is skewed or
  heavy-tailed

All but `none` are held within +-`LIMIT`, so that one absurd value of a request cannot decide
a score by itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.errors import ContractError, DataError
from nightshift.features.specification import Field, Number

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

LIMIT = 10.0
"""Largest transformed value, in standard deviations."""

FEW = 20
"""A column of at most so many distinct values gets one bin a value."""

KNOTS = 400
"""Knots of the `quantile` transform at most."""

_MOST_SKEW = 2.0
_MOST_KURTOSIS = 30.0

SAMPLE = 2_000_000
"""Quantiles of more values than these are taken from evenly spaced ones."""


@dataclass(frozen=True)
class NumberStatistics:
    """What the training rows say of one numeric field.

    Attributes:
        transform: the transform, `auto` resolved.
        low: raw values below count as this; None: no bound.
        high: raw values above count as this; None: no bound.
        fill: raw value that stands for a missing one; None: missing has an embedding of its own.
        shift: subtracted after the transform.
        scale: divided by after that.
        knots: raw values of the `quantile` transform, ascending, with `levels` beside.
        levels: normal scores at the knots.
        edges: lower bounds of all bins but the first, ascending; empty without bins.
    """

    transform: str
    low: float | None = None
    high: float | None = None
    fill: float | None = None
    shift: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; JSON holds a double exactly."""
        return {
            **asdict(self),
            **{name: list(getattr(self, name)) for name in ("knots", "levels", "edges")},
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> NumberStatistics:
        """Read what `to_json` gave.

        Raises:
            ContractError: a key is missing or unknown; `where` is named.
        """
        try:
            lists = {name: tuple(value[name]) for name in ("knots", "levels", "edges")}
            return cls(**{**value, **lists})
        except (TypeError, KeyError) as error:
            raise ContractError(f"{where} holds no statistics of a number: {error}") from error

    def filled(self, values: Floats) -> Floats:
        """Raw values with `fill` where one is missing; NaN stays where there is no fill."""
        if self.fill is None:
            return values
        return np.where(np.isnan(values), np.float32(self.fill), values)

    def apply(self, values: Floats) -> Floats:
        """What the network takes: float32 [n] of raw float32 [n]; NaN stays NaN without `fill`."""
        raw = self.filled(values).astype(np.float64)
        moved = (self._moved(raw) - self.shift) / self.scale
        if self.transform == "minmax":
            moved = np.clip(moved, 0.0, 1.0)
        elif self.transform != "none":
            moved = np.clip(moved, -LIMIT, LIMIT)
        return moved.astype(np.float32)

    def bin_of(self, values: Floats) -> npt.NDArray[np.int64]:
        """Bin of each raw value, from 1 on; 0 where it is missing and has no fill."""
        raw = self.filled(values)
        found = np.searchsorted(np.array(self.edges), raw.astype(np.float64), side="right") + 1
        return np.where(np.isnan(raw), 0, found).astype(np.int64)

    def _moved(self, raw: Doubles) -> Doubles:
        if self.low is not None or self.high is not None:
            raw = np.clip(raw, self.low, self.high)
        return _transformed(raw, self.transform, self.knots, self.levels)


def _transformed(
    raw: Doubles, transform: str, knots: tuple[float, ...], levels: tuple[float, ...]
) -> Doubles:
    if transform == "log1p":
        return np.asarray(np.log1p(np.maximum(raw, 0.0)))
    if transform == "signed_log1p":
        return np.asarray(np.sign(raw) * np.log1p(np.abs(raw)))
    if transform == "quantile":
        # interp gives a number for NaN only in some versions of NumPy.
        return np.where(np.isnan(raw), np.nan, np.interp(raw, knots, levels))
    return raw


def learn(
    values: Floats, field: Field, auto_bins: int = 0, *, own_scale: bool = False
) -> NumberStatistics:
    """Statistics of one field's training values.

    Args:
        values: raw float32 [n], NaN where one is missing.
        field: a field with a `number`.
        auto_bins: bins where the specification leaves their number to training.
        own_scale: `auto` keeps the values' own scale instead of their ranks.

    Raises:
        DataError: `log1p` of negative values.
    """
    number = field.number or Number()
    known = np.sort(values[~np.isnan(values)].astype(np.float64))
    if len(known) > SAMPLE:
        known = known[np.linspace(0, len(known) - 1, SAMPLE).astype(np.int64)]
    low, high = number.clip
    if low is not None or high is not None:
        known = np.clip(known, low, high)
    if number.transform == "log1p" and len(known) and known[0] < 0:
        raise DataError(
            f"numeric.{field.name} has transform log1p and holds {known[0]:g}; use signed_log1p, "
            "or clip: [0, null]"
        )
    distinct = np.unique(known)
    transform = number.transform
    if transform == "auto":
        ranked = "quantile" if not own_scale else _own_scale(known)
        transform = ranked if len(distinct) > FEW else "standard"
    if not len(known):
        # Nothing is known of the column: every value is as good as its absence.
        transform = "none" if transform == "none" else "standard"
    fill = _fill(number, known)
    knots, levels = _knots(known, distinct) if transform == "quantile" else ((), ())
    shift, scale = _moments(known, fill, len(values), transform, knots, levels)
    wanted = auto_bins if number.bins == "auto" else int(number.bins)
    return NumberStatistics(
        transform, low, high, fill, shift, scale, knots, levels, _edges(known, distinct, wanted)
    )


def _own_scale(known: Doubles) -> str:
    """The transform that keeps a scale: a logarithm where few values would have most of it."""
    z = (known - known.mean()) / (known.std() or 1.0)
    if abs(float((z**3).mean())) <= _MOST_SKEW and float((z**4).mean()) <= _MOST_KURTOSIS:
        return "standard"
    return "log1p" if known[0] >= 0 else "signed_log1p"


def _fill(number: Number, known: Doubles) -> float | None:
    if number.missing == "indicator":
        return None
    if isinstance(number.missing, float):
        return number.missing
    if number.missing == "zero" or not len(known):
        return 0.0
    return float(known.mean() if number.missing == "mean" else np.median(known))


def _knots(known: Doubles, distinct: Doubles) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Values at evenly spaced ranks, and the normal score of each one's middle rank."""
    if len(distinct) > KNOTS:
        at = np.linspace(0, len(known) - 1, KNOTS).astype(np.int64)
        distinct = np.unique(known[at])
    below = np.searchsorted(known, distinct, side="left")
    upto = np.searchsorted(known, distinct, side="right")
    ranks = (below + upto) / (2.0 * len(known))
    normal = NormalDist()
    return tuple(distinct.tolist()), tuple(normal.inv_cdf(rank) for rank in ranks.tolist())


def _moments(
    known: Doubles,
    fill: float | None,
    rows: int,
    transform: str,
    knots: tuple[float, ...],
    levels: tuple[float, ...],
) -> tuple[float, float]:
    if transform == "none" or not len(known):
        return 0.0, 1.0
    moved = _transformed(known, transform, knots, levels)
    if transform == "minmax":
        shift, scale = float(moved.min()), float(moved.max() - moved.min())
    else:
        shift, scale = float(moved.mean()), float(moved.std())
    # A constant's deviation is rounding noise, which would blow up what differs from it.
    return shift, scale if scale > 1e-9 * max(1.0, abs(shift)) else 1.0


def _edges(known: Doubles, distinct: Doubles, bins: int) -> tuple[float, ...]:
    if bins < 2 or len(distinct) < 2:
        return ()
    if len(distinct) <= max(bins, FEW):
        return tuple(distinct[1:].tolist())
    cuts = np.quantile(known, np.arange(1, bins) / bins, method="higher")
    return tuple(value for value in np.unique(cuts).tolist() if value > distinct[0])
