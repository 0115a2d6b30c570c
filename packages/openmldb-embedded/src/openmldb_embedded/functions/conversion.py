"""The functions that convert a value to a type."""

from __future__ import annotations

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.expr import cast_impl
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType


def common_type(types: Types) -> SqlType | None:
    """The type that all arguments can be brought to, None where there is none."""
    out: SqlType | None = T.NULL
    for t in types:
        out = v.common(out, t) if out is not None else None
    return out


def _cast_function(target: SqlType) -> Resolve:
    return lambda types: cast_impl(types[0], target) if len(types) == 1 else None


for _names, _target in (
    ("bool", T.BOOL),
    ("smallint int16", T.INT16),
    ("int int32", T.INT32),
    ("bigint int64", T.INT64),
    ("float", T.FLOAT),
    ("double", T.DOUBLE),
    ("string", T.STRING),
    ("date", T.DATE),
    ("timestamp", T.TIMESTAMP),
):
    register(_names, "(any that casts to it)", f"the value as {_target.value}", nulls=True)(
        _cast_function(_target)
    )
