"""What the grammar reads and OpenMLDB has no node for, or no meaning online."""

from __future__ import annotations

import pytest
from openmldb_sql.errors import AstError, UnsupportedSqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.refused import refuse_undeployable, refuse_unknown


@pytest.mark.parametrize(
    ("sql", "fix"),
    [
        ("a IS NULL", "write isnull(a)"),
        ("a IS NOT NULL", "write NOT isnull(a)"),
        ("a || b", "write concat(a, b)"),
    ],
)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT {} FROM t",
        "SELECT a FROM t WHERE {}",
        "SELECT x FROM (SELECT {} AS x FROM t)",
        "SELECT sum(CASE WHEN {} THEN 1 ELSE 0 END) FROM t",
    ],
)
def test_it_is_found_anywhere_and_named_with_what_to_write(query: str, sql: str, fix: str) -> None:
    with pytest.raises(AstError) as raised:
        refuse_unknown(parse_select(query.format(sql), strict=False))
    assert fix in raised.value.message


def test_shifts_are_not_supported() -> None:
    for operator in ("<<", ">>"):
        with pytest.raises(UnsupportedSqlError):
            refuse_unknown(parse_select(f"SELECT a {operator} 1 FROM t", strict=False))


def test_other_queries_pass() -> None:
    refuse_unknown(parse_select("SELECT isnull(a), concat(a, b) FROM t WHERE a = 1"))


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT a FROM t", None),
        ("SELECT a, count(*) FROM t GROUP BY a", "kGroupPlan"),
        ("SELECT count(*) FROM t HAVING count(*) > 1", "HAVING"),
        (
            "SELECT t.a FROM t LAST JOIN (SELECT a FROM u GROUP BY a) AS v ON t.a = v.a",
            "kGroupPlan",
        ),
    ],
)
def test_a_request_has_no_groups(sql: str, why: str | None) -> None:
    found = refuse_undeployable(parse_select(sql))
    assert found is None if why is None else why in str(found)
