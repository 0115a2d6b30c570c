#!/usr/bin/env python3
"""How fast the embedded OpenMLDB answers over HTTP, on the JD tutorial's tables.

Starts a server, loads the tables k-fold (ids shifted, so that partitions do not merge), deploys the
tutorial's feature query, and measures one client, eight clients at once, 100 rows in a request by
one client and by four, one client beside a big offline SELECT, and a start from the persisted data.

    .venv/bin/python bench/openmldb_http.py [--fold 1] [--requests 1000] [--server PYTHON]

With `--server`, the interpreter of another checkout's `.venv`, that checkout's server is measured:
to compare two of them, run it with each in turns.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT))

from testing import jd  # noqa: E402
from testing.embedded import ServerProcess  # noqa: E402

TABLES = {
    "action": ("action", {"reqId"}),
    "flattenRequest": ("flattenRequest_clean", {"reqId", "pair_id", "user_id", "sku_id"}),
    "bo_user": ("bo_user", {"user_id"}),
    "bo_action": ("bo_action", {"pair_id"}),
    "bo_product": ("bo_product", {"sku_id"}),
    "bo_comment": ("bo_comment", {"sku_id"}),
}


def replicate(source: Path, target: Path, ids: set[str], fold: int) -> None:
    """Write a table ``fold`` times, the ids of each copy with a suffix of its own."""
    table = pq.read_table(source)
    copies = []
    for copy in range(fold):
        columns = [
            pc.binary_join_element_wise(column, f"#{copy}", "") if copy and name in ids else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        ]
        copies.append(pa.table(columns, names=table.column_names))
    target.mkdir(parents=True)
    pq.write_table(pa.concat_tables(copies), target / "rows.parquet")


def tutorial() -> tuple[list[str], str]:
    """The tutorial's CREATE TABLEs and its feature query, as OpenMLDB 0.9.2 takes it."""
    creates = re.findall(r"^> (CREATE TABLE .*?;)$", jd.seed(SHARED, "000"), re.MULTILINE)
    return creates, jd.feature_sql(SHARED).strip()


def client(port: int, bodies: list[bytes], times: list[float]) -> None:
    """Post the bodies one after another over one connection, and note how long each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        begin = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/dbs/db/deployments/demo", body, headers)
        answer = connection.getresponse().read()
        times.append(time.perf_counter() - begin)
        assert answer.startswith(b'{"code":0'), answer[:200]
    connection.close()


def at_once(port: int, each: list[list[bytes]], times: list[float]) -> float:
    """Let as many clients at once post the bodies of each; the seconds that it took."""
    threads = [threading.Thread(target=client, args=(port, bodies, times)) for bodies in each]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def processor_seconds(server: ServerProcess) -> float:
    """The processor time that the server has taken; other programs do not stretch it."""
    assert server.process is not None
    stat = Path(f"/proc/{server.process.pid}/stat").read_text()
    user, kernel = stat[stat.rindex(")") + 2 :].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def shown(title: str, times: list[float]) -> None:
    """Print a row of the table."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{title:42s} {statistics.median(times) * 1e3:8.2f} {p99 * 1e3:8.2f} ms")


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, default=1)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--server", help="the Python of another checkout, whose server to measure")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="openmldb-http-"))
    server = ServerProcess(folder / "data", "--root", str(folder))
    server.python = given.server or server.python
    try:
        for source, ids in TABLES.values():
            (file,) = (SHARED / "data" / "jd" / source).glob("*.parquet")
            replicate(file, folder / source, ids, given.fold)
        server.start()
        measure(server, folder, given.requests)
    finally:
        if server.process is not None and server.process.poll() is None:
            server.end()
        shutil.rmtree(folder)
    return 0


def measure(server: ServerProcess, folder: Path, requests: int) -> None:
    """Load, deploy, and print the table."""
    creates, features = tutorial()
    server.do("CREATE DATABASE db")
    for create in creates:
        server.do(create)
    server.do(f"DEPLOY demo OPTIONS(RANGE_BIAS='inf', ROWS_BIAS='inf') {features}")
    for mode in ("onsync", "offsync"):
        begin = time.perf_counter()
        for table, (source, _) in TABLES.items():
            job = server.do(
                f"LOAD DATA INFILE '{folder / source}' INTO TABLE {table} "
                f"OPTIONS(format='parquet', mode='append')",
                mode=mode,
            )[0]
            assert job[2] == "FINISHED", job
        print(f"load, {mode}: {time.perf_counter() - begin:.2f} s")
    rows = pq.read_table(folder / "flattenRequest_clean").to_pylist()
    sample = random.Random(0).choices(rows, k=requests)

    def row(found: dict[str, Any]) -> list[Any]:
        return [int(v.timestamp() * 1000) if hasattr(v, "timestamp") else v for v in found.values()]

    bodies = [json.dumps({"input": [row(found)]}).encode() for found in sample]
    client(server.port, bodies[:50], [])
    print(f"{'':42s} {'median':>8s} {'p99':>8s}")
    times: list[float] = []
    client(server.port, bodies, times)
    shown("one client, one row", times)
    eight: list[float] = []
    took = at_once(server.port, [bodies[n::8] for n in range(8)], eight)
    shown("eight clients, one row", eight)
    print(f"{'':42s} {len(eight) / took:8.0f} requests/s")
    hundreds = [
        json.dumps({"input": [row(found) for found in sample[n : n + 100]]}).encode()
        for n in range(0, min(requests, 1000), 100)
    ]
    many: list[float] = []
    client(server.port, hundreds, many)
    shown("one client, 100 rows in a request", many)
    for turn in ("first", "again"):
        four: list[float] = []
        before = processor_seconds(server)
        took = at_once(server.port, [hundreds * 10] * 4, four)
        each = (processor_seconds(server) - before) / len(four)
        shown(f"four clients, 100 rows in a request, {turn}", four)
        print(
            f"{'':42s} {len(four) / took:8.0f} requests/s, "
            f"{each * 1e3:.2f} ms of the server's processor time each"
        )
    server.do(f"{features} INTO OUTFILE '{folder}/out'", mode="offasync")
    beside: list[float] = []
    client(server.port, bodies, beside)
    shown("one client, beside an offline SELECT", beside)
    server.end()
    begin = time.perf_counter()
    server.start()
    client(server.port, bodies[:1], [])
    print(f"start to the first answer, from a snapshot: {time.perf_counter() - begin:.2f} s")
    server.end(signal.SIGKILL)
    begin = time.perf_counter()
    server.start()
    client(server.port, bodies[:1], [])
    print(f"start to the first answer, after SIGKILL: {time.perf_counter() - begin:.2f} s")


if __name__ == "__main__":
    sys.exit(main())
