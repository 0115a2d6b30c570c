"""Latency and throughput of the predict server, by clients and rows of a request.

Asks a running server (`./nightshift up` after a night) with rows of the source data, so that
windows and joins find what they find in service:

    .venv/bin/python bench/predict.py --clients 1 8 --rows 1 100 --seconds 10

Prints one line a setting: answers, failures, requests/s, rows/s and p50/p90/p99 in
milliseconds as the client sees them, then where the server spent its time, stage by stage.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

STAGES = ("features", "encode", "score")


def source_rows(data: Path, schema: list[dict[str, str]], limit: int) -> list[list[Any]]:
    """Rows of the newest partition of flattenRequest, as JSON values in the schema's order."""
    files = sorted(data.glob("flattenRequest/ds=*/*.parquet"))
    if not files:
        sys.exit(f"no partition of flattenRequest under {data}; load data first")
    table = pq.read_table(files[-1]).slice(0, limit)
    columns = []
    for column in schema:
        values = table.column(column["name"])
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("ms")).cast(pa.int64())
        columns.append(values.to_pylist())
    return [list(row) for row in zip(*columns, strict=True)]


class Client(threading.Thread):
    """Asks one request after the other over one connection until the time is over."""

    def __init__(self, netloc: str, bodies: Iterator[bytes], until: float) -> None:
        super().__init__()
        self.netloc, self.bodies, self.until = netloc, bodies, until
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.netloc, timeout=30)
        while time.perf_counter() < self.until:
            started = time.perf_counter()
            failure = self.ask(connection, next(self.bodies))
            if failure:
                self.failures.append(failure)
                connection.close()
            else:
                self.seconds.append(time.perf_counter() - started)

    def ask(self, connection: http.client.HTTPConnection, body: bytes) -> str:
        try:
            connection.request("POST", "/predict", body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        return "" if answer.status == 200 else content.decode(errors="replace")[:200]


def get(netloc: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(netloc, timeout=30)
    connection.request("GET", path)
    return connection.getresponse().read()


def stage_totals(exposed: str) -> dict[str, tuple[float, float]]:
    """(seconds, count) of each stage, all pipelines together, from the text of /metrics."""
    prefix = "nightshift_predict_stage_seconds"
    found = dict.fromkeys(((stage, part) for stage in STAGES for part in ("sum", "count")), 0.0)
    for family in text_string_to_metric_families(exposed):
        for sample in family.samples:
            for part in ("sum", "count"):
                place = sample.labels.get("stage", ""), part
                if sample.name == f"{prefix}_{part}" and place in found:
                    found[place] += sample.value
    return {stage: (found[stage, "sum"], found[stage, "count"]) for stage in STAGES}


def measure(netloc: str, rows: list[list[Any]], clients: int, per: int, seconds: float) -> str:
    """Run one setting and describe it."""
    ring = itertools.cycle(rows)
    bodies = [json.dumps([next(ring) for _ in range(per)]).encode() for _ in range(500)]
    before = stage_totals(get(netloc, "/metrics").decode())
    began = time.perf_counter()
    crew = [
        Client(netloc, itertools.cycle(bodies[i::clients]), began + seconds) for i in range(clients)
    ]
    for client in crew:
        client.start()
    for client in crew:
        client.join()
    took = time.perf_counter() - began
    after = stage_totals(get(netloc, "/metrics").decode())
    times = np.array([s for client in crew for s in client.seconds]) * 1000
    failures = [failure for client in crew for failure in client.failures]
    stages = ", ".join(
        f"{stage} {1000 * (after[stage][0] - before[stage][0]) / max(n, 1):.2f}"
        for stage in STAGES
        if (n := after[stage][1] - before[stage][1]) >= 0
    )
    p50, p90, p99 = np.percentile(times, [50, 90, 99]) if len(times) else (np.nan,) * 3
    line = (
        f"{clients:7d} {per:6d} {len(times):8d} {len(failures):8d} {len(times) / took:9.0f} "
        f"{len(times) * per / took:9.0f} {p50:8.2f} {p90:8.2f} {p99:8.2f}   {stages}"
    )
    return line + (f"\n        first failure: {failures[0]}" if failures else "")


def main() -> None:
    settings = Settings.from_env()
    parser = argparse.ArgumentParser(description=__doc__)
    netloc = f"{settings.predict_host}:{settings.predict_port}"
    parser.add_argument("--server", default=netloc, metavar="HOST:PORT")
    parser.add_argument("--data", type=Path, default=Pipeline.load(settings).data)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    schema = json.loads(get(options.server, "/schema"))
    if "request" not in schema:
        sys.exit(f"{options.server} does not predict: {schema}")
    rows = source_rows(options.data, schema["request"], 5000)
    print(f"{schema['release']}: {schema['deployment']}, model {schema['model_version']}")
    print(
        "clients   rows  answers failures    req/s    rows/s   p50 ms   p90 ms   p99 ms"
        "   server's ms a request"
    )
    for clients, per in itertools.product(options.clients, options.rows):
        print(measure(options.server, rows, clients, per, options.seconds), flush=True)


if __name__ == "__main__":
    main()
