"""What runs and what does not, by OpenMLDB's compiler and without it."""

from __future__ import annotations

import openmldb_compiler
import pytest
from openmldb_embedded import referee as under_test
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.errors import ExecutionError, RefusedByOpenMLDB
from openmldb_embedded.referee import Referee
from openmldb_sql.errors import PlanError, SqlError
from openmldb_sql.types import SqlType, schema_of

from testing.jd import Catalog

T = SqlType
CATALOG = Catalog(
    {
        "t": schema_of([("k", T.STRING), ("v", T.INT32), ("x", T.DOUBLE), ("ts", T.TIMESTAMP)]),
        "u": schema_of([("k", T.STRING), ("v", T.INT32), ("x", T.DOUBLE), ("ts", T.TIMESTAMP)]),
    }
)
WINDOW = "FROM t WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"

REFUSED = {
    "SELECT k IS NULL AS a FROM t": "isnull(k)",
    "SELECT k || 'x' AS a FROM t": "concat(k, 'x')",
    "SELECT coalesce(k, 'x') AS a FROM t": "ifnull",
    "SELECT trim(k) AS a FROM t": "replace",
    "SELECT greatest(v, 1) AS a FROM t": "maximum",
    f"SELECT fz_top1_ratio(k) OVER w AS a {WINDOW}": "top1_ratio",
}
"""Runs in lenient mode only, and what the refusal says to write."""


def batch(referee, sql, params=(), *, online=True, export=False, checks=True):
    """A SELECT through the own checks, or past them, and the compiler."""
    query = compile_batch(sql, CATALOG, "db", params, strict=checks and not referee.lenient)
    return referee.confirm(query, sql, CATALOG, "db", params, online=online, export=export)


def deployment(referee, sql, *, checks=True):
    query = compile_request(sql, CATALOG, "db", strict=checks and not referee.lenient)
    return referee.confirm_deployment(query, sql, CATALOG, "db")


@pytest.fixture
def strict():
    reason = openmldb_compiler.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    return Referee()


@pytest.fixture
def own_checks(monkeypatch):
    """A strict referee on a machine without the compiler."""
    monkeypatch.setattr(under_test.compiler, "unavailable_reason", lambda: "it is not here")
    return Referee()


@pytest.mark.parametrize(("sql", "hint"), REFUSED.items())
def test_what_a_cluster_would_refuse_is_refused_with_the_way_to_write_it(strict, sql, hint):
    for ask in (batch, deployment):
        with pytest.raises(RefusedByOpenMLDB) as refused:
            ask(strict, sql, checks=False)
        assert hint in refused.value.message


@pytest.mark.parametrize(("sql", "hint"), REFUSED.items())
def test_the_own_checks_refuse_the_same(own_checks, sql, hint):
    for ask in (batch, deployment):
        with pytest.raises(PlanError) as refused:
            ask(own_checks, sql)
        assert hint.split("(")[0] in refused.value.message


@pytest.mark.parametrize("sql", REFUSED)
def test_lenient_runs_it(sql):
    referee = Referee(lenient=True)
    assert batch(referee, sql, online=True).schema[0][0] == "a"
    assert deployment(referee, sql).output_schema[0][0] == "a"


def test_the_codes_of_a_cluster(strict):
    cases = {
        "SELECT FROM t": (1001, "create logic plan tree failed--Syntax error"),
        "SELECT k IS NULL FROM t": (1002, "create logic plan tree failed--Unsupport binary"),
        "SELECT nothing FROM t": (1204, "explain failed--Fail to find column nothing"),
        "SELECT k FROM nowhere": (1202, "explain failed--Fail to transform data_provider op"),
        "SELECT count(*) FROM t": (1000, "explain failed--Aggregate over a table"),
    }
    for sql, (code, beginning) in cases.items():
        verdict = openmldb_compiler.judge(sql, "db", CATALOG.known, "request")
        told = under_test.refusal(sql, verdict, "request")
        assert told.code == code, sql
        assert told.message.startswith(beginning), told.message


def test_joins_run_offline_and_deployed_but_not_online(strict):
    sql = "SELECT t.k, u.v FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k"
    batch(strict, sql, online=False)
    deployment(strict, sql)
    with pytest.raises(RefusedByOpenMLDB, match="kJoinPlan"):
        batch(strict, sql, online=True, checks=False)


