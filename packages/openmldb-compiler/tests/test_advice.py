from pathlib import Path

import pytest
from openmldb_compiler import QueryRefused, check_query, judge, propose_indexes
from openmldb_sql import statements
from openmldb_sql.types import IndexDef, SqlType

INCLUDE = Path(__file__).resolve().parents[3] / "include" / "sql"
WINDOW = "WINDOW w AS (UNION t2 PARTITION BY a ORDER BY ts ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW)"


def test_statements_around_a_select(compiler, tables):
    for sql in (
        "SELECT id FROM t1",
        "DEPLOY d OPTIONS (RANGE_BIAS='inf') SELECT id FROM t1",
        "SELECT id FROM t1 INTO OUTFILE '/x' OPTIONS (format='parquet')",
        "EXPLAIN SELECT id FROM t1",
        "SELECT id FROM t1 CONFIG (execute_mode='offline')",
        "CREATE DATABASE x",
    ):
        assert check_query(sql, "db", tables, "batch", compiler=compiler) == [], sql


def test_the_three_modes(compiler, tables):
    join = "SELECT t1.id FROM t1 LAST JOIN t2 ORDER BY t2.ts ON t1.a = t2.a"
    left = "SELECT t1.id FROM t1 LEFT JOIN t2 ON t1.a = t2.a"
    where = "SELECT id FROM t1 WHERE id > 3"

    def accepted(sql, mode):
        return check_query(sql, "db", tables, mode, compiler=compiler) == []

    assert [accepted(join, m) for m in ("batch", "online", "request")] == [True, False, True]
    assert [accepted(left, m) for m in ("batch", "online", "request")] == [True, False, False]
    assert [accepted(where, m) for m in ("batch", "online", "request")] == [True, True, False]


def test_messages_are_one_line_without_inner_numbers(compiler, tables):
    sql = (
        "SELECT sum(s) OVER v FROM (SELECT id, c + 1 AS s, a, ts FROM t1) WINDOW v AS (PARTITION BY a "
        "ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
    )
    (problem,) = check_query(sql, "db", tables, "request", compiler=compiler)
    assert "\n" not in problem.message
    (problem,) = check_query("SELECT trim(a) FROM t1", "db", tables, "request", compiler=compiler)
    assert problem.message == "Fail to resolve expression: trim(a)"


def test_parameters_have_the_types_that_are_given(compiler, tables):
    sql = "SELECT id FROM t1 WHERE ts > ?"
    times, numbers = [SqlType.TIMESTAMP], [SqlType.INT64]
    assert judge(sql, "db", tables, "online", parameters=times, compiler=compiler).accepted
    assert not judge(sql, "db", tables, "online", parameters=numbers, compiler=compiler).accepted


def test_indexes_of_a_window_over_two_tables(compiler, tables):
    found = propose_indexes(
        f"SELECT sum(c) OVER w FROM t1 {WINDOW}", "db", tables, compiler=compiler
    )
    index = IndexDef(("a",), "ts", "absolute", 3 * 86_400_000)
    assert found == {"t1": (index,), "t2": (index,)}


def test_indexes_of_a_table_in_another_database(compiler, tables):
    sql = (
        "DEPLOY d SELECT t1.id FROM t1 LAST JOIN other.t3 ORDER BY other.t3.ts ON t1.a = other.t3.b"
    )
    found = propose_indexes(sql, "db", tables, compiler=compiler)
    assert found == {"other.t3": (IndexDef(("b",), "ts", "latest", 0, 1),)}


def test_what_cannot_be_deployed_has_no_indexes(compiler, tables):
    with pytest.raises(QueryRefused, match="isnull") as caught:
        propose_indexes("SELECT a IS NULL FROM t1", "db", tables, compiler=compiler)
    assert caught.value.problems[0].line == 1


def test_the_jd_features_compile_in_both_modes_and_get_the_indexes_of_a_cluster(compiler):
    script = (INCLUDE / "create_tables.sql").read_text()
    made = [statements.parse(s) for s in statements.split(script)]
    schemas = {m.table.name: m.schema for m in made if isinstance(m, statements.CreateTable)}
    sql = (INCLUDE / "features.sql").read_text()
    for mode in ("batch", "request"):
        assert check_query(sql, "JD_db", schemas, mode, compiler=compiler) == []
    found = propose_indexes(sql, "JD_db", schemas, compiler=compiler)
    day = 86_400_000
    assert found["bo_action"] == (IndexDef(("pair_id",), "ingestionTime", "absolute", 14 * day),)
    assert found["flattenRequest"] == (
        IndexDef(("user_id",), "eventTime", "absandlat", 14 * day, 10),
    )
    assert found["bo_user"] == (IndexDef(("user_id",), None, "latest", 0, 1),)
