"""What values each feature takes: shares of the most frequent ones, for the drift check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import NULL_TEXT
from nightshift.features.specification import Field
from nightshift.features.stability import expected_profile, psi

TOP = 50
"""So many values a feature are listed; the others are summed."""

_LONGEST = 200


MOST_BY_DAY = 5000
"""A feature of more distinct values than these is not counted by the day."""

MOST_BY_WEEKDAY = 200
"""A feature of more distinct values than these is not summed up by the day of the week."""

MOST_STRETCHES = 60
"""So many stretches of days are compared with the days before, evenly spread over the data."""

USUAL_QUANTILE = 0.95
"""Of the stretches' indices, this quantile is what is usual."""

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
    """Counts of one feature's canonical texts over many batches, by day.

    Memory grows with the number of distinct values and of days, not with rows.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self.counts: Counter[bytes] = Counter()
        self.weekday_rows = np.zeros(WEEK, dtype=np.int64)
        self._places: dict[bytes, int] = {}
        self._by_day: dict[int, npt.NDArray[np.int32]] | None = {}

    def add(
        self,
        texts: list[bytes],
        codes: npt.NDArray[np.int64],
        days: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Count a batch: k texts, codes [n] into them, and the rows' days since 1970 [n]."""
        _count(self.counts, texts, codes)
        if days is None:
            self._by_day = None
            return
        self.weekday_rows += np.bincount(weekday_of(days), minlength=WEEK)
        if len(self.counts) > MOST_BY_DAY:
            self._by_day = None
        if self._by_day is not None:
            self._count_days(self._by_day, texts, codes, days)

    def _count_days(
        self,
        by_day: dict[int, npt.NDArray[np.int32]],
        texts: list[bytes],
        codes: npt.NDArray[np.int64],
        days: npt.NDArray[np.int32],
    ) -> None:
        if not len(codes):
            return
        present, codes = _distinct(codes)
        first = int(days.min())
        numbers, at = _distinct(days.astype(np.int64) - first)
        places = [self._places.setdefault(texts[n], len(self._places)) for n in present]
        table = np.bincount(at * len(present) + codes, minlength=len(numbers) * len(present))
        for day, counted in zip(
            (numbers + first).tolist(), table.reshape(len(numbers), len(present)), strict=True
        ):
            before = by_day.get(day, np.zeros(0, dtype=np.int32))
            by_day[day] = np.pad(before, (0, len(self._places) - len(before)))
            np.add.at(by_day[day], places, counted.astype(np.int32))

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
        weekdays = None
        if self._by_day is not None and self.distinct <= MOST_BY_WEEKDAY:
            weekdays = self._days().weekdays()
        return {
            **_summary(self.counts, _top(self.counts)),
            "weekday_rows": self.weekday_rows.tolist(),
            "weekdays": weekdays,
        }

    def usual(self, lengths: Iterable[int]) -> list[dict[str, Any]]:
        """How far stretches of days lie from the days before them, beyond what chance explains.

        Each stretch of so many days is taken for the newest days, all days before it for what a
        model learned from, and their index is measured as a night measures it, days of the week
        included. The first half of the days is only learned from.

        Args:
            lengths: lengths of stretches, in days.

        Returns:
            For each length that fits: `days`, `stretches` and `psi`, the 95 %
            quantile of what their indices are above chance. Empty where the days were not
            counted apart.
        """
        if not self._by_day:
            return []
        days, found = self._days(), []
        for length in sorted(set(lengths)):
            indices = days.indices(length)
            if indices:
                usual = float(np.quantile(indices, USUAL_QUANTILE, method="higher"))
                found.append({"days": length, "stretches": len(indices), "psi": round(usual, 6)})
        return found

    def _days(self) -> _Days:
        by_day = self._by_day or {}
        table = np.zeros((len(by_day), len(self._places)), dtype=np.int64)
        for row, day in enumerate(sorted(by_day)):
            table[row, : len(by_day[day])] = by_day[day]
        return _Days(np.array(sorted(by_day), dtype=np.int32), list(self._places), table)


