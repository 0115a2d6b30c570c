"""Switches under load: no request fails, no answer mixes two releases, what they cost.

Two releases with different queries and different models are both deployed and loaded; the
pointer goes to and fro while clients post requests to the predict server without a pause. Every
answer is held against the score that the pair it names gives that row when asked directly, so
that features of one release scored by the other's model would show.

    python bench/switch.py [--switches 100] [--clients 4] [--pause 0.5]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
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

from nightshift import commands, files, layout  # noqa: E402
from nightshift.gates import rehearsal as rehearse  # noqa: E402
from nightshift.openmldb import deployments as online  # noqa: E402
from nightshift.registry import leases, pointer  # noqa: E402
from nightshift.registry import manifest as manifests  # noqa: E402
from nightshift.registry.names import deployment_name, release_id, sql_hash  # noqa: E402
from nightshift.registry.store import ReleaseStore  # noqa: E402
from nightshift.release import steps, switch  # noqa: E402
from nightshift.triton import TritonControl  # noqa: E402
from nightshift.triton import repository as model_repository  # noqa: E402
from testing.house import OWN, House  # noqa: E402

DS = "2026-11-08"


def build(home: Path) -> tuple[House, tuple[str, str]]:
    """A house with two releases of different queries and models, both loaded; the first live."""
    shutil.rmtree(home, ignore_errors=True)
    house = House.build(home)
    house.generate(days=16, rows_per_day=400, end=DS)
    house.up()
    plan = house.plan(DS, "bench")
    steps.begin(plan, house.settings)
    house.features(plan)
    house.preprocess(plan)
    house.load_online(plan)
    steps.check_data(plan, house.settings)
    house.train(plan)
    first = str(house.candidate(plan)["release_id"])
    house.gates(plan, first)
    report = steps.switch_over(plan, first, house.settings)
    assert report["switched"], report
    second = variant(house, plan, first)
    return house, (first, second)


def variant(house: House, plan: Any, first: str) -> str:
    """A second accepted release: a narrower window in the query, another seed in training."""
    settings = house.settings
    other = replace(OWN, hyperparameters={"threads": 1, "seed": 7})
    house.task(plan, "train", commands.train_arguments(plan, settings, other))
    store = ReleaseStore(settings.releases)
    base = store.folder(first)
    model = layout.RunFolder(Path(plan["run_dir"])).model
    sha = files.sha256_tree(model)
    version = model_repository.allocate_version(
        settings.model_repo, settings.model, DS, owner=f"bench:{sha}"
    )
    sql = base.sql.read_text().replace("BETWEEN 14d PRECEDING", "BETWEEN 1d PRECEDING")
    name = deployment_name(settings.model, sql)
    old = base.manifest()
    made = replace(
        old,
        release_id=release_id(DS, version),
        model=replace(old.model, version=version, sha256=sha),
        sql=replace(old.sql, sha256=sql_hash(sql), deployment=name),
    )
    folder = store.folder(made.release_id)
    shutil.copytree(base.root, folder.root)
    folder.manifest_path.unlink()
    shutil.rmtree(folder.model)
    shutil.copytree(model, folder.model)
    folder.sql.write_text(sql)
    manifests.write_once(folder.manifest_path, made)
    leases.renew(
        store, run_token="benchbench", run_id="bench", ds=DS, release_id=folder.id,
        versions=[version, old.model.version], deployments=[name, old.sql.deployment],
    )  # fmt: skip
    with house.client() as client, TritonControl.of(settings) as control:
        online.ensure_deployment(client, settings.database, name, sql)
        rehearse.publish(control, store, settings.model_repo, folder, made)
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
    parser.add_argument("--home", type=Path, default=Path("/tmp/nightshift-bench-switch"))
    options = parser.parse_args()
    house, releases = build(options.home)
    try:
        result = measure(house, releases, options)
    finally:
        house.down()
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if not (result["failed_requests"] or result["mixed_answers"]) else 1


def measure(house: House, releases: tuple[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """The load, the switches, the figures."""
    settings = house.settings
    store = ReleaseStore(settings.releases)
    expected: dict[str, list[float]] = {}
    names: dict[str, tuple[str, int]] = {}
    with house.client() as client, TritonControl.of(settings) as control:
        for name in releases:
            manifest = store.folder(name).manifest()
            pair = rehearse.Pair.of(store.folder(name), manifest)
            info = client.deployment(pair.database, pair.deployment)
            columns = [column for column, _ in info.input_schema]
            raw = rehearse.request_rows(settings, None, columns, 200)
            out = [column for column, _ in info.output_schema]
            features, _ = client.call(pair.database, pair.deployment, raw)
            ids = rehearse.encode_rows(pair.spec, out, features)
            expected[name] = [float(s) for s in control.infer(pair.model, pair.version, ids)]
            names[name] = (pair.deployment, pair.version)
        gaps = np.abs(np.subtract(*expected.values()))
        assert (gaps > 1e-5).mean() > 0.9, "the two releases score alike: nothing would show"
        rows = [dict(zip(columns, row, strict=True)) for row in raw]
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
            target = releases[(n + 1) % 2]
            started = time.monotonic()
            report = switch.switch(
                client, control, settings, target,
                requests=lambda _: raw[:1], promote="force", reason="force", actor="bench",
            )  # fmt: skip
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
        "live": str(getattr(pointer.read_live(settings.releases), "release_id", None)),
    }


def _percentiles(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0}
    p50, p99 = np.percentile(values, [50, 99])
    return {"n": len(values), "p50": round(float(p50), 2), "p99": round(float(p99), 2)}


if __name__ == "__main__":
    sys.exit(main())
