"""Lists of text (FeatureZero): the window's texts split, newest row first."""

from __future__ import annotations

from openmldb_embedded.aggregates.folds import present
from openmldb_embedded.aggregates.registry import Fold
from openmldb_embedded.functions.text import bounded

LIST_AGGREGATES = {
    "window_split": "split",
    "fz_window_split": "split",
    "window_split_by_key": "split_by_key",
    "fz_window_split_by_key": "split_by_key",
    "window_split_by_value": "split_by_value",
    "fz_window_split_by_value": "split_by_value",
}
"""Aggregates that give a list, only ever an argument of another, and their scalar counterparts."""


def join_fold(separator: str) -> Fold:
    """``join(window_split(...), separator)``: the whole window's parts, joined."""
    return lambda items: bounded(separator.join(present(items)))