class _Days:
    """Counts by day [d] and value [v].

    Args:
        days: int32 [d], days since 1970, ascending.
        texts: [v], the values.
        table: int64 [d, v].
    """

    def __init__(
        self, days: npt.NDArray[np.int32], texts: Sequence[bytes], table: npt.NDArray[np.int64]
    ) -> None:
        order = sorted(range(len(texts)), key=lambda at: texts[at])
        self.days, self.weekday = days, weekday_of(days)
        self.texts = [texts[at] for at in order]
        self.table = table[:, order]
        self._null = self.texts.index(NULL_TEXT) if NULL_TEXT in self.texts else None

    def weekdays(self) -> list[dict[str, Any]]:
        """A summary for each day of the week, Monday first."""
        return [self._of(self.table[self.weekday == day].sum(axis=0)) for day in range(WEEK)]

    def indices(self, length: int) -> list[float]:
        """By stretch of `length` days that has rows: its index beyond chance, 0 at least."""
        found: list[float] = []
        if not len(self.days):
            return found
        half = (self.days[-1] - self.days[0] + 2) // 2
        starts = np.arange(self.days[0] + half, self.days[-1] - length + 2)
        if len(starts) > MOST_STRETCHES:
            starts = starts[np.linspace(0, len(starts) - 1, MOST_STRETCHES).astype(np.int64)]
        before = np.vstack([np.zeros_like(self.table[:1]), self.table.cumsum(axis=0)])
        for start in starts:
            first, end = np.searchsorted(self.days, [start, start + length])
            if first < end:
                found.append(self._index(first, end, before[first], before[end] - before[first]))
        return found

    def _index(
        self, first: int, end: int, before: npt.NDArray[np.int64], inside: npt.NDArray[np.int64]
    ) -> float:
        newest, learned = self._of(inside), self._of(before)
        if len(self.texts) <= MOST_BY_WEEKDAY:
            rows = self.table[first:end].sum(axis=1)
            weekday_rows = np.bincount(self.weekday[first:end], weights=rows, minlength=WEEK)
            newest["weekday_rows"] = weekday_rows.tolist()
            past, weekday = self.table[:first], self.weekday[:first]
            learned["weekdays"] = [
                self._of(past[weekday == day].sum(axis=0)) if weekday_rows[day] else {"rows": 0}
                for day in range(WEEK)
            ]
        index, chance = psi(expected_profile(learned, newest), newest)
        return max(0.0, index - chance)

    def _of(self, counts: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The summary of counts by value."""
        present = np.flatnonzero(counts)
        distinct = len(present)
        if distinct > TOP + 1:  # those that may be among the first, ties with the last included
            least = np.partition(counts[present], distinct - TOP - 1)[distinct - TOP - 1]
            present = present[counts[present] >= least]
        # Ties in text order, as in `_top`: the texts are sorted, and so is a stable order.
        present = present[np.argsort(-counts[present], kind="stable")]
        top = [at for at in present[: TOP + 1] if at != self._null][:TOP]
        return _shares(
            {self.texts[at]: int(counts[at]) for at in top},
            [self.texts[at] for at in top],
            rows=int(counts.sum()),
            distinct=distinct,
            nulls=0 if self._null is None else int(counts[self._null]),
        )


def _distinct(
    values: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`np.unique` with the inverse, of small whole numbers from 0 on: it counts and does not sort."""
    found = np.flatnonzero(np.bincount(values))
    at = np.empty(len(found) and int(found[-1]) + 1, dtype=np.int64)
    at[found] = np.arange(len(found))
    return found, at[values]


def _count(counts: Counter[bytes], texts: list[bytes], codes: npt.NDArray[np.int64]) -> None:
    found = np.bincount(codes, minlength=len(texts))
    for at in np.flatnonzero(found):
        counts[texts[at]] += int(found[at])


def _top(counts: Counter[bytes]) -> list[bytes]:
    """The most frequent values, ties in text order."""
    valued = [(text, n) for text, n in counts.items() if text != NULL_TEXT]
    return [text for text, _ in sorted(valued, key=lambda item: (-item[1], item[0]))[:TOP]]


def _summary(counts: Counter[bytes], top: Iterable[bytes]) -> dict[str, Any]:
    rows, nulls = sum(counts.values()), counts.get(NULL_TEXT, 0)
    return _shares(counts, top, rows=rows, distinct=len(counts), nulls=nulls)


def _shares(
    counts: Mapping[bytes, int], top: Iterable[bytes], *, rows: int, distinct: int, nulls: int
) -> dict[str, Any]:
    bins: dict[str, float] = {}
    listed = 0
    for text in top:
        name = text.decode(errors="backslashreplace")[:_LONGEST]
        bins[name] = bins.get(name, 0.0) + counts[text] / max(rows, 1)
        listed += counts[text]
    return {
        "rows": rows,
        "distinct": distinct,
        "null_share": nulls / max(rows, 1),
        "bins": bins,
        "other_share": (rows - nulls - listed) / max(rows, 1),
    }
