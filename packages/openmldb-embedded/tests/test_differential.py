"""Generated SELECTs through OpenMLDB's own compiler and through the engine's own checks.

The own checks are all there is where the compiler is not, so they must refuse what it refuses. The
statements are drawn from a fixed seed; Hypothesis shrinks one that differs.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openmldb_compiler import Compiler, judge, unavailable_reason
from openmldb_compiler.advice import readable
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_sql.errors import SqlError
from statements_at_random import TABLES, Statements
from wider_statements import WiderStatements

from testing.jd import Catalog

CATALOG = Catalog(TABLES)
UPSTREAM = {
    "fail to verify codegen module": "its code generator fails on some CASE over an aggregate's text",
    "unsupported casting type: NULL": "a NULL branch of a CASE that another operator takes",
    "gives no reason": "its code generator fails on some CASE of constants",
    "LLVM argument type mismatch": "an aggregate of what is always NULL",
}
"""Faults of OpenMLDB's code generator, after its own checks have accepted the statement."""

LIMITS = re.compile(
    r"window|ORDER BY|PARTITION BY|GROUP BY|ROWS_RANGE|UNBOUNDED FOLLOWING|FrameType RANGE|UNION of"
    r"|LAST JOIN cannot order by .* of type int16|partition key|aggregates columns|values of a window|needs OVER|without a name"
)
"""Why the engine refuses what OpenMLDB compiles: clauses, of which OpenMLDB looks at no more than it
uses. No expression, function or type is among them."""

EXAMPLES = settings(
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def compiler():
    reason = unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    found = Compiler()
    yield found
    found.close()


def compare(sql: str, mode: str, compiler: Compiler) -> None:
    verdict = judge(sql, "db", TABLES, mode, compiler=compiler)
    ours, why = None, ""
    try:
        if mode == "request":
            ours = compile_request(sql, CATALOG, "db", strict=True).output_schema
        else:
            ours = compile_batch(sql, CATALOG, "db", strict=True).schema
    except SqlError as error:
        why = error.message
    if not verdict.accepted:
        told = readable(verdict)
        if not any(fault in told for fault in UPSTREAM):
            assert ours is None, f"accepted here, refused by OpenMLDB: {told}\n{sql}"
    elif ours is None:
        assert LIMITS.search(why), f"refused here ({why}), accepted by OpenMLDB\n{sql}"
    elif verdict.columns is not None:
        assert list(verdict.columns) == list(ours), sql


def first_of(seeds: range) -> list[Any]:
    """The seeds, of which the fast tier takes the first."""
    return [pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in seeds]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["batch", "request"])
def test_the_own_checks_agree_with_openmldb(compiler, mode):
    @EXAMPLES
    @given(st.randoms(use_true_random=False))
    def check(random: Random) -> None:
        compare(Statements(random).select(), mode, compiler)

    check()


@pytest.mark.parametrize("mode", ["batch", "request"])
@pytest.mark.parametrize("seed", first_of(range(0, 300, 100)))
def test_statements_of_other_shapes_agree_with_openmldb(compiler, seed, mode):
    for number in range(seed, seed + 100):
        compare(WiderStatements(Random(number)).select(), mode, compiler)


@pytest.mark.parametrize("seed", first_of(range(0, 1000, 100)))
def test_numbered_statements_agree_with_openmldb(compiler, seed):
    """Chance as it falls: Hypothesis prefers small values, and so plain statements."""
    for number in range(seed, seed + 100):
        compare(Statements(Random(number)).select(), "request", compiler)


SPELLINGS = [
    *(
        "1_000",
        "1x",
        "1e",
        "1f",
        "1L",
        "1Lx",
        "1L1",
        "1.5fx",
        "1.x",
        "1.5x",
        "10dx",
        "1d1",
        "0x1Fg",
    ),
    *("id+1x", "r'x'", r"r'\d'", r"a RLIKE r'\d+'", "rb'x'", "r 'x'", "r'a''b'", "'a' 'b'", "'x'y"),
    *("!id + 1", "!b LIKE 'x'", "!NOT ok", "b ! LIKE 'x'", "b !LIKE 'x'", "id ! IN (1)", "1 + !id"),
]
"""What a statement drawn at random does not write: numbers and words without a blank between them,
raw texts, ``!`` beside other operators."""


@pytest.mark.parametrize("text", SPELLINGS)
def test_spellings_agree_with_openmldb(compiler, text):
    for mode in ("batch", "request"):
        compare(f"SELECT {text} FROM t1", mode, compiler)


NESTED = [
    "(SELECT id, ts FROM (SELECT t1.id, t1.ts, u.v FROM t1 LAST JOIN u ON t1.a = u.k) AS x) AS y",
    "(SELECT id, ts FROM (SELECT t1.id, t1.ts, u.v FROM t1 LAST JOIN u ON t1.a = u.k)) AS y",
    "(SELECT * FROM (SELECT t1.id, t1.ts, u.v FROM t1 LAST JOIN u ON t1.a = u.k) AS x) AS y",
    "(SELECT x.* FROM (SELECT t1.id, t1.ts, u.v FROM t1 LAST JOIN u ON t1.a = u.k) AS x) AS y",
    "(SELECT *, v AS w FROM (SELECT * FROM t1 LAST JOIN u ON t1.a = u.k) AS x)",
    "(SELECT id, ts FROM (SELECT id, ts FROM t1) AS x) AS y",
]


@pytest.mark.parametrize("source", NESTED)
def test_windows_over_subqueries_agree_with_openmldb(compiler, source):
    frame = "PARTITION BY id ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
    for mode in ("batch", "request"):
        sql = f"SELECT sum(id) OVER w AS s FROM {source} WINDOW w AS ({frame})"
        compare(sql, mode, compiler)
