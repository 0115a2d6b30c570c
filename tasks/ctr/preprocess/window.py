"""Which day each row belongs to, and which split each day goes to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightshift.errors import DataError
from nightshift.layout import parse_date
from nightshift.zones import Zone

DAY_MS = 86_400_000
EPOCH = dt.date(1970, 1, 1)

TRAIN, VALID, TEST = 0, 1, 2
SPLITS = ("train", "valid", "test")
LEFT_OUT = 255
"""Split code of a row that no split takes."""

Days = npt.NDArray[np.int32]


@dataclass(frozen=True)
class WindowRule:
    """What decides a row's split.

    Attributes:
        ds: the run's date.
        train_days: days of requests to learn from, up to and with `ds`.
        label_settle_days: a row of day d counts as judged when d <= ds - this.
        test_days: last judged days, held out.
        valid_days: judged days before those.
        zone: whose days they are.
    """

    ds: dt.date
    train_days: int
    label_settle_days: int
    test_days: int
    valid_days: int
    zone: Zone = Zone()

    @property
    def first_day(self) -> int:
        """First day of the window, in days since 1970."""
        return self.last_day - self.train_days + 1

    @property
    def last_day(self) -> int:
        """The run's date, in days since 1970."""
        return (self.ds - EPOCH).days

    @property
    def last_judged_day(self) -> int:
        """Last day whose labels have settled."""
        return self.last_day - self.label_settle_days

    @property
    def newest_days(self) -> int:
        """Days after the last training day, where each day has judged rows; at least 1."""
        return max(1, self.label_settle_days + self.test_days + self.valid_days)


def rule_of(
    ds: str,
    train_days: int,
    label_settle_days: int,
    test_days: int,
    valid_days: int,
    zone: Zone = Zone(),  # noqa: B008 (frozen)
) -> WindowRule:
    """A checked `WindowRule`.

    Raises:
        ConfigurationError: `ds` is not a date.
        DataError: the window has no room for a training day.
    """
    rule = WindowRule(parse_date(ds), train_days, label_settle_days, test_days, valid_days, zone)
    needed = label_settle_days + test_days + valid_days + 1
    if train_days < needed:
        raise DataError(
            f"train_days is {train_days}; {label_settle_days} days to settle, {test_days} to test, "
            f"{valid_days} to validate and at least 1 to train on need {needed}: raise train_days, "
            "or lower label_settle_days, test_days or valid_days"
        )
    return rule


def date_of(day: int) -> str:
    """`YYYY-MM-DD` of a day number."""
    return (EPOCH + dt.timedelta(days=int(day))).isoformat()


def days_of(
    times: pa.Array | pa.ChunkedArray,
    name: str,
    zone: Zone = Zone(),  # noqa: B008 (frozen)
) -> Days:
    """Day number (days since 1970, in the zone) of each timestamp: int32 [n].

    Raises:
        DataError: a timestamp is NULL.
    """
    if times.null_count:
        raise DataError(
            f"{times.null_count} of {len(times)} rows have no {name}; a row without a time "
            "belongs to no day: fix the feature query or its source"
        )
    millis = times.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    numbers = (
        millis.to_numpy(zero_copy_only=False)
        if isinstance(millis, pa.Array)
        else (millis.to_numpy())
    )
    return zone.days_of(numbers)


@dataclass
class RowCounts:
    """Why rows of the feature table are not learned from."""

    read: int = 0
    lookback: int = 0
    after_ds: int = 0
    unsettled: int = 0
    unlabelled: int = 0


