"""Every hint is tried: what it says to write is accepted by the compiler."""

import re

import pytest
from openmldb_compiler import check_query
from openmldb_compiler.replacements import FUNCTIONS, REPLACEMENTS

FRAME = "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW"
WINDOW = " FROM t1 WINDOW w AS (PARTITION BY a ORDER BY ts ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW)"


@pytest.mark.parametrize(
    ("refused", "hint", "better"),
    [
        ("SELECT a IS NULL FROM t1", "isnull(a)", "SELECT isnull(a) FROM t1"),
        ("SELECT a IS NOT NULL FROM t1", "NOT isnull(a)", "SELECT NOT isnull(a) FROM t1"),
        ("SELECT a || '-' || b FROM t1", "concat(a, '-', b)", "SELECT concat(a, '-', b) FROM t1"),
        ("SELECT coalesce(a, 'x') FROM t1", "ifnull(a, b)", "SELECT ifnull(a, 'x') FROM t1"),
        (f"SELECT count(1) OVER w{WINDOW}", "count(*)", f"SELECT count(*) OVER w{WINDOW}"),
        ("SELECT trim(a) FROM t1", "replace(x, ' ', '')", "SELECT replace(a, ' ', '') FROM t1"),
        ("SELECT greatest(c, f) FROM t1", "maximum(a, b)", "SELECT maximum(c, c) FROM t1"),
        (
            f"SELECT fz_top1_ratio(a) OVER w{WINDOW}",
            "top1_ratio(x)",
            f"SELECT top1_ratio(a) OVER w{WINDOW}",
        ),
        (
            f"SELECT fz_topn_frequency(a, 3) OVER w{WINDOW}",
            "topn_frequency(x, n)",
            f"SELECT topn_frequency(a, 3) OVER w{WINDOW}",
        ),
        (
            f"SELECT count(fz_window_split(a, ',')) OVER w{WINDOW}",
            "window_split(x, separator)",
            f"SELECT count(window_split(a, ',')) OVER w{WINDOW}",
        ),
        (
            "SELECT join(split(a, ','), '-') FROM t1",
            "`join`",
            "SELECT `join`(split(a, ','), '-') FROM t1",
        ),
        (
            f"SELECT count(DISTINCT a) OVER w{WINDOW}",
            "distinct_count(a)",
            f"SELECT distinct_count(a) OVER w{WINDOW}",
        ),
        (
            "SELECT t1.id FROM t1 LEFT JOIN t2 ON t1.a = t2.a",
            "LAST JOIN",
            "SELECT t1.id FROM t1 LAST JOIN t2 ORDER BY t2.ts ON t1.a = t2.a",
        ),
        ("SELECT id FROM t1 WHERE id > 3", "leave WHERE out", "SELECT id FROM t1"),
        ("SELECT ts > 3 FROM t1", "bigint(time)", "SELECT bigint(ts) > 3 FROM t1"),
        (
            "SELECT CASE WHEN a THEN 1 ELSE 0 END FROM t1",
            "x <> ''",
            "SELECT CASE WHEN a <> '' THEN 1 ELSE 0 END FROM t1",
        ),
        (
            f"SELECT sum(c) OVER (PARTITION BY f ORDER BY ts {FRAME}) FROM t1",
            "a key cannot be FLOAT",
            f"SELECT sum(c) OVER (PARTITION BY big ORDER BY ts {FRAME}) FROM t1",
        ),
        (
            "SELECT sum(c) OVER (PARTITION BY a ORDER BY ts ROWS 3 PRECEDING) FROM t1",
            "both edges",
            f"SELECT sum(c) OVER (PARTITION BY a ORDER BY ts {FRAME}) FROM t1",
        ),
        ("SELECT summ(c) FROM t1", "did you mean", "SELECT id FROM t1"),
    ],
)
def test_a_refusal_says_how_to_write_it(compiler, tables, refused, hint, better):
    (problem,) = check_query(refused, "db", tables, "request", compiler=compiler)
    assert problem.hint is not None
    assert hint in problem.hint
    assert problem.line in (1, None)
    assert check_query(better, "db", tables, "request", compiler=compiler) == []


def test_the_line_is_the_one_of_the_fault(compiler, tables):
    sql = "DEPLOY d\nSELECT id,\n  a IS NULL AS x,\n  c\nFROM t1"
    (problem,) = check_query(sql, "db", tables, "request", compiler=compiler)
    assert problem.line == 3
    (problem,) = check_query("SELECT id\nFROM t1\nWHER x", "db", tables, "batch", compiler=compiler)
    assert problem.line == 3


def test_replacements_name_functions_that_exist():
    for name, text in REPLACEMENTS.items():
        assert name not in FUNCTIONS
        for used in re.findall(r"\b([a-z_0-9]+)`?\(", text):
            assert used in FUNCTIONS, (name, used)


def test_every_function_is_known_to_the_compiler(compiler, tables):
    """An unknown function is refused before its arguments matter: none of ours is unknown."""
    for name in ("trim", "coalesce", "no_such_function"):
        verdict = compiler.judge(f"SELECT {name}() FROM t1", "db", tables, "batch")
        assert not verdict.accepted
    for name, call in {
        "substr": "substr(a, 2)",
        "add_months": "add_months(d, 1)",
        "locate": "locate('x', a)",
        "truncate": "truncate(c)",
        "regexp_like": "regexp_like(a, 'x')",
        "minimum": "minimum(id, id)",
        "pmod": "pmod(id, 3)",
        "get_json_object": "get_json_object(a, '/x')",
        "array_join": "array_join(split_array(a, ','), '-')",
    }.items():
        assert name in FUNCTIONS
        assert compiler.judge(f"SELECT {call} FROM t1", "db", tables, "batch").accepted, call
