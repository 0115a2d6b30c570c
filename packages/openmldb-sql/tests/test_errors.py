"""The codes of OpenMLDB's API server, and the beginnings of its messages."""

from __future__ import annotations

import pytest
from openmldb_sql import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SqlError, -1),
        (errors.PlanError, 1000),
        (errors.SyntaxError_, 1001),
        (errors.AstError, 1002),
        (errors.UnsupportedSqlError, 101),
        (errors.TypeCheckError, 3),
        (errors.NameResolutionError, 1204),
    ],
)
def test_codes(kind: type[errors.SqlError], code: int) -> None:
    assert kind("x").code == code
    assert kind("x", 7).code == 7


def test_a_plan_error_begins_as_openmldbs_does_once() -> None:
    error = errors.AstError("no such thing")
    assert error.message == "create logic plan tree failed--no such thing"
    assert errors.AstError(error.message).message == error.message
    assert (error.reason, str(error)) == ("no such thing", error.message)
