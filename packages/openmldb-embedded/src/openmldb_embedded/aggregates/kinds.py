"""Which types an aggregate takes, and what type it gives for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openmldb_sql.types import SqlType

T = SqlType


def numeric(t: SqlType) -> bool:
    """Numbers."""
    return t.is_numeric


def summable(t: SqlType) -> bool:
    """What has a sum: numbers and times."""
    return t.is_numeric or t is T.TIMESTAMP


def ordered(t: SqlType) -> bool:
    """What has a least and a greatest value."""
    return t.is_numeric or t in (T.TIMESTAMP, T.DATE, T.STRING)


def scalar(t: SqlType) -> bool:
    """Anything but an untyped NULL."""
    return t is not T.NULL


def listed(t: SqlType) -> bool:
    """Anything but an untyped NULL."""
    return t is not T.NULL


def frequent(t: SqlType) -> bool:
    """What the most frequent values are looked for of: anything but BOOL."""
    return t not in (T.BOOL, T.NULL)


same: Callable[[SqlType], SqlType] = lambda t: t  # noqa: E731
int64: Callable[[SqlType], SqlType] = lambda t: T.INT64  # noqa: E731
double: Callable[[SqlType], SqlType] = lambda t: T.DOUBLE  # noqa: E731


def whole_number(x: Any) -> bool:
    """Whether an argument is a constant integer."""
    return isinstance(x, int) and not isinstance(x, bool)
