"""Switches under load: no request fails, no answer mixes two releases, what they cost.

Two releases with different queries and different models are both deployed and loaded; the
pointer goes back and forth while clients post requests to the predict server without a pause. Every
answer is held against the score that the pair it names gives that row when asked directly, so
that features of one release scored by the other's model would show.

    .venv/bin/python bench/switch.py [--switches 100] [--clients 4] [--pause 0.5] [--workers 4]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nightshift import commands  # noqa: E402
from nightshift.features.encoding import encode_rows  # noqa: E402
from nightshift.features.specification import FeatureSpec  # noqa: E402
from nightshift.night import Servers  # noqa: E402
from nightshift.plan import Plan  # noqa: E402
from nightshift.registry import leases, pointer  # noqa: E402
from nightshift.release import candidate, steps, switch  # noqa: E402
from nightshift.serving import pair  # noqa: E402
from testing.house import OWN, House  # noqa: E402

DS = "2026-11-08"
LEASE = "benchbench"
"""Run token of the lease that keeps both releases deployed and loaded."""


def build(home: Path, workers: int = 1) -> tuple[House, tuple[str, str]]:
    """An installation with two releases of different queries and models, both loaded.

    The first is live.
    """
    shutil.rmtree(home, ignore_errors=True)
    house = House.build(home, predict_workers=workers)
    house.generate(days=16, rows_per_day=400, end=DS)
    house.up()
    plan = house.plan(DS, "bench")
    night = house.of(plan)
    steps.begin(night)
    house.features(plan)
    house.preprocess(plan)
    house.load_online(plan)
    steps.gate(night, "data")
    house.train(plan)
    first = str(house.candidate(plan)["release_id"])
    house.gates(plan, first)
    report = steps.switch_over(night, first)
    assert report["switched"], report
    return house, (first, variant(house, plan, first))


def variant(house: House, plan: Plan, first: str) -> str:
    """A second accepted release: a narrower window in the query, another seed in training."""
    night = house.of(plan)
    other = replace(OWN, hyperparameters={"threads": 1, "seed": 7})
    house.task(plan, "train", commands.train_arguments(night, other))
    sql = night.pipeline.features.query()
    narrower = sql.replace("BETWEEN 14d PRECEDING", "BETWEEN 1d PRECEDING")
    assert narrower != sql, "the query has no window of 14 days to make narrower"
    made = candidate.create(night, sql=narrower)
    # The gates would compare with the rows of the run's own query, so they are not asked.
    candidate.judge(night, made["release_id"], ())
    folder = night.folder(made["release_id"])
    manifests = [night.folder(name).manifest() for name in (first, folder.id)]
    leases.renew(
        night.store,
        run_token=LEASE,
        run_id="bench",
        ds=DS,
        release_id=folder.id,
        versions=[m.model.version for m in manifests],
        deployments=[m.sql.deployment for m in manifests],
    )
    with night.servers() as servers:
        pair.make(servers.openmldb, servers.triton, house.pipeline, folder, folder.manifest())
    return folder.id


@dataclass
class Client(threading.Thread):
    """Posts one row after another and keeps what it saw."""

    url: str
    rows: list[dict[str, Any]]
    expected: dict[str, list[float]]
    names: dict[str, tuple[str, int]]
    stop: threading.Event
    offset: int
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    timings: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        at = self.offset
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            while not self.stop.is_set():
                at = (at + 1) % len(self.rows)
                started = time.monotonic()
                try:
                    answer = http.post("/predict", json={"rows": [self.rows[at]]})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                self.timings.append((started, time.monotonic() - started))
                if answer.status_code != 200:
                    self.failures.append(f"HTTP {answer.status_code} {answer.text[:200]}")
                    continue
                self.check(at, answer.json())

    def check(self, at: int, value: dict[str, Any]) -> None:
        release = value["release"]
        self.answers[release] += 1
        score = value["predictions"][0]["score"]
        if (value["deployment"], value["model_version"]) != self.names.get(release) or abs(
            score - self.expected[release][at]
        ) > 1e-6:
            self.mixed.append(json.dumps(value))


def main() -> int:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two switches")
    parser.add_argument("--workers", type=int, default=1, help="processes of the predict server")
    parser.add_argument(
        "--home", type=Path, default=Path(tempfile.gettempdir()) / "nightshift-bench-switch"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    house, releases = build(options.home, options.workers)
    try:
        result = measure(house, releases, options)
    finally:
        house.down()
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if not (result["failed_requests"] or result["mixed_answers"]) else 1


def expected_scores(
    servers: Servers, house: House, release: str, count: int
) -> tuple[list[dict[str, Any]], list[float], tuple[str, int]]:
    """Request rows, what the release's own pair scores them, and the names of the pair."""
    folder = house.pipeline.store.folder(release)
    manifest = folder.manifest()
    sql, model = manifest.sql, manifest.model
    info = servers.openmldb.deployment(sql.database, sql.deployment)
    columns = [column for column, _ in info.input_schema]
    raw = pair.request_rows(house.pipeline, columns, count)
    out = [column for column, _ in info.output_schema]
    features, _ = servers.openmldb.call(sql.database, sql.deployment, raw)
    ids = encode_rows(FeatureSpec.load(folder.spec), out, features)
    scores = servers.triton.score(model.name, model.version, {"INPUT_0": ids})
    rows = [dict(zip(columns, row, strict=True)) for row in raw]
    return rows, [float(s) for s in scores], (sql.deployment, model.version)


