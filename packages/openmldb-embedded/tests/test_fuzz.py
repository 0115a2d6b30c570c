"""Statements and requests made of rubbish: an answer each time, and never an accident inside."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openmldb_embedded.paths import Roots
from openmldb_embedded.server import App
from openmldb_embedded.service import Service, Settings
from openmldb_embedded.store import Store

FUZZ = settings(
    max_examples=int(os.environ.get("OPENMLDB_FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CORPUS = [
    (
        "SELECT a, b, count(c) OVER w AS n FROM t WINDOW w AS (PARTITION BY a ORDER BY ts "
        "ROWS_RANGE BETWEEN 3d PRECEDING AND 0s PRECEDING MAXSIZE 10 EXCLUDE CURRENT_ROW)"
    ),
    "SELECT t.a, u.b FROM t LAST JOIN u ORDER BY u.ts ON t.a = u.a AND t.ts > u.ts WHERE t.c > 1",
    "SELECT a, sum(c) FROM t GROUP BY a HAVING sum(c) > 1 LIMIT 3",
    (
        "SELECT sum(c) OVER w FROM t WINDOW w AS (UNION u PARTITION BY a ORDER BY ts ROWS BETWEEN "
        "UNBOUNDED PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)"
    ),
    "WITH x AS (SELECT a FROM t) SELECT * FROM x UNION ALL SELECT a FROM u",
    (
        "SELECT case when a = 'x' then -c else c / 0 end, cast(b AS double), substr(a, 1, 2), "
        "dayofweek(ts), a LIKE '%x_', c BETWEEN 1 AND 2, c IN (1, 2), a IS NOT NULL FROM t"
    ),
    "INSERT INTO t VALUES ('x', 1.5, 2, 1000), ('y', null, -3, 1)",
    "DELETE FROM t WHERE a = 'x' AND ts > 5",
    "CREATE TABLE v(a string NOT NULL DEFAULT 'x', ts timestamp, INDEX(key=a, ts=ts, ttl=3d))",
    "CREATE INDEX i ON t (b, a) OPTIONS(ts=ts, ttl=10, ttl_type=latest)",
    (
        "DEPLOY d OPTIONS(RANGE_BIAS='inf', ROWS_BIAS=1) SELECT a, first_value(c) OVER w AS f FROM t "
        "WINDOW w AS (PARTITION BY a ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
    ),
    "SHOW JOBS FROM NAMESERVER LIKE '1'",
    "DROP DEPLOYMENT IF EXISTS d",
    "TRUNCATE TABLE t",
    "SHOW TABLE STATUS LIKE 't%'",
    "SHOW CREATE TABLE t",
    "SET @@execute_mode = 'online'",
    "EXPLAIN SELECT a FROM t",
    "DESC t",
    "SELECT ? FROM t",
]
TOKENS = sorted({token for sql in CORPUS for token in re.findall(r"\w+|'[^']*'|\S", sql)})
ACCIDENT = re.compile(r"^\w+(Error|Exception|Interrupt|Exit|Invalid)\b: ")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("fuzz")
    service = Service(Store(folder / "data"), Roots([folder], folder / "data"), Settings())
    app = App(service)
    for sql in (
        "CREATE DATABASE db",
        "CREATE TABLE t(a string, b float, c int, ts timestamp, INDEX(key=a, ts=ts))",
        "CREATE TABLE u(a string, b float, c int, ts timestamp, INDEX(key=a, ts=ts))",
        "INSERT INTO t VALUES ('x', 1.5, 2, 1000), ('y', null, -3, 1), ('x', 0, 7, 1000)",
        "INSERT INTO u VALUES ('x', 1.5, 2, 900), ('y', null, -3, 5)",
        f"DEPLOY fixed {CORPUS[0]}",
    ):
        assert json.loads(post(app, "/dbs/db", {"mode": "online", "sql": sql}))["code"] == 0, sql
    yield app
    service.close()


def call(app: App, method: str, path: str, body: bytes) -> bytes:
    """One request through the ASGI application, without a socket."""
    parts: list[Any] = []
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        for message in given:
            return message
        await asyncio.sleep(3600)
        return None

    async def send(message: Any) -> None:
        parts.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "server": ("x", 1),
        "scheme": "http",
    }
    asyncio.run(app(scope, receive, send))
    assert parts[0]["status"] == 200
    answer: bytes = parts[1]["body"]
    return answer


def post(app: App, path: str, document: Any) -> bytes:
    return call(app, "POST", path, json.dumps(document).encode())


def check(answer: bytes) -> None:
    if answer == b"OK":
        return
    found = json.loads(answer)
    assert isinstance(found["code"], int)
    assert found["code"] != 2001 or found["msg"].startswith("ns create procedure failed--"), found
    assert not ACCIDENT.match(found["msg"]), found


def mutated(draw: st.DrawFn) -> str:
    base = re.findall(r"\w+|'[^']*'|\S", draw(st.sampled_from(CORPUS)))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(0, 4))):
        at = chance.randrange(len(base) + 1)
        kind = chance.randrange(4)
        if kind == 0 and base:
            base.pop(min(at, len(base) - 1))
        elif kind == 1:
            base.insert(at, chance.choice(TOKENS))
        elif kind == 2 and base:
            base[min(at, len(base) - 1)] = chance.choice(TOKENS)
        elif base:
            other = chance.randrange(len(base))
            at = min(at, len(base) - 1)
            base[at], base[other] = base[other], base[at]
    return " ".join(base)


@FUZZ
@given(st.composite(mutated)(), st.sampled_from(["online", "onsync"]))
def test_mutated_statements(app: App, sql: str, mode: str) -> None:
    check(post(app, "/dbs/db", {"mode": mode, "sql": sql}))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["x", 1000, 1.5, "2020-1-1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@FUZZ
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["online", "offsync", "nonsense"]) | JSON,
            "sql": st.sampled_from([sql for sql in CORPUS if "DEPLOY" not in sql]) | JSON,
            "timeout": st.integers(-5, 10**20) | JSON,
            "input": st.fixed_dictionaries({}, optional={"schema": JSON, "data": JSON}) | JSON,
        },
    )
)
def test_bodies_of_statements(app: App, body: dict[str, Any]) -> None:
    if body.get("mode") == "offsync" and "SELECT" in str(body.get("sql")):
        return  # a process for each is too slow here
    check(post(app, "/dbs/db", body))


@FUZZ
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "input": st.lists(
                st.fixed_dictionaries({}, optional={"a": JSON, "b": JSON, "c": JSON, "ts": JSON})
                | st.tuples(
                    st.text(max_size=3) | st.none(),
                    st.floats() | st.none(),
                    st.integers(-(2**31), 2**31 - 1) | st.none(),
                    st.integers(-(2**63), 2**63 - 1) | st.none(),
                )
                | JSON,
                max_size=4,
            )
            | JSON,
            "need_schema": JSON,
            "write_nan_and_inf_null": JSON,
        },
    )
)
def test_bodies_of_requests(app: App, body: dict[str, Any]) -> None:
    check(post(app, "/dbs/db/deployments/fixed", body))


@FUZZ
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    st.lists(
        st.sampled_from(["dbs", "db", "tables", "t", "deployments", "fixed", "health", "refresh"])
        | st.text(max_size=4),
        max_size=6,
    ).map(lambda parts: "/" + "/".join(parts)),
    st.binary(max_size=40) | JSON.map(lambda document: json.dumps(document).encode()),
)
def test_paths_and_bytes(app: App, method: str, path: str, body: bytes) -> None:
    check(call(app, method, path, body))


def test_the_fuzzed_corpus_itself_is_sound(app: App, tmp_path: Path) -> None:
    for sql in CORPUS:
        if "?" not in sql:
            found = json.loads(post(app, "/dbs/db", {"mode": "online", "sql": sql}))
            assert found["code"] in (0, -1, 1002, 1500, 2000, 2001), (sql, found)
