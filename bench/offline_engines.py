"""The JD features by both offline engines: time and peak memory of one export job.

    .venv/bin/python bench/offline_engines.py [1 10 50] [--memory MIB] [--engine NAME]

Each size is laid out as parquet once (the JD tables with new keys for each copy), linked into the
tables of a fresh server for each engine in turn, and exported by one SELECT INTO. Shown are the
job's own seconds (for Spark with its start), the peak of the memory (PSS) of the processes that
did it, and the rows; `refused` gives the job's error where it needs more than `--memory`
(`--job-memory` of the server, which is Spark's driver memory as well).
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path[:0] = [str(ROOT), str(SHARED / "bench")]

FEATURES = (ROOT / "include/sql/features.sql").read_text()
SQL_NAMES = {"int32": "int", "int64": "bigint", "int16": "smallint"}


def lay_out(folder: Path, size: int) -> dict[str, int]:
    """The JD tables, `size` times, as parquet; rows by table."""
    import duckdb
    import jd_common
    import pyarrow.parquet as pq
    from openmldb_embedded.load import arrow_schema

    from testing import jd

    rows = {}
    folder.mkdir()
    aside = folder / "aside.duckdb"  # on the disk: many copies do not fit into memory
    with duckdb.connect(str(aside)) as connection:
        connection.execute("SET threads=2; SET memory_limit='2GB'")
        jd_common.load(connection, size)
        for name, schema in jd.schemas(SHARED).items():
            target = folder / name
            target.mkdir(parents=True)
            wanted = arrow_schema(schema)
            reader = connection.sql(f"select * from {name}").to_arrow_reader(200_000)
            rows[name] = 0
            with pq.ParquetWriter(target / "part-0.parquet", wanted) as writer:
                for batch in reader:
                    writer.write_batch(batch.cast(wanted))
                    rows[name] += batch.num_rows
            connection.execute(f"DROP TABLE {name}")
    aside.unlink()
    return rows


class Peak(threading.Thread):
    """The highest sum of the memory of all processes below one, itself left out.

    Pages that processes share are counted once (PSS): a JVM that forks to run a command would
    count twice.
    """

    def __init__(self, server: int, mark: str) -> None:
        super().__init__(daemon=True)
        self.server, self.mark = server, mark.encode()
        self.bytes = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            parents: dict[int, int] = {}
            marked = set()
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                with contextlib.suppress(OSError, ValueError):
                    stat = (entry / "stat").read_text()
                    pid = int(entry.name)
                    parents[pid] = int(stat[stat.rindex(")") + 2 :].split()[1])
                    if self.mark in (entry / "cmdline").read_bytes():
                        marked.add(pid)
            ours = marked - {self.server}
            for pid in parents:
                above, seen = pid, set()
                while above in parents and above not in seen:
                    seen.add(above)
                    above = parents[above]
                    if above == self.server:
                        ours.add(pid)
            self.bytes = max(self.bytes, sum(map(_proportional, ours)))


def _proportional(pid: int) -> int:
    """Bytes of a process, of shared pages its part; 0 where it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(x.split()[1]) << 10 for x in rollup.splitlines() if x.startswith("Pss:")), 0)


def measure(engine: str, tables: Path, folder: Path, memory: int) -> str:
    """One export by one engine, as a line."""

    from testing import jd
    from testing import spark as spark_parts
    from testing.embedded import ServerProcess

    given = ["--root", str(tables), "--root", str(folder), "--job-memory", str(memory)]
    if engine == "spark":
        values = spark_parts.settings()
        for name in ("spark.driver.memory", "spark.sql.shuffle.partitions"):
            del values[name]
        given += spark_parts.arguments(values)
    server = ServerProcess(folder / "data", *given).start()
    server.client.timeout = 3600
    try:
        server.do("CREATE DATABASE db")
        for name, schema in jd.schemas(SHARED).items():
            columns = ", ".join(
                f"{c.name} {SQL_NAMES.get(c.type.value, c.type.value)}" for c in schema.columns
            )
            server.do(f"CREATE TABLE {name}({columns})")
            server.do(
                f"LOAD DATA INFILE '{tables / name}' INTO TABLE {name} "
                f"OPTIONS(format='parquet', deep_copy=false, mode='overwrite')",
                mode="offsync",
            )
        assert server.process is not None
        peak = Peak(server.process.pid, str(folder / "data" / "applications"))
        peak.start()
        sql = f"{FEATURES} INTO OUTFILE '{folder}/out' OPTIONS(format='parquet')"
        number = server.do(sql, mode="offasync")[0][0]
        row = server.do(f"SHOW JOB {number}")[0]
        while row[2] in ("Submitted", "RUNNING"):
            time.sleep(0.05)
            row = server.do(f"SHOW JOB {number}")[0]
        peak.done.set()
        peak.join()
        took = (row[4] - row[3]) / 1000
        said = server.do(f"SHOW JOBLOG {number}")[0][0]
        reason = row[8] or next((w for w in said.splitlines() if "failed: " in w), "see the log")
        rows = next((w for w in said.splitlines() if "rows written" in w), "")
        what = rows.partition("UTC ")[2].split(" written")[0] if rows else f"refused: {reason}"
        return f"{took:8.1f} s  {peak.bytes / 2**20:8.0f} MiB  {what}"
    finally:
        server.end()


def main() -> None:
    """Measure the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1, 10, 50])
    parser.add_argument("--memory", type=int, default=2048, help="MiB that a job may take")
    parser.add_argument("--engine", action="append", choices=["embedded", "spark"])
    given = parser.parse_args()
    for size in given.sizes:
        folder = Path(tempfile.mkdtemp(prefix="offline-engines-"))
        try:
            rows = lay_out(folder / "tables", size)
            print(f"{size}x: {sum(rows.values()):,} rows in, {given.memory} MiB a job", flush=True)
            for engine in given.engine or ["embedded", "spark"]:
                (folder / engine).mkdir()
                line = measure(engine, folder / "tables", folder / engine, given.memory)
                print(f"  {engine:10}{line}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
