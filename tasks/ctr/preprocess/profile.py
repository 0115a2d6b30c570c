"""What values each feature takes: shares of the most frequent ones, for the drift check."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import NULL_TEXT
from nightshift.features.specification import Field

TOP = 50
"""So many values a feature are listed; the others are summed."""

_LONGEST = 200


class FeatureProfile:
    """Counts of one feature's canonical texts over many batches.

    Memory grows with the number of distinct values, not with rows.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self.counts: Counter[bytes] = Counter()

    def add(self, texts: list[bytes], codes: npt.NDArray[np.int64]) -> None:
        """Count a batch: k texts and codes [n] into them."""
        counts = np.bincount(codes, minlength=len(texts))
        for at in np.flatnonzero(counts):
            self.counts[texts[at]] += int(counts[at])

    @property
    def distinct(self) -> int:
        """Number of distinct values, NULL being one."""
        return len(self.counts)

    def summary(self) -> dict[str, Any]:
        """Rows, distinct values, and shares: NULL's, the `TOP` most frequent, all others.

        `bins` maps a value's canonical text to its share of the rows, ties in text order; NULL
        is not among them. `null_share`, `other_share` and the bins add up to 1.
        """
        rows = sum(self.counts.values())
        nulls = self.counts.get(NULL_TEXT, 0)
        valued = [(text, n) for text, n in self.counts.items() if text != NULL_TEXT]
        top = sorted(valued, key=lambda item: (-item[1], item[0]))[:TOP]
        bins: dict[str, float] = {}
        for text, count in top:
            name = text.decode(errors="backslashreplace")[:_LONGEST]
            bins[name] = bins.get(name, 0.0) + count / max(rows, 1)
        listed = sum(count for _, count in top)
        return {
            "rows": rows,
            "distinct": self.distinct,
            "null_share": nulls / max(rows, 1),
            "bins": bins,
            "other_share": (rows - nulls - listed) / max(rows, 1),
        }
