"""How long the skew ledger takes for many logged requests: docs/benchmarks.md.

    .venv/bin/python bench/ledger.py --requests 1000000 --days 7

Makes tables of the default pipeline, says of their rows when they reached the online store (a share
of the user actions an hour late), and logs the requests with the features that the store gave at
that moment. All of that is set-up. Then `observe` runs once over all days, and its seconds, processor
time and peak memory, and OpenMLDB's, are printed as a line of JSON with what it found. Scores are those of a
function of the ids, since no Triton is started.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from laptop.data.cli import make_tables  # noqa: E402
from laptop.data.generate import Spec  # noqa: E402
from laptop.services import catalogue  # noqa: E402
from nightshift import layout  # noqa: E402
from nightshift.data import reading  # noqa: E402
from nightshift.data.declared import Declared, declared_tables  # noqa: E402
from nightshift.errors import NightshiftError  # noqa: E402
from nightshift.live import events  # noqa: E402
from nightshift.live.compact import write_part  # noqa: E402
from nightshift.live.folders import live_folder  # noqa: E402
from nightshift.live.log import FEATURE, FIXED, REQUEST, RequestLog, arrow_type  # noqa: E402
from nightshift.live.skew import ledger  # noqa: E402
from nightshift.live.skew.part import Part, Release, Share  # noqa: E402
from nightshift.live.skew.requests import PART, Requests, logged  # noqa: E402
from nightshift.live.skew.world import World  # noqa: E402
from nightshift.openmldb import OpenMLDBClient  # noqa: E402
from nightshift.openmldb.loads import HISTORY  # noqa: E402
from nightshift.openmldb.reconcile import fingerprint  # noqa: E402
from nightshift.openmldb.rows import batch_rows, digest  # noqa: E402
from nightshift.pipeline import Pipeline  # noqa: E402
from testing.serving import Process, serving_settings, wait_until  # noqa: E402

RELEASE = "2026-11-01.001"
LATE_S = 3600
HOUR_MS = 3_600_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--history", type=int, default=3, help="days of actions before them")
    parser.add_argument("--late", type=float, default=0.02, help="share of late actions")
    parser.add_argument("--part", type=int, default=PART)
    parser.add_argument("--last", type=dt.date.fromisoformat, default=dt.date(2026, 11, 19))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-") as name:
        settings = serving_settings(Path(name))
        pipeline = Pipeline.load(settings)
        server = Process(catalogue.openmldb(settings), Path(name) / "openmldb.log")
        try:
            with OpenMLDBClient.of(settings, timeout_s=300.0) as client:
                wait_until(lambda: _lives(client), "OpenMLDB answers", 60)
                print(json.dumps(measured(pipeline, client, server, options)))
        finally:
            server.stop()
    return 0


def measured(
    pipeline: Pipeline, client: OpenMLDBClient, server: Process, options: argparse.Namespace
) -> dict[str, Any]:
    """Set up, observe, and what it took."""
    days = layout.days_back(options.last, options.days)
    spec = Spec(rows_per_day=options.requests // options.days)
    make_tables(pipeline.data, spec, options.last, options.days)
    drop_history(pipeline, days[0] - dt.timedelta(days=options.history))
    arrive(pipeline, days, options.late)
    began = time.monotonic()
    log_requests(pipeline, client, days)
    print(f"set up; served features took {time.monotonic() - began:.0f} s", file=sys.stderr)
    began, used, theirs = time.monotonic(), own_cpu_s(), server.cpu_s()
    found = ledger.observe(
        pipeline,
        client,
        days[0],
        days[-1],
        score_of=lambda model, version: score,
        part=options.part,
        said=lambda text: print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr),
    )
    return {
        "seconds": round(time.monotonic() - began, 1),
        "own_cpu_s": round(own_cpu_s() - used, 1),
        "openmldb_cpu_s": round(server.cpu_s() - theirs, 1),
        "own_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "worker_peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
        "openmldb_peak_mib": peak_mib(server.process.pid),
        **{name: found[name] for name in ("status", "requests", "compared", "rows_differing",
                                          "values_differing", "not_reproduced", "unexplained")},
        "causes": {
            f"{cause['cause']}: {cause['table']}": cause["rows"]
            for release in found["releases"]
            for cause in release["causes"]
        },
    }  # fmt: skip


def own_cpu_s() -> float:
    """Processor time of this process and of its workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _lives(client: OpenMLDBClient) -> bool:
    try:
        client.databases()
    except NightshiftError:
        return False
    return True


def score(ids: Any) -> Any:
    """Scores of ids that differ where the ids do."""
    made = np.abs(np.asarray(ids)).astype(np.float64).sum(axis=1)
    return (made % 997 / 997).astype(np.float32)


def drop_history(pipeline: Pipeline, first: dt.date) -> None:
    """Leave out older partitions of the largest table."""
    for place in (pipeline.data / "bo_action").glob("ds=*"):
        if place.name[3:] < first.isoformat():
            for path in place.iterdir():
                path.unlink()
            place.rmdir()


