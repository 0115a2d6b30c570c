"""Values of features as their columns hold them, so that equal ones are equal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

TOLERANCE = 1e-6
"""Fractions that differ relatively less are equal: sums may be added up in another order."""

Row = tuple[Any, ...]


def kept_rows(rows: Sequence[Sequence[Any]], kinds: Sequence[str]) -> list[Row]:
    """Rows whose values are as columns of the SQL types hold them.

    Args:
        rows: values as the API server or a partition gives them.
        kinds: the type of each.
    """
    if not rows:
        return []
    columns = [
        kept_column(column, kind)
        for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    return list(zip(*columns, strict=True)) if columns else [() for _ in rows]


def kept_column(values: Sequence[Any], kind: str) -> Sequence[Any]:
    """A column of one SQL type; see `kept_rows`."""
    if kind == "float":
        made = np.array([math.nan if v is None else v for v in values], np.float64)
        with np.errstate(over="ignore"):
            narrow = made.astype(np.float32).astype(np.float64)
        return [v if math.isfinite(v) else None for v in narrow.tolist()]
    if kind == "double":
        return [None if v is None or not math.isfinite(v) else float(v) for v in values]
    if kind == "date":
        return [None if v is None else tuple(map(int, str(v).split("-"))) for v in values]
    if kind == "bool":
        return [None if v is None else int(v) for v in values]
    return values


def equal(one: Any, other: Any) -> bool:
    """Whether two kept values are the same."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=0.0)
    return bool(one == other)


def same(one: Any, other: Any, kind: str) -> bool:
    """Whether two values of a feature are equal as a column of its type holds them."""
    return equal(kept_column([one], kind)[0], kept_column([other], kind)[0])


def differing(
    one: Sequence[Row], other: Sequence[Row | None], rows: Sequence[int] | range
) -> Iterator[tuple[int, int]]:
    """(row, column) of kept values that are not equal."""
    for n in rows:
        mine, theirs = one[n], other[n]
        if mine == theirs or theirs is None:
            continue
        for j, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            if not equal(a, b):
                yield n, j


def as_served(value: Any, kind: str) -> Any:
    """A kept value as the API server's JSON gives it."""
    if value is None:
        return None
    if kind == "float":
        return float(str(np.float32(value)))
    if kind == "date":
        return "-".join(map(str, value))
    return bool(value) if kind == "bool" else value
