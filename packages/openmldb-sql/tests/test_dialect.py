"""OpenMLDB's SELECT as sqlglot reads it: its grammar, what it refuses, how deep it goes."""

from __future__ import annotations

import pytest
import sqlglot
from openmldb_sql import dialect
from openmldb_sql.dialect import MAX_CHAIN, MAX_DEPTH, OpenMLDB
from openmldb_sql.errors import LimitError, SyntaxError_
from openmldb_sql.parse import parse_select
from openmldb_sql.syntax import Select
from sqlglot import exp


def select(sql: str) -> Select:
    found = parse_select(sql).selects[0]
    assert isinstance(found, Select)
    return found


def test_sqlglot_reads_the_dialect_by_its_name() -> None:
    tree = sqlglot.parse_one(
        "SELECT a, sum(b) OVER w FROM t LAST JOIN u ORDER BY u.ts ON t.a = u.a WINDOW w AS "
        "(UNION v PARTITION BY a ORDER BY ts ROWS_RANGE BETWEEN 3d PRECEDING AND 0s OPEN PRECEDING "
        "MAXSIZE 7 EXCLUDE CURRENT_TIME INSTANCE_NOT_IN_WINDOW)",
        read="openmldb",
    )
    assert isinstance(tree, exp.Select)
    (join,) = tree.args["joins"]
    assert (join.kind, join.args["order"].expressions[0].this.sql()) == ("LAST", "u.ts")
    (window,) = tree.args["windows"]
    assert isinstance(window, dialect.Window)
    assert window.args["unions"][0].name == "v"
    assert window.args["spec"].args["maxsize"].this == "7"
    assert [e.key for e in tree.expressions] == ["column", "window"]


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("a OR b XOR c AND NOT d = e", "a OR (b XOR (c AND (NOT (d = e))))"),
        ("a | b ^ c & d << e + f * g", "a | (b ^ (c & (d << (e + (f * g)))))"),
        ("a - b - c", "(a - b) - c"),
        ("- a + b", "(- a) + b"),
        ("!a = b", "NOT (a = b)"),
        ("!a + 1 AND b ! IN (1)", "(NOT (a + 1)) AND (b NOT IN (1))"),
        ("a NOT IN (1, 2) AND b NOT LIKE c", "(a NOT IN (1, 2)) AND (b NOT LIKE c)"),
        (
            "a BETWEEN 1 + 1 AND 3 AND b IS NOT NULL",
            "(a BETWEEN (1 + 1) AND 3) AND (b IS NOT NULL)",
        ),
        ("a DIV b MOD c", "(a DIV b) % c"),
        ("a && b OR c", "(a AND b) OR c"),
    ],
)
def test_precedence(text: str, grouped: str) -> None:
    assert select(f"SELECT {text} AS x FROM t") == select(f"SELECT {grouped} AS x FROM t")
    assert select(f"SELECT {text} AS x FROM t") == select(f"SELECT ({text}) AS x FROM t")


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT a\nFROM t WHER b", "got 'b' [at 2:13]"),
        ("SELECT a FROM", "expected a table but got end of statement"),
        ("SELECT 'a", "Unclosed string literal [at 1:8]"),
        ("SELECT a /* b", "Unclosed comment [at 1:10]"),
        ("SELECT a $ b", "unexpected '$ b' [at 1:10]"),
        ("SELECT 14d FROM t", "expected an expression but got '14d'"),
        ("SELECT CAST(a, 'int') FROM t", "not supported"),
        ("SELECT CAST(a int) FROM t", "near 'int' [at 1:15]"),
        ("SELECT a FROM t LIMIT -1", "LIMIT -1"),
        ("SELECT a FROM t, u", "comma joins"),
        ("SELECT a FROM t; SELECT a FROM t", "expected end of statement but got ';'"),
    ],
)
def test_refusals_say_what_and_where(sql: str, told: str) -> None:
    with pytest.raises(SyntaxError_) as caught:
        parse_select(sql)
    assert told in caught.value.message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t ORDER BY a NULLS FIRST",
        "SELECT a FROM t LIMIT 1 OFFSET 2",
        "SELECT a FROM t LIMIT 1, 2",
        "SELECT a FROM t HAVING a > 1 WHERE a > 1",
        "SELECT a FROM t GROUP BY ALL",
        "SELECT a FROM t GROUP BY",
        "SELECT a FROM t QUALIFY a > 1 AND b",
        "SELECT a::int FROM t",
        "SELECT a[0 FROM t",
        "SELECT a[] FROM t",
        "SELECT {# comment #} a FROM t",
        "SELECT n'a' FROM t",
        "SELECT 'a' 'b' FROM t",
        "SELECT a IS DISTINCT FROM b FROM t",
        "SELECT a IS TRUE FROM t",
        "SELECT a IS ! NULL FROM t",
        "SELECT a BETWEEN 1 && 2 FROM t",
        "SELECT a IN b FROM t",
        "SELECT a IN (SELECT 1) FROM t",
        "SELECT (SELECT 1) FROM t",
        "SELECT a FROM t TABLESAMPLE (10)",
        "SELECT a FROM t JOIN u USING (a)",
        "SELECT a FROM t UNION ALL BY NAME SELECT a FROM u",
        "SELECT a FROM t INTERSECT SELECT a FROM u",
        "SELECT count(*) FILTER (WHERE a) FROM t",
        "SELECT sum(a) OVER (PARTITION BY b ROWS BETWEEN 1 PRECEDING AND 0 PRECEDING",
        "SELECT CASE WHEN a b END FROM t",
        "SELECT a BETWEEN 1 2 FROM t",
        "SELECT x -> x + 1 FROM t",
        "FROM t",
        "VALUES (1)",
        "DESCRIBE t",
        "SELECT TOP 3 a FROM t",
        "SELECT * EXCEPT (a) FROM t",
        "ELSE",
    ],
)
def test_what_other_dialects_have_is_refused(sql: str) -> None:
    with pytest.raises(SyntaxError_):
        parse_select(sql)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("(", ")"),
        ("f(", ")"),
        ("- ", ""),
        ("NOT ", ""),
        ("CAST(", " AS int)"),
        ("x IN (", ")"),
        ("CASE WHEN TRUE THEN ", " END"),
        ("sum(x) OVER (PARTITION BY ", ")"),
    ],
)
def test_depth_is_limited_before_pythons_own(before: str, after: str) -> None:
    def nested(levels: int) -> str:
        return f"SELECT {before * levels}1{after * levels} FROM t"

    parse_select(nested(MAX_DEPTH - 2))
    for levels in (MAX_DEPTH, 5_000):
        with pytest.raises(LimitError, match=f"deeper than {MAX_DEPTH}"):
            parse_select(nested(levels))


def test_every_key_word_is_reserved() -> None:
    words = {word for word in OpenMLDB.Tokenizer.KEYWORDS if word.isalpha()}
    for word in sorted(words):
        with pytest.raises(SyntaxError_):
            parse_select(f"SELECT a AS {word} FROM t")


def test_words_of_a_clause_may_stand_apart() -> None:
    apart = "SELECT a FROM t GROUP /* by */ BY a ORDER -- by\n BY a"
    assert parse_select(apart) == parse_select("select a from t group by a order by a;")


def test_a_chain_of_operators_is_limited_too() -> None:
    parse_select("SELECT 1" + " + 1" * MAX_CHAIN)
    with pytest.raises(LimitError, match="one chain"):
        parse_select("SELECT 1" + " + 1" * (MAX_CHAIN + 1))


def test_it_refuses_by_sqlglots_own_error_where_sqlglot_is_asked() -> None:
    with pytest.raises(sqlglot.errors.ParseError, match=r"expected a table.*\[at 1:14\]"):
        sqlglot.parse_one("SELECT a FROM", read="openmldb")