def test_where_on_the_request_table_is_no_deployment(strict):
    sql = "SELECT k FROM t WHERE v > 3"
    batch(strict, sql, online=True)
    with pytest.raises(RefusedByOpenMLDB, match="leave WHERE out"):
        deployment(strict, sql, checks=False)
    with pytest.raises(PlanError, match="WHERE on the request table"):
        deployment(strict, sql)


def test_parameters_are_judged_with_their_types(strict):
    sql = "SELECT k FROM t WHERE ts > ?"
    batch(strict, sql, ((T.TIMESTAMP, 1),), online=True)
    with pytest.raises(SqlError):
        batch(strict, sql, ((T.DATE, None),), online=True)


def test_other_output_columns_than_openmldbs_are_our_fault_and_shown(strict, monkeypatch):
    columns = (("k", T.STRING), ("n", T.INT32))
    accepted = openmldb_compiler.Verdict(openmldb_compiler.Outcome.ACCEPTED, columns=columns)
    monkeypatch.setattr(under_test.compiler, "judge", lambda *_, **__: accepted)
    deployment(strict, "SELECT k, v AS n FROM t")
    with pytest.raises(ExecutionError, match="a fault of the embedded engine") as shown:
        deployment(strict, "SELECT k, x AS n FROM t")
    assert "Here: k string, n double; OpenMLDB: k string, n int32" in shown.value.message


def test_an_export_is_held_against_the_columns_of_the_same_deployment(strict):
    batch(strict, f"SELECT k, sum(v) OVER w {WINDOW}", online=False, export=True)
    batch(strict, "SELECT k FROM t GROUP BY k", online=False, export=True)


def test_a_statement_that_kills_the_compiler_is_refused(strict):
    sql = (
        "SELECT sum(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN v PRECEDING AND CURRENT ROW) "
        "FROM t"
    )
    verdict = openmldb_compiler.judge(sql, "db", CATALOG.known, "online")
    assert "SIGSEGV" in under_test.refusal(sql, verdict, "online").message


def test_no_answer_in_time_is_not_a_refusal(strict, monkeypatch):
    late = openmldb_compiler.Verdict(openmldb_compiler.Outcome.TIMED_OUT, "no answer within 1 s")
    monkeypatch.setattr(under_test.compiler, "judge", lambda *_, **__: late)
    with pytest.raises(ExecutionError, match="could not be judged") as told:
        batch(strict, "SELECT k FROM t", online=True)
    assert told.value.code == 2001


def test_it_says_how_it_judges(strict, own_checks):
    assert "held against the compiler" in strict.describe()
    assert own_checks.describe() == "strict by this engine's own checks: it is not here"
    assert "lenient" in Referee(lenient=True).describe()


def test_the_server_is_strict(server):
    server.do("CREATE TABLE judged (k string, ts timestamp, INDEX(key=k, ts=ts))")
    found = server.ask("SELECT k IS NULL FROM judged")
    assert found["code"] != 0
    assert "isnull(k)" in found["msg"]
    found = server.ask("DEPLOY judged_one SELECT coalesce(k, 'x') AS a FROM judged")
    assert found["code"] != 0
    assert "ifnull" in found["msg"]
    assert server.ask("SELECT k FROM judged")["msg"] == "ok"


def test_a_lenient_server_says_so_on_every_answer(new_server):
    server = new_server("--lenient", name="lenient").start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t (k string, ts timestamp, INDEX(key=k, ts=ts))")
    server.do("INSERT INTO t VALUES ('a', 1)")
    found = server.ask("SELECT coalesce(k, 'x') FROM t")
    assert found["data"]["data"] == [["a"]]
    assert "lenient" in found["msg"]
    server.do("DEPLOY d SELECT k || 'b' AS x FROM t")
    answer = server.client.post("/dbs/db/deployments/d", json={"input": [["q", 5]]}).json()
    assert answer["data"]["data"] == [["qb"]]
    assert "lenient" in answer["msg"]
    refused = server.client.post("/dbs/db", json={"mode": "online", "sql": "SELECT nope FROM t"})
    assert refused.json()["code"] != 0
    for found in (refused, server.client.get("/health"), server.client.get("/dbs")):
        assert found.headers["x-openmldb-mode"] == "lenient"
