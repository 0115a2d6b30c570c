"""The embedded engine in request mode, in process, on the JD deployment.

    .venv/bin/python bench/openmldb_request.py [1 10]

For each size: the time to load and index the online tables, then single requests (as the server
calls the engine, garbage collection as the server sets it), first with cold keys and then warm, and
batches of 100, and 200 candidates of one user. Times are in microseconds; ``cpu`` is the thread's own time, which other programs on
the machine do not stretch.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmldb_embedded.memtable import MemTable

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path[:0] = [str(ROOT), str(SHARED / "bench")]


def percentiles(nanoseconds: list[int]) -> str:
    ordered = sorted(nanoseconds)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * p))] / 1000 for p in (0.5, 0.99, 0.999)]
    return f"{at[0]:8.0f} {at[1]:8.0f} {at[2]:8.0f} {ordered[-1] / 1000:8.0f}"


def measure(
    answer: Callable[[Sequence[Any]], object], requests: Sequence[Any]
) -> tuple[list[int], list[int]]:
    wall, cpu = [], []
    for request in requests:
        w, c = time.perf_counter_ns(), time.thread_time_ns()
        answer([request])
        wall.append(time.perf_counter_ns() - w)
        cpu.append(time.thread_time_ns() - c)
    return wall, cpu


def ranking(user: Sequence[Any], rows: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Candidates of one user: rows with the user's side of another."""
    own = [names.index(name) for name in ("reqId", "pair_id", "sku_id")]
    return [tuple(row[n] if n in own else x for n, x in enumerate(user)) for row in rows]


def stores(online: dict[str, MemTable]) -> Callable[[str, str], MemTable]:
    return lambda db, table: online[table]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", type=int, default=[1, 10], help="copies of the data")
    parser.add_argument("--requests", type=int, default=5_000)
    options = parser.parse_args()
    import duckdb
    import jd_common
    from openmldb_embedded.columns import Batch
    from openmldb_embedded.engine import compile_request
    from openmldb_embedded.memtable import MemTable

    from testing import jd

    schemas = jd.schemas(SHARED)
    for size in options.sizes:
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
        answer = query.bind(stores(online))
        loaded = time.perf_counter() - start
        rows = sum(t.num_rows for t in online.values())
        names = [column.name for column in schemas["flattenRequest"].columns]
        requests = random.Random(size).sample(tables["flattenRequest"].to_rows(), options.requests)
        gc.collect()
        gc.freeze()
        print(f"{size}x: {rows} rows loaded and indexed in {loaded:.2f} s")
        print(f"{'':>16} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8}")
        for label in ("cold", "warm"):
            wall, cpu = measure(answer, requests)
            print(f"{label + ' wall':>16} {percentiles(wall)}")
            print(f"{label + ' cpu':>16} {percentiles(cpu)}")
        batches = {
            "in 100s, each": [requests[at : at + 100] for at in range(0, options.requests, 100)],
            "200 of one, each": [
                ranking(requests[at], requests[at : at + 200], names)
                for at in range(0, max(1, options.requests - 199), 100)
            ],
        }
        for label, many in batches.items():
            taken = []
            for rows_ in many:
                c = time.thread_time_ns()
                answer(rows_)
                taken.append((time.thread_time_ns() - c) // len(rows_))
            print(f"{label:>16} {percentiles(taken)}")


if __name__ == "__main__":
    main()
