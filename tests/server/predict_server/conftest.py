"""The predict server as a process, between the real OpenMLDB and the real Triton."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from laptop.services.launch import Launch, base_env
from nightshift import files
from nightshift import triton as publishing
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.openmldb import OpenMLDBClient
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import LivePointer
from nightshift.settings import Settings
from nightshift.triton import INPUT
from testing.serving import ROOT, Process, Trained, Triton, free_ports, wait_until

TABLE = """CREATE TABLE requests(
    reqId string, eventTime timestamp, user string, product string, ratio double, rate float,
    seen int, big bigint, small smallint, flag bool, day date,
    INDEX(key=user, ts=eventTime, ttl=0m, ttl_type=absolute)
)"""

FEATURES = """SELECT
    reqId AS request_id, eventTime AS request_time, eventTime AS made_at, seen AS bought,
    user AS user, product AS product, dayofweek(eventTime) AS weekday, ratio AS ratio,
    rate AS rate, count(reqId) OVER w AS count
FROM requests
WINDOW w AS (PARTITION BY user ORDER BY eventTime
             ROWS_RANGE BETWEEN {days}d PRECEDING AND 0s PRECEDING)"""

NOW = 1_709_600_000_000
DAY = 86_400_000


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A request that every deployment answers."""
    return {
        "reqId": f"q{number}",
        "eventTime": NOW + number,
        "user": f"u{number % 7}",
        "product": f"p{number % 5}",
        "ratio": (number % 10) / 10,
        "rate": 0.5,
        "seen": 0,
        "big": 1 << 40,
        "small": -3,
        "flag": True,
        "day": "2024-03-05",
        **changes,
    }


@dataclass(frozen=True)
class Pair:
    """What a release is made of."""

    release_id: str
    deployment: str
    version: int


@dataclass
class House:
    """OpenMLDB with two deployments, Triton with two versions, and a pointer to choose by."""

    settings: Settings
    triton: Triton
    openmldb: OpenMLDBClient
    openmldb_server: Process
    model: str
    spec_path: Path
    pairs: tuple[Pair, Pair]
    sequence: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def spec(self) -> FeatureSpec:
        return FeatureSpec.load(self.spec_path)

    def pointer(self, pair: Pair, **changes: Any) -> LivePointer:
        made = LivePointer(
            release_id=pair.release_id,
            ds="2024-03-04",
            database="shop",
            deployment=pair.deployment,
            model=self.model,
            model_version=pair.version,
            feature_spec=str(self.spec_path),
            spec_hash=self.spec.schema_hash,
            manifest_checksum="0" * 64,
            family="ctr",
            switched_at="2024-03-05T00:00:00Z",
            sequence=next(self.sequence),
            previous=None,
            reason="promotion",
        )
        return dataclasses.replace(made, **changes)

    def switch(self, pair: Pair, releases: Path | None = None, **changes: Any) -> LivePointer:
        """Replace live.json, as a release does."""
        pointer = self.pointer(pair, **changes)
        folder = releases or Pipeline.load(self.settings).releases
        files.write_json(folder / "live.json", dataclasses.asdict(pointer))
        return pointer

    def features(self, pair: Pair, rows: list[dict[str, Any]]) -> list[list[Any]]:
        found, _ = self.openmldb.call("shop", pair.deployment, [list(r.values()) for r in rows])
        return found

    def expected(self, pair: Pair, rows: list[dict[str, Any]]) -> list[float]:
        """Scores by the parts themselves, without the predict server."""
        info = self.openmldb.deployment("shop", pair.deployment)
        names = [name for name, _ in info.output_schema]
        ids = encode_rows(self.spec, names, self.features(pair, rows))
        return [float(s) for s in self.triton.control.score(self.model, pair.version, {INPUT: ids})]


@pytest.fixture(scope="session")
def house(
    serving_home: Settings, triton: Triton, openmldb_server: Process, trained: Trained
) -> Iterator[House]:
    client = OpenMLDBClient.of(serving_home)
    client.execute("shop", "CREATE DATABASE shop")
    client.execute("shop", TABLE)
    values = ", ".join(
        f"('h{n}', {NOW - n * DAY // 2 - 1}, 'u{n % 7}', 'p{n % 5}', 0.5, 0.5, 0, 1, 1, true, "
        "'2024-03-01')"
        for n in range(28)
    )
    client.execute("shop", f"INSERT INTO requests VALUES {values}", "online")
    pairs = (Pair("r1", "shop_a", 20240304001), Pair("r2", "shop_b", 20240305001))
    model = triton.new_model()
    for pair, days, folder in zip(pairs, (2, 20), trained.models, strict=True):
        client.execute("shop", f"DEPLOY {pair.deployment} {FEATURES.format(days=days)}", "online")
        publishing.publish(triton.control, triton.repo, model, pair.version, folder)
    made = House(serving_home, triton, client, openmldb_server, model, trained.spec_path, pairs)
    # The tests below can tell a mix of two releases by its scores.
    asked = [row(n) for n in range(14)]
    mixes = [Pair("", a.deployment, b.version) for a in pairs for b in pairs]
    scores = [made.expected(mix, asked) for mix in mixes]
    for one, other in itertools.combinations(scores, 2):
        assert np.abs(np.array(one) - np.array(other)).max() > 1e-3
    yield made
    client.close()


@dataclass
class Predict:
    """A running predict server."""

    settings: Settings
    server: Process
    http: httpx.Client

    def start(self) -> None:
        wait_until(lambda: self.server.check() and self.alive(), "the predict server answers")

    def alive(self) -> bool:
        try:
            return self.http.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, payload: Any, path: str = "/predict", status: int = 200) -> Any:
        answer = self.http.post(path, json=payload)
        assert answer.status_code == status, answer.text
        return answer.json()

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.http.get("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            wanted = [f'{key}="{text}"' for key, text in labels.items()]
            if sample.split("{")[0] == name and all(w in sample for w in wanted):
                total += float(value)
        return total


def own_settings(house: House, home: Path, **changes: Any) -> Settings:
    """Settings of a server of a test's own, between the shared OpenMLDB and Triton."""
    (port,) = free_ports(1)
    changed = {"home": home, "data": home / "data", "predict_port": port, **changes}
    return dataclasses.replace(house.settings, **changed)


def launch(settings: Settings, verify: Any = True) -> Predict:
    """Start a predict server; the caller stops it."""
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-P", "-m", "predict_server"]
    server = Process(Launch(argv, base_env(settings), ROOT), settings.home / "predict.log")
    http = httpx.Client(base_url=settings.predict_url, timeout=30, trust_env=False, verify=verify)
    started = Predict(settings, server, http)
    started.start()
    return started


@pytest.fixture(scope="session")
def predict(house: House) -> Iterator[Predict]:
    """The server that most tests share; its release is `r1` unless a test switches."""
    house.switch(house.pairs[0])
    started = launch(house.settings)
    yield started
    started.http.close()
    assert started.server.stop() == 0, started.server.log.read_text()[-2000:]


@pytest.fixture
def live_first(house: House, predict: Predict) -> Predict:
    """The shared server, answering by `r1`."""
    house.switch(house.pairs[0])
    assert predict.ask(row())["release"] == "r1"
    return predict