@dataclass
class Plan:
    """Which split each judged day goes to."""

    rule: WindowRule
    counts: RowCounts
    split_of_day: dict[int, int]
    rows_by_day: dict[int, int] = field(default_factory=dict)
    positives_by_day: dict[int, int] = field(default_factory=dict)

    def split_codes(self, days: Days, labelled: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """Split code of each row: uint8 [n]."""
        table = np.full(self.rule.train_days, LEFT_OUT, dtype=np.uint8)
        for day, split in self.split_of_day.items():
            table[day - self.rule.first_day] = split
        inside = (days >= self.rule.first_day) & (days <= self.rule.last_day) & labelled
        codes = np.full(len(days), LEFT_OUT, dtype=np.uint8)
        codes[inside] = table[days[inside] - self.rule.first_day]
        return codes

    def is_newer_than_train(self, days: Days) -> npt.NDArray[np.bool_]:
        """Rows of the days after the last training day, up to the run's date: bool [n]."""
        last_train = self.rule.last_day - self.newer_days
        return (days > last_train) & (days <= self.rule.last_day)

    @property
    def newer_days(self) -> int:
        """Days after the last training day, up to and with the run's date."""
        last_train = max(day for day, split in self.split_of_day.items() if split == TRAIN)
        return self.rule.last_day - last_train

    def days_in(self, split: int) -> list[int]:
        """Day numbers of a split, oldest first."""
        return sorted(day for day, code in self.split_of_day.items() if code == split)

    def total(self, by_day: dict[int, int], split: int) -> int:
        """Sum of a figure over a split's days."""
        return sum(by_day.get(day, 0) for day in self.days_in(split))


class Census:
    """Counts rows by day, then decides the splits; memory grows with days, not rows."""

    def __init__(self, rule: WindowRule) -> None:
        self.rule = rule
        self.counts = RowCounts()
        self._rows = np.zeros(rule.train_days, dtype=np.int64)
        self._positives = np.zeros(rule.train_days, dtype=np.int64)

    def add(
        self, days: Days, labels: npt.NDArray[np.int8], labelled: npt.NDArray[np.bool_]
    ) -> None:
        """Count rows: days int32 [n], labels int8 [n] (0 or 1), labelled bool [n]."""
        rule, counts = self.rule, self.counts
        counts.read += len(days)
        counts.lookback += int((days < rule.first_day).sum())
        counts.after_ds += int((days > rule.last_day).sum())
        inside = (days >= rule.first_day) & (days <= rule.last_day)
        settled = inside & (days <= rule.last_judged_day)
        counts.unsettled += int((inside & ~settled).sum())
        judged = settled & labelled
        counts.unlabelled += int((settled & ~labelled).sum())
        offsets = days[judged] - rule.first_day
        self._rows += np.bincount(offsets, minlength=rule.train_days)
        self._positives += np.bincount(
            offsets, weights=labels[judged], minlength=rule.train_days
        ).astype(np.int64)

    def plan(self, *, refit: bool = False) -> Plan:
        """Give the last judged days to the test, those before to validation, the rest to train.

        Only days that hold judged rows count, so a missing partition does not empty a split.

        Args:
            refit: give all of them to train.

        Raises:
            DataError: no judged row, too few judged days, or one class only to train on.
        """
        rule, counts = self.rule, self.counts
        window = f"{date_of(rule.first_day)} to {date_of(rule.last_day)}"
        judged = [rule.first_day + int(i) for i in np.flatnonzero(self._rows)]
        seen = (
            f"{counts.read} rows read: {counts.lookback} before the window {window}, "
            f"{counts.after_ds} after it, {counts.unsettled} younger than "
            f"{rule.label_settle_days} days, {counts.unlabelled} without a label, "
            f"{int(self._rows.sum())} judged on {len(judged)} days"
        )
        if not judged:
            raise DataError(
                f"no row to learn from ({seen}); check ds and train_days, and that the label's "
                "table covers the window"
            )
        if len(judged) < rule.test_days + rule.valid_days + 1:
            raise DataError(
                f"{rule.test_days} test days and {rule.valid_days} validation days leave no day "
                f"to train on ({seen}); raise train_days, or lower test_days or valid_days"
            )
        held_out = 0 if refit else rule.test_days + rule.valid_days
        trained = judged[: len(judged) - held_out]
        splits = dict.fromkeys(trained, TRAIN)
        if not refit:
            splits.update(dict.fromkeys(judged[-held_out : -rule.test_days], VALID))
            splits.update(dict.fromkeys(judged[-rule.test_days :], TEST))
        plan = Plan(
            rule,
            counts,
            splits,
            {day: int(self._rows[day - rule.first_day]) for day in judged},
            {day: int(self._positives[day - rule.first_day]) for day in judged},
        )
        rows, positives = (
            plan.total(plan.rows_by_day, TRAIN),
            plan.total(plan.positives_by_day, TRAIN),
        )
        if positives in (0, rows):
            raise DataError(
                f"the {rows} training rows of {date_of(trained[0])} to {date_of(trained[-1])} hold "
                f"{positives} positives, one class only ({seen}); raise train_days, or check the "
                "label in the feature query"
            )
        return plan
