"""Gross faults that need no labels: features or scores that have stopped to vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 500
"""Newest rows that are looked at; fewer say nothing."""

USUAL = 0.9
"""A feature whose most frequent value had a larger share in training may be constant for a while."""


def constant(rows: pa.Table, top_share: Mapping[str, float], *, last: int = ROWS) -> list[str]:
    """Columns whose newest values are all the same although they varied in training.

    With at most 90 % of one value in training, 500 independent rows are all equal with a chance
    below 1e-22; rows of a stream are not independent, which is what the margin is for.

    Args:
        rows: live rows, oldest first.
        top_share: by column, the share of its most frequent value in training, NULL among them.
        last: how many rows are looked at.

    Returns:
        Names of the columns, sorted; none of fewer rows than `last`.
    """
    if rows.num_rows < last:
        return []
    recent = rows.slice(rows.num_rows - last)
    found = []
    for name, share in top_share.items():
        if name not in recent.column_names or share > USUAL:
            continue
        column = recent.column(name)
        if column.null_count == last or (not column.null_count and len(column.unique()) == 1):
            found.append(name)
    return sorted(found)
