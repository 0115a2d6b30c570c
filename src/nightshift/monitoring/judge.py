"""Should a release go on? Decided from scores of two pairs for the same requests.

A judge holds one release against another: by the sequential test where labels have matured, and
by gross faults that need no labels. It is asked as often as one likes, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nightshift.monitoring.constant import ROWS, constant
from nightshift.monitoring.sequential import Bools, Comparison, Floats

if TYPE_CHECKING:
    import pyarrow as pa

    Also = Callable[[str, pa.ChunkedArray], bool]
    """Whether the other release's values of a feature have the same fault."""

COLLAPSED = 0.99
"""Share of one score in the newest ones at which a release no longer tells requests apart."""

SHIFTED = 10.0
"""Mean scores of two releases for the same requests that differ by this factor or more."""

LEAST_PAIRS = 200
"""Requests that both releases scored, before their mean scores are compared."""

MORE_NULLS = 0.5
"""Share of NULL in a feature's newest values, beyond that in training."""

ERRORS, ERROR_ROWS = 0.5, 100
"""Share of requests without an answer, of so many newest ones."""


@dataclass
class Recent:
    """The newest requests of a release, oldest first.

    Attributes:
        features: their feature rows, by the features' names.
        scores: float64 [n].
        failed: bool [m], of the newest requests, whether each was left without an answer.
        other: feature rows of the other release for some of the same requests, if there are.
        pairs: float64 [k, 2], scores of this release and the other for the same requests.
    """

    features: pa.Table
    scores: Floats
    failed: Bools
    other: pa.Table | None = None
    pairs: Floats = field(default_factory=lambda: np.empty((0, 2)))


@dataclass
class Judge:
    """One release against another.

    Attributes:
        new: the release that is judged.
        old: the release that served before, or serves beside it.
        top_share: by feature, the share of its most frequent value in training.
        null_share: by feature, the share of NULL in training.
        comparison: of their scores, as labels mature.
        rows: rows compared so far.
        through_us: when the last of them was scored, microseconds of UTC.
        faults: what the last look without labels found.
        shared: faults that the other release has as well, which going back would not cure.
    """

    new: str
    old: str
    top_share: Mapping[str, float] = field(default_factory=dict)
    null_share: Mapping[str, float] = field(default_factory=dict)
    comparison: Comparison = field(default_factory=Comparison)
    rows: int = 0
    through_us: int = 0
    faults: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def compare(self, labels: Bools, new: Floats, old: Floats) -> None:
        """Take rows whose labels have matured, each once, in their order.

        Args:
            labels: bool [n].
            new: float64 [n], scores of the release that is judged.
            old: float64 [n], scores of the other one.

        Raises:
            ValueError: as `Comparison.update`.
        """
        self.comparison.update(labels, new, old)
        self.rows += len(labels)

    def look(self, recent: Recent) -> None:
        """Look for gross faults, of which no label need be known."""
        self.faults, self.shared = [], []
        stopped = constant(recent.features, self.top_share)
        self._split("one value in all of the last {rows} requests", stopped, recent, self._still)
        empty = self._empty(recent.features, ROWS)
        self._split("NULL in most of the last {rows} requests", empty, recent, self._empty_in)
        newest = recent.scores[-ROWS:]
        if len(newest) == ROWS:
            _, counts = np.unique(newest, return_counts=True)
            if counts.max() >= COLLAPSED * ROWS:
                self.faults.append(
                    f"{counts.max()} of its last {ROWS} scores are the same, {_mode(newest):.4g}"
                )
        if len(recent.pairs) >= LEAST_PAIRS:
            mine, theirs = recent.pairs[-ROWS:].mean(axis=0)
            if max(mine, theirs) >= SHIFTED * max(min(mine, theirs), 1e-12):
                self.faults.append(
                    f"its mean score is {mine:.4g} where {self.old} gives {theirs:.4g} to the same "
                    "requests"
                )
        failed = recent.failed[-ERROR_ROWS:]
        if len(failed) == ERROR_ROWS and failed.mean() >= ERRORS:
            self.faults.append(
                f"{int(failed.sum())} of its last {ERROR_ROWS} requests had no answer"
            )

    def _split(self, what: str, names: list[str], recent: Recent, also: Also) -> None:
        theirs: dict[str, pa.ChunkedArray] = {}
        if recent.other is not None and recent.other.num_rows >= ERROR_ROWS:
            theirs = dict(zip(recent.other.column_names, recent.other.columns, strict=True))
        both = [name for name in names if name in theirs and also(name, theirs[name])]
        for found, where in (
            (both, self.shared),
            ([n for n in names if n not in both], self.faults),
        ):
            if found:
                more = f" and {len(found) - 10} more" if len(found) > 10 else ""
                listed = ", ".join(found[:10])
                where.append(f"{what.format(rows=ROWS)}: {listed}{more}")

    def _still(self, name: str, column: pa.ChunkedArray) -> bool:
        return bool(column.null_count == len(column)) or len(column.unique()) == 1

    def _empty(self, rows: pa.Table, least: int) -> list[str]:
        if rows.num_rows < least:
            return []
        recent = rows.slice(rows.num_rows - least)
        return sorted(
            name
            for name, share in self.null_share.items()
            if name in recent.column_names
            and share + MORE_NULLS < recent.column(name).null_count / least < 1
        )

    def _empty_in(self, name: str, column: pa.ChunkedArray) -> bool:
        share = self.null_share.get(name, 0.0)
        return bool(column.null_count > (share + MORE_NULLS) * len(column))

    @property
    def reasons(self) -> list[str]:
        """Why the release should not go on; none where nothing was shown against it."""
        found = [f"{self.new}: {text}" for text in self.faults]
        one = self.comparison
        if one.worse:
            found.append(
                f"{self.new} is worse than {self.old} on the same requests: {one.auc_lost:+.4f} AUC "
                f"lost over {one.positives} positives, evidence {one.evidence:.3g} to 1 "
                f"(at {1 / one.alpha:.4g} it is withdrawn)"
            )
        return found

    def report(self) -> dict[str, Any]:
        """For the report and the page."""
        return {
            "new": self.new,
            "old": self.old,
            "rows": self.rows,
            "positives": self.comparison.positives,
            "auc_lost": round(self.comparison.auc_lost, 5),
            "evidence": float(f"{min(self.comparison.evidence, 1e12):.4g}"),
            "needed": 1 / self.comparison.alpha,
            "worse": self.comparison.worse,
            "faults": list(self.faults),
            "shared": list(self.shared),
            "reasons": self.reasons,
        }

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads: what must be remembered between two looks."""
        return {
            "new": self.new,
            "old": self.old,
            "rows": self.rows,
            "through_us": self.through_us,
            "comparison": self.comparison.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Judge:
        """A judge that was put away.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            new=str(value["new"]),
            old=str(value["old"]),
            rows=int(value["rows"]),
            through_us=int(value["through_us"]),
            comparison=Comparison.from_json(value["comparison"]),
        )


def _mode(values: npt.NDArray[np.float64]) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])
