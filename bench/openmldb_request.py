"""The embedded engine in request mode, in process, on the JD deployment.

    .venv/bin/python bench/openmldb_request.py [1 10]

For each size: the time to load and index the online tables, then single requests (as the server
calls the engine, garbage collection as the server sets it), first with cold keys and then warm, and
batches of 100. Times are in microseconds; ``cpu`` is the thread's own time, which other programs on
the machine do not stretch.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path[:0] = [str(SHARED / "bench"), str(ROOT / "packages/openmldb-embedded/tests")]

REQUESTS = 5_000


def percentiles(nanoseconds: list[int]) -> str:
    ordered = sorted(nanoseconds)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * p))] / 1000 for p in (0.5, 0.99, 0.999)]
    return f"{at[0]:8.0f} {at[1]:8.0f} {at[2]:8.0f} {ordered[-1] / 1000:8.0f}"


def measure(answer, requests) -> tuple[list[int], list[int]]:
    wall, cpu = [], []
    for request in requests:
        w, c = time.perf_counter_ns(), time.thread_time_ns()
        answer([request])
        wall.append(time.perf_counter_ns() - w)
        cpu.append(time.thread_time_ns() - c)
    return wall, cpu


def main() -> None:
    import duckdb
    import jd
    import jd_common
    from openmldb_embedded.columns import Batch
    from openmldb_embedded.engine import compile_request
    from openmldb_embedded.memtable import MemTable

    schemas = jd.schemas(SHARED)
    for size in [int(x) for x in sys.argv[1:]] or [1, 10]:
        connection = duckdb.connect()
        jd_common.load(connection, size)
        tables = {
            name: Batch.from_arrow(
                connection.sql(f"select * from {name}").to_arrow_table(), schema.fields
            )
            for name, schema in schemas.items()
        }
        connection.close()
        start = time.perf_counter()
        online = {name: MemTable(schema) for name, schema in schemas.items()}
        for name, batch in tables.items():
            online[name].append_batch(batch)
        query = compile_request(jd.feature_sql(SHARED), jd.Catalog(schemas), "JD_db")
        answer = query.bind(lambda db, table, online=online: online[table])
        loaded = time.perf_counter() - start
        rows = sum(t.num_rows for t in online.values())
        requests = random.Random(size).sample(tables["flattenRequest"].to_rows(), REQUESTS)
        gc.collect()
        gc.freeze()
        print(f"{size}x: {rows} rows loaded and indexed in {loaded:.2f} s")
        print(f"{'':>16} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8}")
        for label in ("cold", "warm"):
            wall, cpu = measure(answer, requests)
            print(f"{label + ' wall':>16} {percentiles(wall)}")
            print(f"{label + ' cpu':>16} {percentiles(cpu)}")
        hundreds = []
        for at in range(0, REQUESTS, 100):
            c = time.thread_time_ns()
            answer(requests[at : at + 100])
            hundreds.append((time.thread_time_ns() - c) // 100)
        print(f"{'in 100s, each':>16} {percentiles(hundreds)}")


if __name__ == "__main__":
    main()
