"""Queries that would take all memory, all rows or all time end in an error; the server goes on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from testing.embedded import ServerProcess

ROWS = 50_000


def loaded(new_server: Callable[..., ServerProcess], *arguments: str) -> ServerProcess:
    server = new_server(*arguments).start()
    folder = server.data.parent
    table = pa.table(
        {
            "k": pa.array([0] * ROWS, pa.int32()),
            "v": pa.array(range(ROWS), pa.int64()),
        }
    )
    pq.write_table(table, folder / "rows.parquet")
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t(k int, v bigint, INDEX(key=k, ts=v))")
    for mode in ("onsync", "offsync"):
        row = server.do(
            f"LOAD DATA INFILE '{folder}/rows.parquet' INTO TABLE t "
            f"OPTIONS(format='parquet', mode='append')",
            mode=mode,
        )[0]
        assert row[2] == "FINISHED", row
    return server


def test_a_join_of_everything_with_everything(new_server: Callable[..., ServerProcess]) -> None:
    server = loaded(new_server, "--job-memory", "700", "--lenient")
    sql = "SELECT a.v AS x, b.v AS y FROM t a LEFT JOIN t b ON a.k = b.k"
    found = server.ask(sql)
    assert found["code"] == 2000, found
    assert "LEFT JOIN would make 2500000000 rows" in found["msg"], found
    found = server.ask(f"{sql} CONFIG (execute_mode='offline')", mode="offsync")
    assert found["code"] == 2000, found
    assert "memory" in found["msg"] or "rows" in found["msg"], found
    job = server.do(f"{sql} INTO OUTFILE '{server.data.parent}/out'", mode="offsync")[0]
    assert job[2] == "FAILED"
    assert server.do("SELECT count(v) FROM t") == [[ROWS]]


def test_an_answer_holds_so_many_rows(new_server: Callable[..., ServerProcess]) -> None:
    server = loaded(new_server, "--max-rows", "1000")
    for config in ("", " CONFIG (execute_mode='offline')"):
        found = server.ask(f"SELECT * FROM t{config}", mode="offsync")
        assert found["code"] == 2000
        assert "at most 1000" in found["msg"]
        assert len(server.do(f"SELECT * FROM t LIMIT 1000{config}", mode="offsync")) == 1000


def test_a_query_ends_with_its_timeout_or_its_client(
    new_server: Callable[..., ServerProcess],
) -> None:
    server = loaded(new_server)
    windows = ", ".join(
        f"w{n} AS (PARTITION BY k ORDER BY v ROWS BETWEEN {n + 9000} PRECEDING AND CURRENT ROW)"
        for n in range(20)
    )
    columns = ", ".join(f"topn_frequency(v, 3) OVER w{n} AS c{n}" for n in range(20))
    slow = f"SELECT {columns} FROM t WINDOW {windows}"
    found = server.ask(slow, timeout=500)
    assert found["code"] == 2000
    assert "given up" in found["msg"]
    body = json.dumps({"mode": "offsync", "sql": slow}).encode()
    head = b"POST /dbs/db HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(head + body)
        time.sleep(1)
    deadline = time.monotonic() + 180
    staging = server.data / "staging"
    while list(staging.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(staging.iterdir())
    assert server.do("SELECT count(v) FROM t") == [[ROWS]]
