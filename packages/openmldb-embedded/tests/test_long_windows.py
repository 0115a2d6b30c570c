"""LONG_WINDOWS: what a cluster refuses is refused; the answers are those without it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openmldb_embedded.engine import compile_request
from openmldb_embedded.memtable import MemTable
from openmldb_embedded.service.long_windows import check_long_windows
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.types import SqlType, schema_of

from testing.embedded import ServerProcess
from testing.jd import Catalog

FIELDS = [
    ("id", SqlType.INT32),
    ("k", SqlType.STRING),
    ("ts", SqlType.TIMESTAMP),
    ("x", SqlType.INT32),
    ("d", SqlType.DATE),
]
SCHEMA = schema_of(FIELDS)
W = "w as (PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 100d PRECEDING AND CURRENT ROW)"
ONE = f"select id, sum(x) over w as a, count_where(x, x > 1) over w as b from t window {W}"
JOINED = (
    "select t.id, sum(t.x) over w as a from t last join u order by u.ts on t.k = u.k window w as "
    "(PARTITION BY t.k ORDER BY t.ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
)


class OfState:
    """Tables without rows."""

    def table(self, db: str, name: str) -> SimpleNamespace:
        return SimpleNamespace(schema=SCHEMA, memory=MemTable(SCHEMA))


def check(sql: str, value: object) -> None:
    query = compile_request(sql, Catalog({"t": SCHEMA, "u": SCHEMA}), "db")
    check_long_windows({"long_windows": value}, parse_select(sql), query, OfState())  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["w", "w:1d", "w:2H", "w: 30 s", ""])
def test_taken(value: str) -> None:
    check(ONE, value)


@pytest.mark.parametrize("value", ["w:100", "w"])
def test_buckets_of_rows(value: str) -> None:
    check(ONE.replace("count_where(x, x > 1)", "avg(x)"), value)


@pytest.mark.parametrize(
    ("sql", "value", "code", "words"),
    [
        (ONE, "v", 1001, "doesn't match window in sql"),
        (ONE, "w,v", 1001, "'v'"),
        (ONE, 3, 1001, "doesn't match"),
        (ONE, "w:1d:2", 1001, "illegal long window format"),
        (ONE, "w:soon", 2, "create aggregator failed: 'soon'"),
        (ONE, "w:5", 100, "count_where"),
        (ONE.replace("sum(x)", "distinct_count(x)"), "w", 2, "distinct_count"),
        (ONE.replace("sum(x) over w", "sum(x) over w + 1"), "w", 102, "in an expression"),
        (ONE.replace("x > 1", "x > id"), "w", 102, "compares no column with a constant"),
        (ONE.replace("x > 1", "d = '2024-01-01'"), "w", 100, r"filter column \(d\)"),
        (JOINED, "w", 101, "multi tables"),
        (f"select id, a from ({ONE})", "w", 1001, "outermost SELECT"),
    ],
)  # fmt: skip
def test_refused(sql: str, value: object, code: int, words: str) -> None:
    with pytest.raises(SqlError, match=words) as found:
        check(sql, value)
    assert found.value.code == code


def test_over_http(server: ServerProcess) -> None:
    server.do("CREATE TABLE t(id int, k string, ts timestamp, x int, d date, INDEX(KEY=k, TS=ts))")
    server.do(f"DEPLOY long OPTIONS(LONG_WINDOWS='w:1d') {ONE}")
    server.do("INSERT INTO t VALUES (1, 'a', 1000, 2, '2024-01-01')")
    asked = {"input": [[2, "a", 2000, 3, "2024-01-02"]]}
    assert server.post("/dbs/db/deployments/long", asked)["data"]["data"] == [[2, 5, 2]]
    refused = server.ask(f"DEPLOY later OPTIONS(LONG_WINDOWS='w:1d') {ONE}")
    assert refused["code"] == 100
    assert "has online data" in refused["msg"]
