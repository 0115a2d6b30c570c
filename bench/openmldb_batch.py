"""The embedded engine in batch mode against hand-written DuckDB SQL, on the JD features.

    .venv/bin/python bench/openmldb_batch.py [1 10 50]

Each size runs in fresh processes, one for each engine, in turn. Shown are seconds of wall time and
of processor time (DuckDB takes two threads), the peak of memory above what the loaded tables take,
and the ratios. A second part times windows of 100,000 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path[:0] = [str(ROOT), str(SHARED / "bench")]


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(run: Callable[[], int], times: int) -> dict[str, float]:
    before = memory_mb()
    best = None
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        rows = run()
        took = (time.perf_counter() - wall, time.process_time() - cpu)
        best = took if best is None else min(best, took)
    assert best is not None
    return {
        "rows": rows,
        "wall": best[0],
        "cpu": best[1],
        "peak": memory_mb(),
        "above": memory_mb() - before,
    }


def duckdb_engine(size: int) -> dict[str, float]:
    import duckdb
    import jd_common
    import jd_features_duckdb

    connection = duckdb.connect()
    connection.execute("SET threads=2")
    jd_common.load(connection, size)

    def run() -> int:
        jd_features_duckdb.run(connection)
        (count,) = connection.execute("select count(*) from result").fetchone() or (0,)
        return int(count)

    return timed(run, 3 if size == 1 else 1)


def embedded(size: int) -> dict[str, float]:
    import duckdb
    import jd_common
    from openmldb_embedded.columns import Batch
    from openmldb_embedded.engine import compile_batch

    from testing import jd

    schemas = jd.schemas(SHARED)
    connection = duckdb.connect()
    connection.execute("SET threads=2")
    jd_common.load(connection, size)
    tables = {
        name: Batch.from_arrow(
            connection.sql(f"select * from {name}").to_arrow_table(), schema.fields
        )
        for name, schema in schemas.items()
    }
    connection.close()
    query = compile_batch(jd.feature_sql(SHARED), jd.Catalog(schemas), "JD_db")
    return timed(lambda: query.execute(lambda db, t: tables[t]).num_rows, 3 if size == 1 else 1)


LONG = """
select id, sum(x) over w as s, avg(d) over w as a, max(d) over w as m, min(x) over w as n,
  count(x) over w as c, distinct_count(x) over w as u, distinct_count(few) over w as f,
  topn_frequency(few, 3) over w as t, topn_frequency(x, 3) over w as tx, top1_ratio(x) over w as r
from t window w as (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
"""


def long_windows(rows: int) -> dict[str, float]:
    import numpy as np
    from openmldb_embedded.columns import Batch, Column, column_from_list
    from openmldb_embedded.engine import compile_batch
    from openmldb_sql.types import SqlType, schema_of

    from testing import jd

    random = np.random.default_rng(1)
    schema = schema_of(
        [
            ("id", SqlType.INT64),
            ("k", SqlType.STRING),
            ("ts", SqlType.TIMESTAMP),
            ("x", SqlType.INT32),
            ("d", SqlType.DOUBLE),
            ("few", SqlType.STRING),
        ]
    )
    columns = [
        Column(SqlType.INT64, np.arange(rows)),
        column_from_list(SqlType.STRING, ["one"] * rows),
        Column(SqlType.TIMESTAMP, np.sort(random.integers(0, 10**9, rows))),
        Column(SqlType.INT32, random.integers(0, 50_000, rows).astype(np.int32)),
        Column(SqlType.DOUBLE, random.normal(size=rows)),
        column_from_list(SqlType.STRING, [f"v{n}" for n in random.integers(0, 9, rows)]),
    ]
    batch = Batch(schema.fields, columns, rows)
    query = compile_batch(LONG, jd.Catalog({"t": schema}), "db")
    return timed(lambda: query.execute(lambda db, t: batch).num_rows, 2)


PARTS = {"duckdb": duckdb_engine, "embedded": embedded, "long": long_windows}


def measure(part: str, size: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, str(size), "--part", part],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "JD_DATA": str(SHARED / "data" / "jd")},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sizes", nargs="*", type=int, default=[1, 10, 50], help="copies of the data"
    )
    parser.add_argument("--long", nargs="*", type=int, default=[25_000, 100_000],
                        metavar="ROWS", help="windows of so many rows")  # fmt: skip
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # a measuring process
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.sizes[0])))
        return
    print(
        f"{'size':>5} {'engine':>9} {'rows':>8} {'wall s':>8} {'cpu s':>8} {'peak MB':>8} {'+MB':>6}"
    )
    for size in options.sizes:
        found = {}
        for part in ("duckdb", "embedded"):
            m = found[part] = measure(part, size)
            print(
                f"{size:>4}x {part:>9} {m['rows']:>8} {m['wall']:>8.3f} {m['cpu']:>8.3f} "
                f"{m['peak']:>8.0f} {m['above']:>6.0f}"
            )
        theirs, ours = found["duckdb"], found["embedded"]
        print(
            f"{size:>4}x  embedded is {theirs['wall'] / ours['wall']:.1f} times as fast (wall), "
            f"{theirs['cpu'] / ours['cpu']:.1f} times (cpu); peak memory "
            f"{ours['peak'] / theirs['peak']:.2f} of DuckDB's"
        )
    for rows in options.long:
        m = measure("long", rows)
        print(f"one window of up to {rows} rows: {m['wall']:.2f} s, +{m['above']:.0f} MB")


if __name__ == "__main__":
    main()
