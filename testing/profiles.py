"""Profiles of a feature as a data card has them, for tests of drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def profile(counts: Mapping[str, int], top: int = 50, nulls: int = 0) -> dict[str, Any]:
    """The profile of a feature of so many rows by value; `top` values are listed."""
    rows = sum(counts.values()) + nulls
    listed = dict(sorted(counts.items(), key=lambda item: -item[1])[:top])
    return {
        "rows": rows,
        "distinct": len(counts) + bool(nulls),
        "null_share": nulls / rows,
        "bins": {k: n / rows for k, n in listed.items()},
        "other_share": (rows - nulls - sum(listed.values())) / rows,
    }
