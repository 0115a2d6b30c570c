"""The API server's protocol, seen by a client: answers, odd corners, rubbish."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time

import pytest

from testing.embedded import ServerProcess

JOB_SCHEMA = (
    ["Int32", "String", "String", "Timestamp", "Timestamp"]
    + ["String"] * 6
    + ["Int32", "String", "String"]
)

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", autouse=True)
def tables(server: ServerProcess) -> None:
    server.do(
        "CREATE TABLE kinds(b bool, i16 smallint, i32 int, i64 bigint, f float, d double, "
        "s string, day date, ts timestamp, INDEX(key=s, ts=ts))"
    )
    server.do(
        "INSERT INTO kinds VALUES (true, 1, 2, 3, 0.0288, 1.5, 'bb', '2021-12-01', 1000),"
        "(null, null, null, null, null, null, 'n', null, 2000)"
    )


def test_health(server: ServerProcess) -> None:
    answer = server.client.get("/health")
    assert (answer.status_code, answer.text) == (200, "OK")


def test_ddl_answers_without_data_and_rows_come_without_names(server: ServerProcess) -> None:
    assert server.ask("CREATE TABLE plain(a int, b string)") == {"code": 0, "msg": "ok"}
    assert server.ask("INSERT INTO plain VALUES (1, 'bb')") == {"code": 0, "msg": "ok"}
    assert server.ask("SELECT a, b FROM plain") == {
        "code": 0,
        "msg": "ok",
        "data": {"schema": ["Int32", "String"], "data": [[1, "bb"]]},
    }


def test_every_type_in_a_result(server: ServerProcess) -> None:
    found = server.ask("SELECT * FROM kinds WHERE s = 'bb'")["data"]
    assert found["schema"] == [
        "Bool",
        "Int16",
        "Int32",
        "Int64",
        "Float",
        "Double",
        "String",
        "Date",
        "Timestamp",
    ]
    assert found["data"] == [[True, 1, 2, 3, 0.02879999950528145, 1.5, "bb", "2021-12-1", 1000]]


def test_nulls_in_a_result(server: ServerProcess) -> None:
    assert server.do("SELECT * FROM kinds WHERE s = 'n'") == [[None] * 6 + ["n", None, 2000]]


def test_only_the_first_statement_runs(server: ServerProcess) -> None:
    assert server.ask("CREATE TABLE first(a int); CREATE TABLE second(a int)")["code"] == 0
    names = [row[0] for row in server.do("SHOW TABLES")]
    assert "first" in names
    assert "second" not in names


@pytest.mark.parametrize("mode", ["offsync", "offasync", "online", "onsync", "OnLine"])
def test_modes(server: ServerProcess, mode: str) -> None:
    assert server.ask("SHOW DATABASES", mode=mode)["data"]["data"] == [["db"]]


def test_an_unknown_mode(server: ServerProcess) -> None:
    found = server.ask("SHOW DATABASES", mode="request")
    assert found["code"] == -1
    assert found["msg"].startswith("Invalid mode request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"mode": "online"}',
        b'{"sql": "show databases"}',
        b'{"mode": 1, "sql": "show databases"}',
        b'{"mode": "online", "sql": null}',
        b'{"mode": "online", "sql": "show databases", "timeout": "soon"}',
        b'{"mode": "online", "sql": "insert into kinds (s) values (\'\\ud800\')"}',
        b'{"mode": "online", "sql": "select ?", "input": {"schema": ["int"], "data": []}}',
        b"\xff\xfe\x00" * 100,
        b"[" * 100_000,
        b'{"mode": "online", "sql": ' + b"[" * 100_000,
    ],
)
def test_a_body_that_is_none_is_an_error_under_http_200(server: ServerProcess, body: bytes) -> None:
    answer = server.client.post("/dbs/db", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["code"] == -1


def test_unknown_paths_and_methods(server: ServerProcess) -> None:
    for method, path in (
        ("GET", "/"),
        ("DELETE", "/dbs/db"),
        ("POST", "/dbs"),
        ("GET", "/dbs/x/y"),
    ):
        answer = server.client.request(method, path, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (200, -1)


def test_errors_have_the_real_servers_codes(server: ServerProcess) -> None:
    planned, explained = (
        "create logic plan tree failed--",
        "get tablet client failed--fail to explain",
    )
    for sql, code, begin in (
        ("SELEC 1", 1001, planned),
        ("SELECT * FROM kinds GROUP", 1001, planned),
        ("SELECT * FROM kinds WHERE s IS NULL", 1002, planned),
        ("SELECT 1 << 2", 101, planned),
        ("SELECT nothing FROM kinds", 1204, explained),
        ("SELECT s + i32 FROM kinds", 3, explained),
        ("SELECT * FROM nothing", 1000, explained),
        ("SELECT * FROM kinds ORDER BY i32", 1500, "Query rpc failed--"),
    ):
        found = server.ask(sql)
        assert found["code"] == code, found
        assert found["msg"].startswith(begin)


def test_parameters(server: ServerProcess) -> None:
    rows = server.do(
        "SELECT i32 FROM kinds WHERE s = ? AND i64 = ?",
        input={"schema": ["string", "bigint"], "data": ["bb", 3]},
    )
    assert rows == [[2]]


def test_databases_and_tables_through_get(server: ServerProcess) -> None:
    assert server.client.get("/dbs").json() == {"code": 0, "msg": "ok", "dbs": ["db"]}
    table = server.client.get("/dbs/db/tables/kinds").json()["table"]
    assert table["name"] == "kinds"
    assert [c["name"] for c in table["column_desc"]][:2] == ["b", "i16"]
    assert table["column_key"][0]["col_name"] == ["s"]
    names = [t["name"] for t in server.client.get("/dbs/db/tables").json()["tables"]]
    assert "kinds" in names
    assert server.client.get("/dbs/none/tables").json()["code"] == -1
    assert server.client.post("/refresh", headers=JSON).json() == {"code": 0, "msg": "ok"}


def test_put_takes_exactly_one_row_of_strict_types(server: ServerProcess) -> None:
    server.do("CREATE TABLE one(a int, d date)")
    put = server.client.put
    assert put("/dbs/db/tables/one", json={"value": [[1, "2020-2-3"]]}).json()["code"] == 0
    for value in ([], [[1, None], [2, None]], [[1.0, None]], [["1", None]], [[1]], [[1, "x"]], 3):
        assert put("/dbs/db/tables/one", json={"value": value}).json()["code"] in (-1, 2000)
    assert server.do("SELECT * FROM one") == [[1, "2020-2-3"]]


def test_shows(server: ServerProcess) -> None:
    assert server.ask("SHOW JOBS")["data"]["schema"] == JOB_SCHEMA
    found = server.ask("DESC kinds")["data"]
    assert found["schema"] == ["String"]
    assert "kTimestamp" not in found["data"][0][0]
    assert "Varchar" in found["data"][0][0]
    assert server.ask("SHOW COMPONENTS")["code"] == 0
    assert ["execute_mode", "offline"] in server.do("SHOW VARIABLES")
    status = server.do("SHOW TABLE STATUS LIKE 'd%'")
    assert ["kinds", "db", "memory", "2"] in [row[1:5] for row in status]
    assert server.do("SHOW TABLE STATUS LIKE 'kinds'") == []  # the pattern is of databases


def test_show_create_table_makes_the_same_table(server: ServerProcess) -> None:
    created = server.do("SHOW CREATE TABLE kinds")[0][1]
    server.do("CREATE DATABASE IF NOT EXISTS copy")
    server.do(created, db="copy")
    again = [
        re.sub(r"INDEX_\d+_\d+", "INDEX", row[0]) for row in server.do("DESC kinds", db="copy")
    ]
    assert again == [re.sub(r"INDEX_\d+_\d+", "INDEX", row[0]) for row in server.do("DESC kinds")]
    server.do("DROP TABLE kinds", db="copy")
    server.do("DROP DATABASE copy")


def test_delete_by_key_and_by_time(server: ServerProcess) -> None:
    server.do("CREATE TABLE gone(k string, ts bigint, v int, INDEX(key=k, ts=ts))")
    rows = ", ".join(f"('{k}', {ts}, {ts})" for k in "ab" for ts in range(5))
    server.do(f"INSERT INTO gone VALUES {rows}")
    server.do("DELETE FROM gone WHERE k = 'a' AND ts >= 3L")
    assert sorted(server.do("SELECT k, ts FROM gone WHERE k = 'a'")) == [["a", n] for n in range(3)]
    server.do("DELETE FROM gone WHERE ts < 2L")
    assert sorted(server.do("SELECT k, ts FROM gone")) == [
        ["a", 2],
        ["b", 2],
        ["b", 3],
        ["b", 4],
    ]
    assert server.ask("DELETE FROM gone WHERE v = 1")["code"] != 0
    server.do("TRUNCATE TABLE gone")
    assert server.do("SELECT * FROM gone") == []


def test_insert_checks_types_and_fills_defaults(server: ServerProcess) -> None:
    server.do("CREATE TABLE strict(a smallint NOT NULL, b string DEFAULT 'x', c timestamp)")
    server.do("INSERT INTO strict (c, a) VALUES (1500, -3)")
    assert server.do("SELECT * FROM strict") == [[-3, "x", 1500]]
    for values in ("(null, 'a', 1)", "('1', 'a', 1)", "(1, 2, 3)", "(1)", "(1, 'a', '2020-1-1')"):
        assert server.ask(f"INSERT INTO strict VALUES {values}")["code"] != 0
    assert len(server.do("SELECT * FROM strict")) == 1


def test_names_that_exist_and_names_that_do_not(server: ServerProcess) -> None:
    for sql in (
        "CREATE DATABASE db",
        "CREATE TABLE kinds(a int)",
        "DROP TABLE nothing",
        "DROP DATABASE nothing",
        "DESC nothing",
        "USE nothing",
        "TRUNCATE TABLE nothing",
        "INSERT INTO nothing VALUES (1)",
        "SELECT * FROM nothing",
        "SHOW DEPLOYMENT nothing",
        "DROP DEPLOYMENT nothing",
        "DROP DATABASE db",
    ):
        assert server.ask(sql)["code"] != 0, sql
    job = server.do("LOAD DATA INFILE 'x' INTO TABLE nothing OPTIONS(mode='append')")[0]
    assert job[2] == "FAILED"
    for sql in (
        "CREATE DATABASE IF NOT EXISTS db",
        "CREATE TABLE IF NOT EXISTS kinds(a int)",
        "DROP TABLE IF EXISTS nothing",
        "DROP DATABASE IF EXISTS nothing",
    ):
        assert server.ask(sql)["code"] == 0, sql


def test_create_and_drop_index(server: ServerProcess) -> None:
    server.do("CREATE TABLE ix(a int, b string, ts timestamp, f float)")
    server.do("CREATE INDEX second ON ix (b, a) OPTIONS(ts=ts, ttl=1d)")
    deadline = time.monotonic() + 180  # seen a little later, as on a cluster
    while not any("b|a" in row[0] for row in server.do("DESC ix")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for sql in (
        "CREATE INDEX third ON ix (b, a) OPTIONS(ts=ts)",
        "CREATE INDEX third ON ix (nothing)",
        "CREATE INDEX third ON ix (f)",
        "CREATE INDEX third ON ix (a) OPTIONS(ts=b)",
        "DROP INDEX ix.nothing",
    ):
        assert server.ask(sql)["code"] != 0, sql
    server.do("DROP INDEX ix.second")
    assert not any("b|a" in row[0] for row in server.do("DESC ix"))


def test_a_body_of_100_mb_is_refused_and_the_server_goes_on(server: ServerProcess) -> None:
    big = b'{"mode":"online","sql":"' + b"x" * (100 * 2**20) + b'"}'
    answer = server.client.post("/dbs/db", content=big, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["code"] == -1
    assert "64 MiB" in answer.json()["msg"]
    assert server.client.get("/health").text == "OK"


def test_rubbish_on_the_socket_and_clients_that_leave(server: ServerProcess) -> None:
    for data in (
        b"\x00\xff" * 1000,
        b"POST /dbs/db HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /dbs/db HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        with client, contextlib.suppress(OSError):
            client.sendall(data)
    body = json.dumps({"mode": "online", "sql": "SELECT count(*) FROM kinds"}).encode()
    head = b"POST /dbs/db HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(head + body)
    assert server.client.get("/health").text == "OK"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 150 + "1" + ")" * 150 + " FROM kinds",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "-" * 5000 + " 1 FROM kinds",
        "SELECT " + " + ".join(["i32"] * 5000) + " FROM kinds",
        "SELECT " + "not " * 5000 + "b FROM kinds",
        "SELECT " + "case when b then 1 else " * 3000 + "2" + " end" * 3000 + " FROM kinds",
        "SELECT * FROM " + "(SELECT * FROM " * 100 + "kinds" + ")" * 100,
        "SELECT " + ", ".join(f"i32 AS c{n}" for n in range(2000)) + " FROM kinds",
        "SELECT '" + "x" * 10**6 + "' FROM kinds",
        "SELECT " + "9" * 10**5 + " FROM kinds",
    ],
)
def test_deep_and_long_statements_end_in_an_answer(server: ServerProcess, sql: str) -> None:
    assert isinstance(server.ask(sql)["code"], int)
    assert server.client.get("/health").text == "OK"


def test_writers_and_readers_at_once(server: ServerProcess) -> None:
    server.do("CREATE TABLE busy(a int, b int)")
    failures: list[object] = []

    def write(name: int) -> None:
        for n in range(25):
            found = server.ask(f"INSERT INTO busy VALUES ({name}, {n})")
            if found["code"] != 0:
                failures.append(found)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 180
    while any(t.is_alive() for t in threads) and time.monotonic() < deadline:
        count = server.do("SELECT count(*) FROM busy")
        assert count == [] or 0 <= count[0][0] <= 150
    for thread in threads:
        thread.join()
    assert not failures
    rows = server.do("SELECT a, b FROM busy")
    for name in range(6):
        assert sorted(b for a, b in rows if a == name) == list(range(25))


def test_requests_see_each_acknowledged_row_while_rows_arrive(server: ServerProcess) -> None:
    server.do("CREATE TABLE seen(k string, ts timestamp, v int, INDEX(key=k, ts=ts))")
    server.do(
        "DEPLOY seen OPTIONS(RANGE_BIAS='inf', ROWS_BIAS='inf') SELECT k, count(v) OVER w AS n, "
        "sum(v) OVER w AS s FROM seen WINDOW w AS (PARTITION BY k ORDER BY ts "
        "ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    sent = acknowledged = 0
    failures: list[object] = []
    done = threading.Event()

    def ask() -> None:
        last = 0
        while not done.is_set():
            low = acknowledged
            row = {"k": "a", "ts": 10**12, "v": 0}
            found = server.post("/dbs/db/deployments/seen", {"input": [row]})
            high = sent
            n, total = found["data"]["data"][0]["n"] - 1, found["data"]["data"][0]["s"]
            if not (low <= n <= high and n >= last and total == n):
                failures.append((low, n, high, last, total))
            last = n

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(120):
        sent += 1
        late = 1000 * (60 - number) if number % 2 else 1000 * number  # late rows included
        server.do(f"INSERT INTO seen VALUES ('a', {10**9 + late}, 1), ('b', 1, 1)")
        acknowledged += 1
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    server.do("DROP DEPLOYMENT seen")


def test_request_rows_as_arrays_and_as_objects(server: ServerProcess) -> None:
    server.do(
        "DEPLOY kinds_echo SELECT b, i16, i32, i64, f, d, s, day, ts, "
        "lag(day, 1) OVER w AS before FROM kinds WINDOW w AS "
        "(PARTITION BY s ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    )
    names = ["b", "i16", "i32", "i64", "f", "d", "s", "day", "ts"]
    values = [False, -1, -2, -3, 0.0288, 2, "q", "2021-02-03", 5]
    path = "/dbs/db/deployments/kinds_echo"
    echoed = [False, -1, -2, -3, 0.02879999950528145, 2.0, "q", "2021-2-3", 5, None]
    found = server.post(path, {"input": [values], "need_schema": True})
    assert found["data"]["data"] == [echoed]
    assert found["data"]["schema"] == [
        {"name": name, "type": kind}
        for name, kind in zip(
            [*names, "before"],
            [
                "bool",
                "int16",
                "int32",
                "int64",
                "float",
                "double",
                "string",
                "date",
                "timestamp",
                "date",
            ],
            strict=True,
        )
    ]
    objects = [dict(zip(names, values, strict=True), extra=1)]
    found = server.post(path, {"input": objects})
    assert found == {
        "code": 0,
        "msg": "ok",
        "data": {"data": [dict(zip([*names, "before"], echoed, strict=True))]},
    }
    for body in (
        {},
        {"input": []},
        {"input": None},
        {"input": {}},
        {"input": [1]},
        {"input": [[]]},
    ):
        assert server.post(path, body)["code"] == -1
    nan = server.client.post(
        path,
        content=b'{"input": [[null,null,null,null,NaN,-Infinity,"q",null,6]]}',
        headers=JSON,
    )
    assert b"NaN,-Infinity" in nan.content
    nulled = server.client.post(
        path,
        content=b'{"input": [[null,null,null,null,NaN,-Infinity,"q",null,6]],'
        b'"write_nan_and_inf_null": true}',
        headers=JSON,
    )
    assert nulled.json()["data"]["data"][0][4:6] == [None, None]
    server.do("DROP DEPLOYMENT kinds_echo")


WHERE = "DEPLOY hollow SELECT k FROM hollow WHERE v = 1"


def test_a_deployment_that_filters_its_requests_is_made_and_fails_each_as_on_a_cluster(server):
    server.do("CREATE TABLE hollow(k string, v int)")
    server.do(WHERE)
    assert ["db", "hollow"] in server.do("SHOW DEPLOYMENTS")
    answer = server.post("/dbs/db/deployments/hollow", {"input": [["a", 1]]})
    assert (answer["code"], "WHERE on the request table" in answer["msg"]) == (-1, True)
    server.do("DROP DEPLOYMENT hollow")


def test_an_exact_server_refuses_it(new_server):
    server = new_server("--exact").start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE hollow(k string, v int)")
    answer = server.ask(WHERE)
    assert (answer["code"], "every request to it fails" in answer["msg"]) == (1000, True)
    assert server.do("SHOW DEPLOYMENTS") == []
