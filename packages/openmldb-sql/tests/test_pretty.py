"""A SELECT as OpenMLDB's server gives it back."""

from __future__ import annotations

import pytest
from openmldb_sql.errors import SyntaxError_
from openmldb_sql.parse import parse_select
from openmldb_sql.pretty import pretty

QUERIES = [
    "select a, b+1 as c from t where a = 1 and b <> 'x' limit 3;",
    "SELECT t.a, u.b FROM t LAST JOIN u ORDER BY u.ts ON t.a = u.a AND -t.b < (u.c + 1)",
    "SELECT a, count(*) FROM (SELECT a FROM t WHERE b IN (1, 2)) AS x GROUP BY a HAVING count(*) > 1",
    (
        "SELECT sum(b) OVER (UNION u PARTITION BY a ORDER BY ts ROWS BETWEEN 2 PRECEDING AND "
        "CURRENT ROW EXCLUDE CURRENT_TIME INSTANCE_NOT_IN_WINDOW) FROM t"
    ),
    "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END, CAST(b AS string) FROM t",
    "WITH q AS (SELECT a FROM t) SELECT a FROM q",
]


def test_a_clause_a_line_and_its_items_below() -> None:
    assert pretty("select a, `b` from t where a==1 limit 3;") == (
        "SELECT\n  a,\n  b\nFROM\n  t\nWHERE\n  a = 1\nLIMIT 3"
    )


@pytest.mark.parametrize("sql", QUERIES)
def test_the_form_means_the_same_and_is_its_own_form(sql: str) -> None:
    made = pretty(sql)
    assert parse_select(made) == parse_select(sql.rstrip(";"))
    assert pretty(made) == made


def test_a_window_is_named_in_brackets_as_the_server_does() -> None:
    window = "w AS (PARTITION BY a ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
    assert pretty(f"SELECT sum(b) OVER w AS s FROM t WINDOW {window}") == (
        "SELECT\n  sum(b) OVER (w) AS s\nFROM\n  t\n"
        "WINDOW w AS (PARTITION BY a\n  ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
    )


def test_a_name_that_is_a_key_word_stays_quoted() -> None:
    assert "`order`" in pretty("SELECT `order` FROM t")


def test_text_that_is_none_is_refused() -> None:
    with pytest.raises(SyntaxError_):
        pretty("SELECT 'a")
