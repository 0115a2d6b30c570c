"""One compiler and a few tables for all tests of this package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openmldb_compiler import Compiler, unavailable_reason
from openmldb_sql.types import Schema, SqlType, schema_of

T = SqlType


@pytest.fixture(scope="session")
def compiler() -> Iterator[Compiler]:
    reason = unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    found = Compiler()
    yield found
    found.close()


@pytest.fixture(scope="session")
def tables() -> dict[str, Schema]:
    columns = schema_of(
        [
            ("id", T.INT32),
            ("small", T.INT16),
            ("big", T.INT64),
            ("a", T.STRING),
            ("b", T.STRING),
            ("f", T.FLOAT),
            ("c", T.DOUBLE),
            ("ok", T.BOOL),
            ("d", T.DATE),
            ("ts", T.TIMESTAMP),
        ]
    )
    return {"t1": columns, "t2": columns, "other.t3": columns}
