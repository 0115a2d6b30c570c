"""Preprocessing over more and more rows: time and peak memory of the task's process.

    .venv/bin/python bench/preprocess_scale.py [10 100 400] [--peer PYTHON]

The JD features (13,916 rows, computed by the embedded engine) are written so many times over, each
copy with requests, users and pairs of its own, copy after copy, so that every copy covers the whole
span of time and sorting has to bring all of them together.

With `--peer`, polars does the tutorial's preprocessing on the same files in turn: it hashes each
value and splits by day, but neither sorts nor counts what values a feature takes. The peer's
environment: `uv venv PEER && uv pip install -p PEER polars pyyaml`, then PEER/bin/python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
SPEC = ROOT / "pipelines/jd/feature_spec.yaml"
DS, TRAIN_DAYS, HELD_OUT = "2016-04-15", "74", "14"
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


def measured(name: str, rows: int, command: list[str], env: Mapping[str, str]) -> float:
    """Run a command, print its figures, give its seconds."""
    began = time.monotonic()
    pid = os.posix_spawn(command[0], command, {**os.environ, **env})
    _, status, usage = os.wait4(pid, 0)
    took = time.monotonic() - began
    print(
        f"{name:10} {rows:12,} rows  {took:7.1f} s  {rows / took:10,.0f} rows/s  "
        f"{usage.ru_utime + usage.ru_stime:7.1f} s of processor time  peak "
        f"{usage.ru_maxrss / 1024:7,.0f} MiB  exit code {os.waitstatus_to_exitcode(status)}",
        flush=True,
    )
    return took


def main() -> None:
    """Measure each number of copies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("copies", nargs="*", type=int, default=[10, 100, 400])
    parser.add_argument("--peer", type=Path, help="Python that has polars")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    rows = features()
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
            ours = [
                *(str(ROOT / ".venv-tasks/bin/python"), "-m", "tasks.ctr.preprocess"),
                *("--features", str(folder / "features"), "--spec", str(SPEC)),
                *("--ds", DS, "--train-days", TRAIN_DAYS, "--label-settle-days", "0"),
                *("--valid-days", HELD_OUT, "--test-days", HELD_OUT),
                *("--out", str(folder / "dataset"), "--result", str(folder / "result.json")),
            ]
            peer = [
                *(str(options.peer), str(SHARED / "bench/preprocess_peer.py"), "polars"),
                *(str(folder / "features"), str(folder / "peer"), str(SPEC), DS),
            ]
            read = copies * rows.num_rows
            for _ in range(options.turns):
                taken = measured("Nightshift", read, ours, {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"})
                if options.peer:
                    days = {"SETTLE": "0", "TRAIN_DAYS": TRAIN_DAYS}
                    shutil.rmtree(folder / "peer", ignore_errors=True)
                    ratio = taken / measured("polars", read, peer, days)
                    print(f"{ratio:.2f} times the peer's time")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
