"""What values each feature takes: shares of the most frequent ones, for the drift check."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import NULL_TEXT
from nightshift.features.stability import expected_profile, psi
from nightshift.features.values import FieldValues

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


def weekday_of(days: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Day of the week of day numbers [n], Monday 0: 1970-01-01 was a Thursday."""
    return (days.astype(np.int64) + 3) % WEEK


@dataclass(frozen=True)
class RowDays:
    """The days of a batch's rows, put in order once for all of its features.

    Attributes:
        numbers: the distinct days since 1970, int64 [d], ascending.
        at: which of them each row has, int64 [n].
        bounds: where the rows of each day begin and end, int64 [d + 1], if rows are in the order
            of their days; None if they are not.
        weekday_rows: rows by day of the week, int64 [7], Monday first.
    """

    numbers: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64] | None
    weekday_rows: npt.NDArray[np.int64]


def row_days(days: npt.NDArray[np.int32]) -> RowDays:
    """The days of n rows, int32 [n], days since 1970."""
    first = int(days.min()) if len(days) else 0
    numbers, at = _distinct(days.astype(np.int64) - first)
    counts = np.bincount(at, minlength=len(numbers))
    weekday_rows = np.zeros(WEEK, dtype=np.int64)
    np.add.at(weekday_rows, weekday_of(numbers + first), counts)
    in_order = bool((days[1:] >= days[:-1]).all())
    bounds = np.concatenate([[0], counts.cumsum()]) if in_order else None
    return RowDays(numbers + first, at, bounds, weekday_rows)


class FeatureProfile:
    """Counts of one feature's values over many batches, by day.

    Memory grows with the number of distinct values and of days, not with rows.

    Args:
        values: the feature's values; several profiles may share them.
    """

    def __init__(self, values: FieldValues) -> None:
        self.values = values
        self.weekday_rows = np.zeros(WEEK, dtype=np.int64)
        self._counts = np.zeros(0, dtype=np.int64)
        self._rows_of_days: dict[int, int] = {}
        self._by_day: npt.NDArray[np.int64] | None = np.zeros((0, 0), dtype=np.int64)

    def add(self, places: npt.NDArray[Any], days: RowDays | None = None) -> None:
        """Count n rows: places [n] of their values, whole numbers, and their days."""
        self._counts = _grown(self._counts, (len(self.values),))
        if days is None or len(self.values) > MOST_BY_DAY:
            self._by_day = None
        if days is not None:
            self.weekday_rows += days.weekday_rows
        if self._by_day is not None and days is not None and len(places):
            table = _by_day(places, days)
            counted = table.sum(axis=0)
            self._by_day = self._with_days(self._by_day, table, days)
        elif len(places) < len(self.values) // 16:
            found, counted = np.unique(places, return_counts=True)
            self._counts[found] += counted
            return
        else:
            counted = np.bincount(places)
        self._counts[: len(counted)] += counted

    def _with_days(
        self, by_day: npt.NDArray[np.int64], table: npt.NDArray[np.int64], days: RowDays
    ) -> npt.NDArray[np.int64]:
        of_days = self._rows_of_days
        rows = [of_days.setdefault(day, len(of_days)) for day in days.numbers.tolist()]
        by_day = _grown(by_day, (len(of_days), len(self.values)))
        by_day[rows, : table.shape[1]] += table
        return by_day

    @property
    def distinct(self) -> int:
        """Number of distinct values, NULL being one."""
        return int(np.count_nonzero(self._counts))

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
            **self._total(),
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
        if self._by_day is None or not self._rows_of_days:
            return []
        days, found = self._days(), []
        for length in sorted(set(lengths)):
            indices = days.indices(length)
            if indices:
                usual = float(np.quantile(indices, USUAL_QUANTILE, method="higher"))
                found.append({"days": length, "stretches": len(indices), "psi": round(usual, 6)})
        return found

    def _total(self) -> dict[str, Any]:
        counts = self._counts
        null = self.values.place_of(NULL_TEXT)
        null = None if null is not None and null >= len(counts) else null
        top = np.array(self._top(null), dtype=np.int64)
        texts = self.values.texts(top)
        return _shares(
            dict(zip(texts, counts[top].tolist(), strict=True)),
            texts,
            rows=int(counts.sum()),
            distinct=self.distinct,
            nulls=0 if null is None else int(counts[null]),
        )

    def _top(self, null: int | None) -> list[int]:
        """Places of the most frequent values but NULL, ties in text order."""
        counts = self._counts
        places = _foremost(counts)
        places = places[places != null] if null is not None else places
        if not len(places):
            return []
        # Of the rarest among them there may be very many, as of users with one row each.
        rarest = counts[places] == counts[places].min()
        more = self._in_order(places[~rarest])[:TOP]
        return [*more, *self.values.least(places[rarest], TOP - len(more))]

    def _in_order(self, places: npt.NDArray[np.int64]) -> list[int]:
        named = zip(
            (-self._counts[places]).tolist(),
            self.values.texts(places),
            places.tolist(),
            strict=True,
        )
        return [place for _, _, place in sorted(named)]

    def _days(self) -> _Days:
        days = sorted(self._rows_of_days)
        rows = [self._rows_of_days[day] for day in days]
        counted = np.zeros((0, 0), np.int64) if self._by_day is None else self._by_day
        width = min(len(self.values), counted.shape[1])
        return _Days(
            np.array(days, np.int32), self.values.texts(np.arange(width)), counted[rows, :width]
        )


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
        present = _foremost(counts)
        # Ties in text order, as in `_top`: the texts are sorted, and so is a stable order.
        present = present[np.argsort(-counts[present], kind="stable")]
        top = [at for at in present[: TOP + 1] if at != self._null][:TOP]
        return _shares(
            {self.texts[at]: int(counts[at]) for at in top},
            [self.texts[at] for at in top],
            rows=int(counts.sum()),
            distinct=int(np.count_nonzero(counts)),
            nulls=0 if self._null is None else int(counts[self._null]),
        )


def _by_day(places: npt.NDArray[Any], days: RowDays) -> npt.NDArray[np.int64]:
    """Rows by day [d] and place [p]: int64 [d, p], p above the largest place."""
    shape = (len(days.numbers), int(places.max()) + 1)
    if days.bounds is None:
        at = days.at * shape[1] + places
        return np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)
    table = np.empty(shape, dtype=np.int64)
    for day, (start, end) in enumerate(itertools.pairwise(days.bounds.tolist())):
        table[day] = np.bincount(places[start:end], minlength=shape[1])
    return table


def _distinct(
    values: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`np.unique` with the inverse, of small whole numbers from 0 on: it counts and does not sort."""
    found = np.flatnonzero(np.bincount(values))
    at = np.empty(len(found) and int(found[-1]) + 1, dtype=np.int64)
    at[found] = np.arange(len(found))
    return found, at[values]


def _foremost(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Places that may be among the `TOP` most frequent and NULL, ties with the last included."""
    most = TOP + 1
    least = (
        np.partition(counts, len(counts) - most)[len(counts) - most] if len(counts) > most else 1
    )
    return np.flatnonzero(counts >= max(1, least))


def _grown(counts: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The same counts with room for `shape`, by doubling; zeros where there were none."""
    if all(had >= needed for had, needed in zip(counts.shape, shape, strict=True)):
        return counts
    room = [
        had if had >= needed else max(needed, 2 * had)
        for had, needed in zip(counts.shape, shape, strict=True)
    ]
    grown = np.zeros(room, dtype=np.int64)
    grown[tuple(slice(had) for had in counts.shape)] = counts
    return grown


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
