"""Switches under load: no request fails, no answer mixes two releases, what they cost.

Each pipeline has two releases that are both deployed and loaded; its pointer goes back and forth
while clients post requests to the predict server without a pause. Two pipelines are copies of jd,
whose releases have different queries and different models; the third is a pipeline of tensors.
All are switched at once. Every answer is held against what the pair that it names answers when
asked directly, so that features of one release scored by the other's model would show; and a
request that began after a switch was complete has to be answered by the new release, whichever
worker it reaches.

    .venv/bin/python bench/switch.py [--switches 100] [--clients 4] [--pause 0.5] [--workers 4]
                                     [--pipelines 3]
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nightshift import commands  # noqa: E402
from nightshift.contract.golden import Golden  # noqa: E402
from nightshift.contract.signature import ModelSignature  # noqa: E402
from nightshift.features.encoding import encode_rows  # noqa: E402
from nightshift.features.specification import FeatureSpec  # noqa: E402
from nightshift.night import Servers  # noqa: E402
from nightshift.pipeline import Pipeline  # noqa: E402
from nightshift.plan import Plan  # noqa: E402
from nightshift.registry import leases, pointer  # noqa: E402
from nightshift.release import candidate, steps, switch  # noqa: E402
from nightshift.serving import pair  # noqa: E402
from testing.house import OWN, House  # noqa: E402

DS = "2026-11-08"
LEASE = "benchbench"
"""Run token of the lease that keeps both releases deployed and loaded."""

ROWS = 200
"""Different requests of a pipeline with features."""

PICTURE = 16
"""Pixels of a side: what is measured are the switches, not the arithmetic."""

Pair = tuple[str, str]


def build(home: Path, workers: int = 1) -> tuple[House, Pair]:
    """An installation with two releases of different queries and models, both loaded.

    The first is live.
    """
    house = started(home, workers, 1)
    return house, two_releases(house)


def started(home: Path, workers: int, pipelines: int) -> House:
    """An installation whose servers run."""
    shutil.rmtree(home, ignore_errors=True)
    if pipelines == 1:
        house = House.build(home, predict_workers=workers)
    else:
        folder = home / "pipelines"
        folder.mkdir(parents=True)
        for name in ("jd", "evening", "style")[:pipelines]:
            source = ROOT / "pipelines" / ("style" if name == "style" else "jd")
            shutil.copytree(source, folder / name)
            config = folder / name / "pipeline.yaml"
            config.write_text(config.read_text().replace("../../include", str(ROOT / "include")))
        module = folder / "style" / "model.py"
        if module.is_file():
            module.write_text(module.read_text().replace("SIZE = 256", f"SIZE = {PICTURE}"))
        house = House.build(home, predict_workers=workers, pipelines=folder)
    house.up()
    return house


def two_releases(house: House) -> Pair:
    """Two releases of different queries and models, both loaded; the first is live."""
    house.generate(days=16, rows_per_day=400, end=DS)
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
    return first, variant(house, plan, first)


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
    return beside(house, plan, first, str(made["release_id"]))


def two_of_tensors(house: House) -> Pair:
    """Two releases of the pipeline of pictures, of different parameters; the first is live."""
    plan = house.plan(DS, "bench")
    night = house.of(plan)
    steps.begin(night)
    releases = []
    for seed in (3, 9):
        own = commands.Overrides(hyperparameters={"steps": 1, "threads": 1, "seed": seed})
        house.task(plan, "train", commands.module_arguments(night, own), family="tensor")
        releases.append(str(steps.make_candidate(night)["release_id"]))
        if seed == 3:
            steps.gate(night, "rehearsal", releases[0])
            steps.accept(night, releases[0])
            report = steps.switch_over(night, releases[0])
            assert report["switched"], report
    return releases[0], beside(house, plan, *releases)


def beside(house: House, plan: Plan, first: str, second: str) -> str:
    """Accept a second release, load it, and keep both loaded; its id."""
    night = house.of(plan)
    candidate.judge(night, second, ())
    folder = night.folder(second)
    manifests = [night.folder(name).manifest() for name in (first, second)]
    leases.renew(
        night.store,
        run_token=LEASE,
        run_id="bench",
        ds=DS,
        release_id=second,
        versions=[m.model.version for m in manifests],
        deployments=[m.sql.deployment for m in manifests if m.features is not None],
    )
    with night.servers() as servers:
        pair.make(servers.openmldb, servers.triton, house.pipeline, folder, folder.manifest())
    return second


@dataclass(frozen=True)
class Subject:
    """A pipeline that is switched, and what its two releases answer.

    Attributes:
        house: with the pipeline.
        releases: the first is live.
        path: what is asked.
        bodies: the requests.
        expected: by release, float64 [requests, values of an answer].
        tolerance: by which an answer may differ.
        names: by release, deployment and model version.
        probe: request rows for the switch's own probe.
    """

    house: House
    releases: Pair
    path: str
    bodies: list[bytes]
    expected: dict[str, npt.NDArray[np.float64]]
    tolerance: float
    names: dict[str, tuple[str | None, int]]
    probe: list[dict[str, Any]] = field(default_factory=list)

    def right(self, at: int, value: dict[str, Any]) -> bool:
        """Whether an answer is wholly of the release that it names."""
        release = value["release"]
        if (value.get("deployment"), value["model_version"]) != self.names.get(release):
            return False
        if "outputs" in value:
            found = np.asarray(value["outputs"]["OUTPUT_0"]["data"], np.float64).reshape(-1)
        else:
            found = np.asarray([value["predictions"][0]["score"]])
        expected = self.expected[release][at]
        return found.shape == expected.shape and bool(
            (np.abs(found - expected) <= self.tolerance).all()
        )

    def differ(self) -> None:
        """See that an answer of one release passes for none of the other's."""
        first, second = (self.expected[name] for name in self.releases)
        apart = (np.abs(first - second) > 10 * self.tolerance).any(axis=1)
        assert apart.mean() > 0.9, "both releases answer alike: nothing would show"


