"""How much a feature's distribution differs between two times, and how much it usually does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def psi(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> tuple[float, float]:
    """Population stability index of one feature, and how large chance alone makes it.

    The index is sum((a - e) * ln(a / e)) over bins (Siddiqi, 2006): NULL, each value that either
    side lists, and all others. A value that one side does not list has, there, the mean share
    of its unlisted values. Shares are held above half a row, so that an empty bin is finite.

    Under no drift the index is about (1/n + 1/m) * chi-squared with (bins - 1) degrees of
    freedom (Yurdakul, 2018); the second figure is its 95 % quantile.

    Args:
        expected: the champion's profile: rows, distinct, null_share, bins, other_share.
        actual: tonight's profile, likewise.

    Returns:
        (index, index that 5 % of undrifted samples exceed); both 0 where a side has no rows.
    """
    if not expected["rows"] or not actual["rows"]:
        return 0.0, 0.0
    values = sorted({*expected["bins"], *actual["bins"]})
    one, two = _shares(expected, values), _shares(actual, values)
    least = [0.5 / expected["rows"], 0.5 / actual["rows"]]
    index, bins = 0.0, 0
    for e, a in zip(one, two, strict=True):
        if e <= 0 and a <= 0:
            continue
        bins += 1
        e, a = max(e, least[0]), max(a, least[1])
        index += (a - e) * math.log(a / e)
    spread = 1 / expected["rows"] + 1 / actual["rows"]
    return index, spread * _chi2_95(bins - 1)


def _shares(profile: Mapping[str, Any], values: Sequence[str]) -> list[float]:
    bins = profile["bins"]
    other = float(profile["other_share"])
    unlisted = int(profile["distinct"]) - len(bins) - (1 if profile["null_share"] else 0)
    mean = other / unlisted if unlisted > 0 else 0.0
    shares = []
    for value in values:
        if value in bins:
            shares.append(float(bins[value]))
        else:
            shares.append(min(mean, other))
            other -= shares[-1]
    return [float(profile["null_share"]), *shares, max(other, 0.0)]


def _chi2_95(degrees: int) -> float:
    """95 % quantile of chi-squared (Wilson and Hilferty, 1931)."""
    if degrees < 1:
        return 0.0
    k = 2 / (9 * degrees)
    return float(degrees * (1 - k + 1.6449 * math.sqrt(k)) ** 3)


def expected_profile(champion: Mapping[str, Any], recent: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the champion's training rows would show on the recent rows' days of the week.

    A feature that follows the week (a weekday, or what people do on Sundays) differs from a whole
    month by its nature, when the newest days hold but some of the weekdays. So each day of the
    week of the training data is weighted as it stands among the recent rows.

    Args:
        champion: the training profile of a feature.
        recent: tonight's.

    Returns:
        A profile like `champion`; `champion` itself where the days of the week are not known.
    """
    parts, weights = champion.get("weekdays"), recent.get("weekday_rows")
    if not parts or not weights or not sum(weights):
        return champion
    used = [(part, n / sum(weights)) for part, n in zip(parts, weights, strict=True) if n]
    if any(not part["rows"] for part, _ in used):
        return champion
    bins: dict[str, float] = {}
    for part, weight in used:
        for value, share in part["bins"].items():
            bins[value] = bins.get(value, 0.0) + weight * share
    return {
        "rows": sum(part["rows"] for part, _ in used),
        "distinct": champion["distinct"],
        "null_share": sum(weight * part["null_share"] for part, weight in used),
        "bins": bins,
        "other_share": sum(weight * part["other_share"] for part, weight in used),
    }


def usual_psi(champion: Mapping[str, Any], days: int) -> tuple[float, int]:
    """By how much a stretch of the training data's days differs from the days before it.

    Rows are no independent draws: a few users make most rows of a day, and days and seasons
    differ. A handful of days then differs from the months before by far more than its number of
    rows explains. The training
    data itself shows by how much (`FeatureProfile.usual`); only what is beyond that is news.

    Args:
        champion: the training profile of a feature.
        days: length of the stretch that is judged. Where the profile has not measured this
            length, the next shorter one counts: it varies more.

    Returns:
        (index beyond chance that 5 % of the stretches exceed, length that was measured); (0, 0)
        where none was.
    """
    fitting = [one for one in champion.get("usual") or () if one["days"] <= days]
    if not fitting:
        return 0.0, 0
    longest = max(fitting, key=lambda one: int(one["days"]))
    return float(longest["psi"]), int(longest["days"])
