import pytest
from openmldb_compiler import Outcome
from openmldb_sql.types import SqlType, schema_of

T = SqlType
WINDOW = " FROM t1 WINDOW w AS (PARTITION BY a ORDER BY ts ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW)"


def test_a_deployment_comes_with_its_names_and_types(compiler, tables):
    verdict = compiler.judge(
        f"SELECT id, small, big, a, f, c, ok, d, ts, sum(c) OVER w, count(*) OVER w AS n{WINDOW}",
        "db",
        tables,
        "request",
    )
    assert verdict.outcome is Outcome.ACCEPTED
    assert verdict.columns == (
        ("id", T.INT32),
        ("small", T.INT16),
        ("big", T.INT64),
        ("a", T.STRING),
        ("f", T.FLOAT),
        ("c", T.DOUBLE),
        ("ok", T.BOOL),
        ("d", T.DATE),
        ("ts", T.TIMESTAMP),
        ("sum(c)over w", T.DOUBLE),
        ("n", T.INT64),
    )


def test_batch_and_request_differ(compiler, tables):
    sql = "SELECT a, count(*) AS n FROM t1 GROUP BY a"
    assert compiler.judge(sql, "db", tables, "batch").accepted
    refused = compiler.judge(sql, "db", tables, "request")
    assert refused.outcome is Outcome.REFUSED
    assert "Aggregate over a table" in refused.message


def test_tables_of_two_databases(compiler, tables):
    assert compiler.judge("SELECT id FROM other.t3", "db", tables, "batch").accepted
    assert not compiler.judge("SELECT id FROM t3", "db", tables, "batch").accepted
    assert compiler.judge("SELECT id FROM t3", "other", tables, "batch").accepted


def test_a_crash_is_a_verdict(compiler, tables):
    sql = (
        "SELECT sum(c) OVER (PARTITION BY a ORDER BY ts ROWS BETWEEN id PRECEDING AND CURRENT ROW) "
        "FROM t1"
    )
    verdict = compiler.judge(sql, "db", tables, "batch")
    assert verdict.outcome is Outcome.CRASHED
    assert "SIGSEGV" in verdict.message
    assert compiler.judge("SELECT a FROM t1", "db", tables, "batch").accepted


def test_the_same_text_over_another_table_is_another_question(compiler, tables):
    sql = "SELECT a + 1 AS x FROM t1"
    assert not compiler.judge(sql, "db", tables, "request").accepted
    numbers = {"t1": schema_of([("a", T.INT64)])}
    assert compiler.judge(sql, "db", numbers, "request").columns == (("x", T.INT64),)


def test_text_of_any_script_passes_through(compiler, tables):
    verdict = compiler.judge("SELECT '中文é' AS `名` FROM t1", "db", tables, "request")
    assert verdict.columns == (("名", T.STRING),)


def test_a_list_has_no_column_type(compiler, tables):
    assert not compiler.judge("SELECT split(a, ',') FROM t1", "db", tables, "batch").accepted


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("SELECT id FROM t1", [("db", "t1")]),
        (
            "SELECT t1.id, t2.c FROM t1 LAST JOIN t2 ORDER BY t2.ts ON t1.a = t2.a",
            [("db", "t1"), ("db", "t2")],
        ),
        ("SELECT nothing FROM t1", []),
    ],
)
def test_dependent_tables(compiler, tables, sql, read):
    assert sorted(compiler.dependent_tables(sql, "db", tables)) == read