def of_rows(house: House, releases: Pair) -> Subject:
    """A pipeline with features: one row a request, its score bit for bit."""
    expected, names = {}, {}
    rows: list[dict[str, Any]] = []
    with house.of(house.plan(DS, "bench")).servers() as servers:
        for name in releases:
            rows, expected[name], names[name] = expected_scores(servers, house, name, ROWS)
    bodies = [json.dumps({"rows": [row]}).encode() for row in rows]
    return Subject(house, releases, "predict", bodies, expected, 0.0, names, rows[:1])


def expected_scores(
    servers: Servers, house: House, release: str, count: int
) -> tuple[list[dict[str, Any]], npt.NDArray[np.float64], tuple[str | None, int]]:
    """Request rows, what the release's own pair scores them [n, 1], and the names of the pair."""
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
    return rows, scores.astype(np.float64).reshape(-1, 1), (sql.deployment, model.version)


def of_pictures(house: House, releases: Pair) -> Subject:
    """A pipeline of tensors: noise as pictures, within the signature's tolerance."""
    random = np.random.default_rng(4)
    pictures = random.uniform(0, 255, (20, 3, PICTURE, PICTURE)).astype(np.float32)
    expected: dict[str, npt.NDArray[np.float64]] = {}
    names: dict[str, tuple[str | None, int]] = {}
    tolerance = 0.0
    with house.of(house.plan(DS, "bench")).servers() as servers:
        for name in releases:
            folder = house.pipeline.store.folder(name)
            model = folder.manifest().model
            signature = ModelSignature.load(folder.model)
            assert Golden.load(folder.model, signature).rows
            tolerance = signature.outputs[0].tolerance
            answers = [
                servers.triton.infer(model.name, model.version, {"INPUT_0": one}, ["OUTPUT_0"])
                for one in pictures
            ]
            expected[name] = np.stack([a["OUTPUT_0"].reshape(-1) for a in answers]).astype(float)
            names[name] = None, model.version
    bodies = [
        json.dumps({"inputs": {"INPUT_0": {"shape": one.shape, "data": one.ravel().tolist()}}})
        for one in pictures
    ]
    encoded = [body.encode() for body in bodies]
    return Subject(house, releases, "infer", encoded, expected, tolerance, names)


@dataclass
class Client(threading.Thread):
    """Posts one request after another and keeps what it saw."""

    subject: Subject
    stop: threading.Event
    offset: int
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        pipeline, at = self.subject.house.pipeline, self.offset
        path = f"/v1/pipelines/{pipeline.name}/{self.subject.path}"
        connection = self.connect()
        while not self.stop.is_set():
            at += 1
            if at % 50 == 0:  # perhaps another worker takes the next connection
                connection.close()
                connection = self.connect()
            body = self.subject.bodies[at % len(self.subject.bodies)]
            began = time.monotonic()
            try:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                connection = self.connect()
                continue
            ended = time.monotonic()
            if answer.status != 200:
                self.failures.append(f"HTTP {answer.status} {content[:200].decode()}")
                continue
            value = json.loads(content)
            self.answers.append((began, ended, value["release"]))
            if not self.subject.right(at % len(self.subject.bodies), value):
                self.mixed.append(content[:500].decode())
        connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        port = self.subject.house.settings.predict_port
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


@dataclass(frozen=True)
class Switch:
    """One switch: when it began, when it was complete, and to which release."""

    began: float
    ended: float
    release: str
    probe_s: float


