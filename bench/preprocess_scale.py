"""Preprocessing over more and more rows: time and peak memory of the task's process.

    .venv/bin/python bench/preprocess_scale.py [10 100 400]

The JD features (13,916 rows, computed by the embedded engine) are written so many times over, each
copy with requests, users and pairs of its own, copy after copy, so that every copy covers the whole
span of time and sorting has to bring all of them together.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT))

OWN = ("request_id", "request_id_original", "pair_id", "user_id")
"""Columns whose values are another copy's own."""


def features() -> pa.Table:
    """The JD features."""
    from openmldb_embedded.engine import compile_batch

    from testing import jd

    data = jd.tables(SHARED)
    sql = (ROOT / "include/sql/features.sql").read_text()
    query = compile_batch(sql, jd.Catalog(jd.schemas(SHARED)), "db")
    return query.execute(lambda db, name: data[name]).to_arrow()


def main() -> None:
    """Measure each number of copies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("copies", nargs="*", type=int, default=[10, 100, 400])
    options = parser.parse_args()
    rows = features()
    spec = ROOT / "pipelines/jd/feature_spec.yaml"
    for copies in options.copies:
        folder = Path(tempfile.mkdtemp(prefix="preprocess-scale-"))
        try:
            (folder / "features").mkdir()
            for copy in range(copies):
                part = rows
                for name in OWN:
                    at = part.schema.get_field_index(name)
                    own = pc.binary_join_element_wise(part[name], f"{copy}", "#")
                    part = part.set_column(at, name, own)
                pq.write_table(part, folder / "features" / f"part-{copy:05d}.parquet")
            command = [
                *(str(ROOT / ".venv-tasks/bin/python"), "-m", "tasks.ctr.preprocess"),
                *("--features", str(folder / "features"), "--spec", str(spec)),
                *("--ds", "2016-04-15", "--train-days", "74", "--label-settle-days", "0"),
                *("--valid-days", "14", "--test-days", "14"),
                *("--out", str(folder / "dataset"), "--result", str(folder / "result.json")),
            ]
            began = time.monotonic()
            pid = os.posix_spawn(
                command[0], command, {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
            )
            _, status, usage = os.wait4(pid, 0)
            took = time.monotonic() - began
            read = copies * rows.num_rows
            print(
                f"{read:12,} rows  {took:7.1f} s  {read / took:10,.0f} rows/s  peak "
                f"{usage.ru_maxrss / 1024:7.0f} MiB  exit code {os.waitstatus_to_exitcode(status)}",
                flush=True,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