def arrive(pipeline: Pipeline, days: list[dt.date], late: float) -> None:
    """Say when rows reached the store: of the days by streams, of earlier ones by a night."""
    files = pipeline.features
    declared = declared_tables(files.tables, files.create_script())
    folder = live_folder(pipeline.settings, pipeline.name)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(10)
    loaded = []
    with events.connected(folder) as known:
        for table in ("flattenRequest", "bo_action", "bo_comment"):
            for place in sorted((pipeline.data / table).glob("ds=*")):
                day = dt.date.fromisoformat(place.name[3:])
                if day < days[0]:
                    loaded.append([table, f"{day}"])
                    continue
                share = late if table == "bo_action" else 0.0
                with known:
                    known.executemany(
                        "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
                        list(_events(declared[table], place, share, rng)),
                    )
    line = {
        "at_ms": layout.day_start_ms(days[0]) - 1,
        "loaded": loaded,
        "changed": [],
        "snapshots": [
            [name, fingerprint(reading.parquet_files(pipeline.data / name)),
             f"{pipeline.data / name}/*.parquet"]
            for name in files.tables.snapshots
        ],
    }  # fmt: skip
    pipeline.runs.mkdir(parents=True, exist_ok=True)
    (pipeline.runs / HISTORY).write_text(json.dumps(line) + "\n")


def _events(table: Declared, place: Path, share: float, rng: np.random.Generator) -> Any:
    at = list(table.columns).index(str(table.time))
    number = 0
    for batch in reading.batches(reading.parquet_files(place), columns=list(table.columns)):
        drawn = rng.random(batch.num_rows) < share
        for row, is_late in zip(batch_rows(batch, table.columns), drawn, strict=True):
            came = row[at] + (LATE_S * 1000 if is_late else 5)
            yield (table.name, f"{place.name}-{number}", digest(row), row[at], came, came)
            number += 1


def log_requests(pipeline: Pipeline, client: OpenMLDBClient, days: list[dt.date]) -> None:
    """Log each request of the days with the features that the store gave at its moment."""
    bare = _rows(pipeline, days)
    folder = RequestLog.of(pipeline).folder
    _write(folder, bare, "bare")
    (requests,) = logged(pipeline, days[0], days[-1], None, 10)
    world = World.of(pipeline, pipeline.features.query(), days[0], days[-1])
    spec = pipeline.features.spec
    features = [name for name in spec.names if name != spec.label]
    kinds = {one.name: one.type for one in spec.fields}
    release = Release(
        pipeline, world, pipeline.features.query(), spec, features,
        [kinds.get(name, "string") for name in features], False, [], {}, "",
        f"{pipeline.owner}_setup", pipeline.runs / "setup",
    )  # fmt: skip
    made = [_served(release, client, part) for part in requests.parts(("user_id",))]
    for path in folder.rglob("*.parquet"):
        path.unlink()
    _write(folder, pa.concat_tables(made), "served")


def _served(release: Release, client: OpenMLDBClient, requests: Requests) -> pa.Table:
    rows = Part(release, Share(requests, pa.table({})), client).replayed(by_arrival=True)
    table = requests.log
    columns = list(zip(*rows, strict=True))
    for name, kind, values in zip(release.features, release.kinds, columns, strict=True):
        table = table.append_column(FEATURE + name, pa.array(values, arrow_type(kind)))
    return table


def _rows(pipeline: Pipeline, days: list[dt.date]) -> pa.Table:
    """The requests of the days as the log has them, without features."""
    tables = pipeline.features.tables
    paths = [
        path
        for day in days
        for path in reading.parquet_files(
            layout.partition(pipeline.data, tables.request_table, day)
        )
    ]
    rows = reading.table(paths)
    columns: dict[str, Any] = {}
    for item in rows.schema:
        values = rows[item.name]
        if pa.types.is_timestamp(item.type):
            values = values.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        columns[REQUEST + item.name] = values
    times = columns[REQUEST + tables.request_time].to_numpy()
    count = len(times)
    fixed: dict[str, Any] = {
        "receipt": [f"r{n}" for n in range(count)],
        "row": np.zeros(count, np.int32),
        "at": pa.array(times * 1000 + 3000, pa.timestamp("us", "UTC")),
        "began": pa.array(times * 1000 + 1000, pa.timestamp("us", "UTC")),
        "operation": ["predict"] * count,
        "role": ["live"] * count,
        "release": [RELEASE] * count,
        "deployment": ["d"] * count,
        "model": ["m"] * count,
        "model_version": np.ones(count, np.int64),
        "request_id": columns[REQUEST + tables.request_id],
        "score": np.random.default_rng(1).random(count).astype(np.float32),
    }
    made = {
        item.name: fixed[item.name] if item.name in fixed else pa.nulls(count, item.type)
        for item in FIXED
    }
    return pa.table({**made, **columns})


def _write(folder: Path, table: pa.Table, name: str) -> None:
    hours = table["at"].cast(pa.int64()).to_numpy() // (HOUR_MS * 1000)
    for hour in np.unique(hours).tolist():
        at = dt.datetime.fromtimestamp(hour * 3600, dt.timezone.utc)
        chosen = table.filter(pa.array(hours == hour))
        write_part(folder / f"hour={at:%Y-%m-%dT%H}" / f"{name}.parquet", chosen)


def peak_mib(pid: int) -> int:
    """Peak resident memory of a process and its children."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(
                line.split(":", 1) for line in status.read_text().splitlines() if ":" in line
            )
        except OSError:
            continue
        if str(pid) in (status.parent.name, fields.get("PPid", "").strip()):
            total += int(fields.get("VmHWM", "0 kB").split()[0]) >> 10
    return total


if __name__ == "__main__":
    sys.exit(main())
