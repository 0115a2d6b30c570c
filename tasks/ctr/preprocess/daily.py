"""Rows, labels and missing values of each day, for the data gate and its report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightshift.features.encoding import is_null, values_of
from nightshift.features.specification import FeatureSpec
from tasks.ctr.preprocess.window import Days, WindowRule, date_of


class Daily:
    """Counts by day of the window; memory grows with days and features, not with rows."""

    def __init__(self, spec: FeatureSpec, rule: WindowRule) -> None:
        self._spec, self._rule = spec, rule
        self._counts = {
            name: np.zeros(rule.train_days, dtype=np.int64)
            for name in ("rows", "labelled", "positives")
        }
        self._nulls: dict[str, npt.NDArray[np.int64]] = {}
        self._not_finite: dict[str, npt.NDArray[np.int64]] = {}

    def add(
        self,
        batch: pa.RecordBatch,
        days: Days,
        labels: npt.NDArray[np.int8],
        labelled: npt.NDArray[np.bool_],
    ) -> None:
        """Count a batch of n rows.

        Args:
            batch: holds the specification's features.
            days: day numbers, int32 [n].
            labels: int8 [n], 0 or 1.
            labelled: which rows have a label: bool [n].
        """
        rule = self._rule
        inside = (days >= rule.first_day) & (days <= rule.last_day)
        at = days - rule.first_day
        self._add(self._counts, "rows", at, inside)
        self._add(self._counts, "labelled", at, inside & labelled)
        self._add(self._counts, "positives", at, inside & labelled & (labels == 1))
        for name in self._spec.names:
            column = batch.column(name)
            if column.null_count:
                self._add(self._nulls, name, at, inside & is_null(column))
            if pa.types.is_floating(column.type):
                odd = ~np.isfinite(values_of(column))
                if odd.any():
                    self._add(self._not_finite, name, at, inside & odd & ~is_null(column))

    def _add(
        self,
        into: dict[str, npt.NDArray[np.int64]],
        name: str,
        at: Days,
        which: npt.NDArray[np.bool_],
    ) -> None:
        found = np.bincount(at[which], minlength=self._rule.train_days)
        into[name] = into[name] + found if name in into else found

    def summary(self) -> list[dict[str, Any]]:
        """One entry a day of the window, oldest first.

        Rows, labelled rows, positives, whether labels have settled, and the features that have
        NULLs, NaNs or infinite values with their counts.
        """
        days = []
        for at in range(self._rule.train_days):
            missing: Counter[str] = Counter()
            for name, counts in self._nulls.items():
                missing[name] = int(counts[at])
            odd = {name: int(c[at]) for name, c in self._not_finite.items() if c[at]}
            day = self._rule.first_day + at
            days.append(
                {
                    "day": date_of(day),
                    **{name: int(counts[at]) for name, counts in self._counts.items()},
                    "settled": day <= self._rule.last_judged_day,
                    "nulls": {name: count for name, count in missing.items() if count},
                    **({"not_finite": odd} if odd else {}),
                }
            )
        return days
