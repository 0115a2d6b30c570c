"""What values each feature takes: shares of the most frequent ones, for the drift check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import NULL_TEXT
from nightshift.features.specification import Field

TOP = 50
"""So many values a feature are listed; the others are summed."""

_LONGEST = 200


MOST_BY_WEEKDAY = 200
"""A feature of more distinct values than these is not counted by the day of the week."""

WEEK = 7


def weekday_of(days: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Day of the week of day numbers [n], Monday 0: 1970-01-01 was a Thursday."""
    return (days.astype(np.int64) + 3) % WEEK


def number_buckets(
    values: npt.NDArray[np.float32],
) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Buckets of numbers, which hardly ever repeat, so that their shares can be compared.

    A bucket holds what begins with the same digit: [0.3, 0.4), [200, 300), [-7, -6), 0. Buckets
    need no pass over the data first and are the same every night.

    Args:
        values: float32 [n], NaN where one is missing.

    Returns:
        Texts and codes as `unique_texts` gives them: NULL's text is the last.
    """
    known = ~np.isnan(values)
    doubles = np.abs(np.where(known, values, 0.0).astype(np.float64))
    power = np.floor(np.log10(np.where(doubles > 0, doubles, 1.0))).astype(np.int64)
    digit = np.clip(np.floor(doubles / 10.0**power + 1e-9), 0, 9).astype(np.int64)
    sign = np.where(values < 0, -1, 1)
    key = np.where(doubles > 0, (power + 400) * 10 + digit, 0) * sign
    distinct, codes = np.unique(key[known], return_inverse=True)
    texts = [_bucket(value) for value in distinct.tolist()]
    all_codes = np.full(len(values), len(texts), dtype=np.int64)
    all_codes[known] = codes
    return [*texts, NULL_TEXT], all_codes


def _bucket(key: int) -> bytes:
    if key == 0:
        return b"0"
    power, digit = divmod(abs(key), 10)
    power -= 400
    low, high = f"{digit}e{power}", f"{digit + 1}e{power}"
    first, last = (f"{float(low):g}", f"{float(high):g}")
    return (f"[{first}, {last})" if key > 0 else f"(-{last}, -{first}]").encode()


class FeatureProfile:
    """Counts of one feature's canonical texts over many batches.

    Memory grows with the number of distinct values, not with rows.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self.counts: Counter[bytes] = Counter()
        self.weekday_rows = np.zeros(WEEK, dtype=np.int64)
        self._by_weekday: list[Counter[bytes]] | None = [Counter() for _ in range(WEEK)]

    def add(
        self,
        texts: list[bytes],
        codes: npt.NDArray[np.int64],
        weekdays: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Count a batch: k texts, codes [n] into them, and the rows' days of the week [n]."""
        _count(self.counts, texts, codes)
        if weekdays is None:
            self._by_weekday = None
            return
        self.weekday_rows += np.bincount(weekdays, minlength=WEEK)
        if len(self.counts) > MOST_BY_WEEKDAY:
            self._by_weekday = None
        if self._by_weekday is not None:
            for day in np.unique(weekdays):
                _count(self._by_weekday[day], texts, codes[weekdays == day])

    @property
    def distinct(self) -> int:
        """Number of distinct values, NULL being one."""
        return len(self.counts)

    def summary(self) -> dict[str, Any]:
        """Rows, distinct values, and shares: NULL's, the `TOP` most frequent, all others.

        `bins` maps a value's canonical text to its share of the rows, ties in text order; NULL
        is not among them. `null_share`, `other_share` and the bins add up to 1.

        `weekday_rows` are the rows by day of the week from Monday on; `weekdays` the same summary
        for each day of the week, None where a feature has too many values for it.
        """
        by_weekday = self._by_weekday
        return {
            **_summary(self.counts, _top(self.counts)),
            "weekday_rows": self.weekday_rows.tolist(),
            "weekdays": None
            if by_weekday is None
            else [_summary(counts, _top(counts)) for counts in by_weekday],
        }


def _count(counts: Counter[bytes], texts: list[bytes], codes: npt.NDArray[np.int64]) -> None:
    found = np.bincount(codes, minlength=len(texts))
    for at in np.flatnonzero(found):
        counts[texts[at]] += int(found[at])


def _top(counts: Counter[bytes]) -> list[bytes]:
    """The most frequent values, ties in text order."""
    valued = [(text, n) for text, n in counts.items() if text != NULL_TEXT]
    return [text for text, _ in sorted(valued, key=lambda item: (-item[1], item[0]))[:TOP]]


def _summary(counts: Counter[bytes], top: Iterable[bytes]) -> dict[str, Any]:
    rows = sum(counts.values())
    nulls = counts.get(NULL_TEXT, 0)
    bins: dict[str, float] = {}
    listed = 0
    for text in top:
        name = text.decode(errors="backslashreplace")[:_LONGEST]
        bins[name] = bins.get(name, 0.0) + counts[text] / max(rows, 1)
        listed += counts[text]
    return {
        "rows": rows,
        "distinct": len(counts),
        "null_share": nulls / max(rows, 1),
        "bins": bins,
        "other_share": (rows - nulls - listed) / max(rows, 1),
    }
