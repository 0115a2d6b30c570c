"""The predict server as a process, between the real OpenMLDB and the real Triton."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from predict_server.app import App
from predict_server.pipelines import PipelineRef

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


@pytest.fixture
def apart(house, tmp_path):
    """A server whose releases, OpenMLDB and Triton a test may take away."""
    started = []

    def start(**changes):
        (port,) = free_ports(1)
        changed = {"home": tmp_path, "predict_port": port, "predict_timeout_s": 3.0, **changes}
        # Derived folders follow the new home.
        settings = dataclasses.replace(house.settings, data=tmp_path / "data", **changed)
        started.append(launch(settings))
        return started[-1]

    yield start
    for server in started:
        server.http.close()
        server.server.stop()


RELEASE = "2026-11-19.001"


MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            image = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy()
            gain = pb_utils.get_input_tensor_by_name(request, "GAIN").as_numpy()
            bright = (image * gain.reshape(-1, 1, 1, 1)).astype(np.float32)
            mean = bright.mean(axis=(1, 2, 3), dtype=np.float64).reshape(-1, 1)
            answers.append(
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor("BRIGHT", bright), pb_utils.Tensor("MEAN", mean)]
                )
            )
        return answers
"""


CONFIG = """
backend: "python"
max_batch_size: 16
input [
  { name: "IMAGE" data_type: TYPE_FP32 dims: [ 3, 4, 5 ] },
  { name: "GAIN" data_type: TYPE_INT16 dims: [ 1 ] }
]
output [
  { name: "BRIGHT" data_type: TYPE_FP32 dims: [ 3, 4, 5 ] },
  { name: "MEAN" data_type: TYPE_FP64 dims: [ 1 ] }
]
instance_group [ { kind: KIND_CPU } ]
"""


SIGNATURE = {
    "version": 1,
    "family": "tensor",
    "max_batch_size": 16,
    "inputs": [
        {"name": "IMAGE", "dtype": "FP32", "dims": [3, 4, 5]},
        {"name": "GAIN", "dtype": "INT16", "dims": [1], "minimum": 0, "maximum": 100},
    ],
    "outputs": [
        {"name": "BRIGHT", "dtype": "FP32", "dims": [3, 4, 5]},
        {"name": "MEAN", "dtype": "FP64", "dims": [1]},
    ],
}


@pytest.fixture(scope="module")
def bright(house):
    """A model of named tensors in Triton."""
    name = house.triton.new_model()
    folder = house.triton.repo / name
    (folder / "7").mkdir(parents=True)
    (folder / "7" / "model.py").write_text(MODEL)
    (folder / "config.pbtxt").write_text(f'name: "{name}"\n{CONFIG}')
    house.triton.control.load(name)
    yield name
    house.triton.control.unload(name)
    shutil.rmtree(folder)


def tensor_pointer(house, model):
    pointer = house.pointer(house.pairs[0], release_id=RELEASE, model=model, model_version=7)
    absent = dict.fromkeys(("database", "deployment", "feature_spec", "spec_hash"))
    return {**dataclasses.asdict(pointer), **absent, "family": "tensor"}


class Client:
    """An application without a socket, and the list of pipelines that it reads."""

    def __init__(self, settings, refs):
        self.refs = refs
        self.app = App(settings, lambda: list(refs))
        transport = httpx.ASGITransport(app=self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def ask(self, path, payload, status=200, **options):
        answer = await self.http.post(path, json=payload, **options)
        assert answer.status_code == status, answer.text[:500]
        return answer.json()

    async def get(self, path, status=200):
        answer = await self.http.get(path)
        assert answer.status_code == status, answer.text[:500]
        return answer.json()


@pytest.fixture
async def shop(house, bright, tmp_path):
    """Pipelines `ads` (rows), `pictures` (tensors) and `new`, which has no release."""
    refs = [
        PipelineRef("ads", "ctr", tmp_path / "ads"),
        PipelineRef("pictures", "tensor", tmp_path / "pictures"),
        PipelineRef("new", "ctr", tmp_path / "new"),
    ]
    house.switch(house.pairs[0], tmp_path / "ads")
    files.write_json(tmp_path / "pictures" / RELEASE / "model" / "signature.json", SIGNATURE)
    files.write_json(tmp_path / "pictures" / "live.json", tensor_pointer(house, bright))
    client = Client(own_settings(house, tmp_path), refs)
    await client.app._start()
    yield client
    await client.app._stop()
    await client.http.aclose()


IMAGE = (np.arange(120, dtype=np.float32) / 7).reshape(2, 3, 4, 5)


GAIN = np.array([[2], [3]], np.int16)