def switches(subject: Subject, count: int, pause: float) -> list[Switch]:
    """Switch a pipeline back and forth."""
    made = []
    house = subject.house
    with house.of(house.plan(DS, "bench")).servers() as servers:
        for n in range(count):
            release = subject.releases[(n + 1) % 2]
            began = time.monotonic()
            report = switch.switch(
                servers,
                house.pipeline,
                release,
                requests=lambda columns: [[row[c] for c in columns] for row in subject.probe],
                promote="force",
                reason="force",
                actor="bench",
            )
            made.append(Switch(began, time.monotonic(), release, report["probe_s"]))
            time.sleep(pause)
    return made


def late(answers: list[tuple[float, float, str]], made: list[Switch]) -> int:
    """Requests that began after a switch was complete and were answered by the old release."""
    found = 0
    for this, following in zip(made, [*made[1:], None], strict=True):
        until = following.began if following is not None else float("inf")
        found += sum(
            release != this.release
            for began, ended, release in answers
            if began > this.ended and ended < until
        )
    return found


def measure(subjects: list[Subject], options: argparse.Namespace) -> dict[str, Any]:
    """The load, the switches, the figures."""
    for subject in subjects:
        subject.differ()
    stop = threading.Event()
    clients = [
        Client(subject, stop, n * 37) for subject in subjects for n in range(options.clients)
    ]
    for one in clients:
        one.start()
    time.sleep(3)
    with ThreadPoolExecutor(len(subjects)) as pool:
        runs = [pool.submit(switches, s, options.switches, options.pause) for s in subjects]
        made = [run.result() for run in runs]
    time.sleep(3)
    stop.set()
    for one in clients:
        one.join(60)
    lines = [
        figures(subject, [one for one in clients if one.subject is subject], spans)
        for subject, spans in zip(subjects, made, strict=True)
    ]
    return {
        "switches": options.switches * len(subjects),
        "workers": options.workers,
        "clients": len(clients),
        **{
            key: sum(line[key] for line in lines)
            for key in ("requests", "failed_requests", "mixed_answers", "late_answers")
        },
        "pipelines": lines,
    }


def figures(subject: Subject, clients: list[Client], made: list[Switch]) -> dict[str, Any]:
    """What one pipeline's clients saw."""
    answers = [answer for one in clients for answer in one.answers]

    def during(began: float) -> bool:
        return any(one.began - 0.05 <= began <= one.ended for one in made)

    inside = [(ended - began) * 1000 for began, ended, _ in answers if during(began)]
    outside = [(ended - began) * 1000 for began, ended, _ in answers if not during(began)]
    return {
        "pipeline": subject.house.pipeline.name,
        "requests": len(answers) + sum(len(one.failures) for one in clients),
        "answers_by_release": dict(Counter(release for _, _, release in answers)),
        "failed_requests": sum(len(one.failures) for one in clients),
        "mixed_answers": sum(len(one.mixed) for one in clients),
        "late_answers": late(answers, made),
        "first_failures": [text for one in clients for text in one.failures][:3],
        "first_mixed": [text for one in clients for text in one.mixed][:3],
        "latency_ms_during_switches": _percentiles(inside),
        "latency_ms_between": _percentiles(outside),
        "switch_s_median": round(float(np.median([one.ended - one.began for one in made])), 4),
        "probe_s_median": round(float(np.median([one.probe_s for one in made])), 4),
        "live": str(
            getattr(pointer.read_live(subject.house.pipeline.releases), "release_id", None)
        ),
    }


def _percentiles(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0}
    p50, p99 = np.percentile(values, [50, 99])
    return {"n": len(values), "p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def main() -> int:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--switches", type=int, default=100, help="of each pipeline")
    parser.add_argument("--clients", type=int, default=4, help="of each pipeline")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two switches")
    parser.add_argument("--workers", type=int, default=1, help="processes of the predict server")
    parser.add_argument("--pipelines", type=int, choices=(1, 2, 3), default=1)
    parser.add_argument(
        "--home", type=Path, default=Path(tempfile.gettempdir()) / "nightshift-bench-switch"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    house = started(options.home, options.workers, options.pipelines)
    try:
        subjects = [of_rows(house, two_releases(house))]
        for name in ("evening", "style")[: options.pipelines - 1]:
            other = House(Pipeline.load(house.settings, name), house.processes)
            if name == "style":
                subjects.append(of_pictures(other, two_of_tensors(other)))
            else:
                subjects.append(of_rows(other, two_releases(other)))
        result = measure(subjects, options)
    finally:
        house.down()
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    wrong = ("failed_requests", "mixed_answers", "late_answers")
    return 1 if any(result[key] for key in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