def measure(house: House, releases: tuple[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """The load, the switches, the figures."""
    settings = house.settings
    expected: dict[str, list[float]] = {}
    names: dict[str, tuple[str, int]] = {}
    rows: list[dict[str, Any]] = []
    with house.of(house.plan(DS, "bench")).servers() as servers:
        for name in releases:
            rows, expected[name], names[name] = expected_scores(servers, house, name, 200)
        first, second = (np.asarray(expected[name]) for name in releases)
        assert (np.abs(first - second) > 1e-5).mean() > 0.9, "both score alike: nothing would show"
        stop = threading.Event()
        clients = [
            Client(settings.predict_url, rows, expected, names, stop, n * 37)
            for n in range(options.clients)
        ]
        for one in clients:
            one.start()
        time.sleep(3)
        spans: list[tuple[float, float]] = []
        probed: list[float] = []
        for n in range(options.switches):
            started = time.monotonic()
            report = switch.switch(
                servers,
                house.pipeline,
                releases[(n + 1) % 2],
                requests=lambda columns: [[rows[0][name] for name in columns]],
                promote="force",
                reason="force",
                actor="bench",
            )
            spans.append((started, time.monotonic()))
            probed.append(report["probe_s"])
            time.sleep(options.pause)
        time.sleep(3)
        stop.set()
        for one in clients:
            one.join(60)
    timings = [item for one in clients for item in one.timings]
    inside = [s * 1000 for at, s in timings if any(a - 0.05 <= at <= b for a, b in spans)]
    outside = [s * 1000 for at, s in timings if not any(a - 0.05 <= at <= b for a, b in spans)]
    answers = sum((one.answers for one in clients), Counter[str]())
    return {
        "switches": options.switches,
        "clients": options.clients,
        "workers": options.workers,
        "requests": len(timings),
        "answers_by_release": dict(answers),
        "failed_requests": sum(len(one.failures) for one in clients),
        "mixed_answers": sum(len(one.mixed) for one in clients),
        "first_failures": [text for one in clients for text in one.failures][:3],
        "first_mixed": [text for one in clients for text in one.mixed][:3],
        "latency_ms_during_switches": _percentiles(inside),
        "latency_ms_between": _percentiles(outside),
        "switch_s_median": round(float(np.median([b - a for a, b in spans])), 4),
        "probe_s_median": round(float(np.median(probed)), 4),
        "live": str(getattr(pointer.read_live(house.pipeline.releases), "release_id", None)),
    }


def _percentiles(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0}
    p50, p99 = np.percentile(values, [50, 99])
    return {"n": len(values), "p50": round(float(p50), 2), "p99": round(float(p99), 2)}


if __name__ == "__main__":
    sys.exit(main())
