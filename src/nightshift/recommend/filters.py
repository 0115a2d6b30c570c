"""Conditions on columns, as a client or a configuration writes them.

`{"brand": "acme"}` equals, `{"brand": ["acme", "umbrella"]}` is one of, `{"price": {"at_least": 10,
"below": 20}}` compares, `{"brand": {"not": "acme"}}` is another, `{"genres": {"has": "Comedy"}}` is
a word of a text of several. NULL fulfils no condition but `not`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

COMPARE = {
    "at_least": "greater_equal",
    "at_most": "less_equal",
    "above": "greater",
    "below": "less",
}
KEYS = (*COMPARE, "not", "has")
MAX_VALUES = 1000
"""Values of one list."""


def check(conditions: Any, columns: Sequence[str], where: str) -> None:
    """See that conditions are well formed and name columns that there are.

    Raises:
        ConfigurationError: names the column and what would be right.
    """
    if not isinstance(conditions, Mapping):
        raise ConfigurationError(f"{where} is an object of conditions by column")
    for name, condition in conditions.items():
        if name not in columns:
            known = ", ".join(columns) or "none"
            hint = nearest(str(name), columns)
            raise ConfigurationError(
                f"{where}: there is no column {str(name)[:60]!r}; there are: {known}{hint}"
            )
        _shape(condition, f"{where}: {name}")


def _shape(condition: Any, where: str) -> None:
    if isinstance(condition, Mapping):
        if not condition:
            raise ConfigurationError(f"{where}: give one of {', '.join(KEYS)}")
        for key, value in condition.items():
            if key not in KEYS:
                raise ConfigurationError(
                    f"{where}: unknown condition {str(key)[:60]!r}; known: {', '.join(KEYS)}"
                    + nearest(str(key), KEYS)
                )
            if not _scalar(value) and not (key == "not" and _list(value)):
                raise ConfigurationError(f"{where}: {key} takes a text, a number or a truth value")
    elif not _scalar(condition) and not _list(condition):
        raise ConfigurationError(
            f"{where}: give a value, a list of at most {MAX_VALUES} values, or an object with "
            f"{', '.join(KEYS)}"
        )


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _list(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and 0 < len(value) <= MAX_VALUES
        and all(map(_scalar, value))
    )


def mask(table: pa.Table, conditions: Mapping[str, Any], where: str) -> npt.NDArray[np.bool_]:
    """Which rows fulfil all conditions: bool [rows], writable.

    Args:
        table: has every column that is named.
        conditions: checked by `check`.
        where: named in messages.

    Raises:
        ConfigurationError: a value does not fit its column's type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = np.ones(len(table), bool)
    for name, condition in conditions.items():
        column = table[name]
        try:
            for test in _tests(column, condition):
                found &= np.asarray(pc.fill_null(test, False).to_numpy(zero_copy_only=False), bool)
        except (
            pa.ArrowInvalid,
            pa.ArrowTypeError,
            pa.ArrowNotImplementedError,
            OverflowError,
        ) as error:
            raise ConfigurationError(
                f"{where}: {name} is of type {column.type}; the condition does not fit it "
                f"({str(error).splitlines()[0][:120]})"
            ) from None
    return found


def _tests(column: Any, condition: Any) -> list[Any]:
    import pyarrow.compute as pc

    if not isinstance(condition, Mapping):
        return [_among(column, condition)]
    tests = []
    for key, value in condition.items():
        if key in COMPARE:
            tests.append(pc.call_function(COMPARE[key], [column, _value(column, value)]))
        elif key == "not":
            tests.append(pc.invert(pc.fill_null(_among(column, value), False)))
        else:
            pattern = rf"(^|[^\pL\pN_-]){re.escape(str(value))}($|[^\pL\pN_-])"
            tests.append(pc.match_substring_regex(column, pattern))
    return tests


def _among(column: Any, value: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if _list(value):
        return pc.is_in(
            column, value_set=pa.array([_value(column, v).as_py() for v in value], column.type)
        )
    return pc.equal(column, _value(column, value))


def _value(column: Any, value: Any) -> Any:
    """The value as the column's type; text is never taken for a number, nor the other way."""
    import pyarrow as pa

    kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if isinstance(value, bool) != pa.types.is_boolean(kind) or isinstance(value, str) != text:
        raise pa.ArrowTypeError(f"{value!r} is no {kind}")
    return pa.scalar(value, kind)
