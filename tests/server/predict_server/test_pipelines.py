"""Several pipelines in one server: tensors beside rows, and separate failure."""

import asyncio
import dataclasses
import io
import json
import shutil
from collections import Counter

import httpx
import numpy as np
import pytest
from predict_server.app import App
from predict_server.pipelines import PipelineRef

from nightshift import files
from tests.server.predict_server.conftest import own_settings, row

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


async def test_each_pipeline_answers_by_its_own_path_and_the_first_by_the_old_ones(house, shop):
    rows = await shop.ask("/v1/pipelines/ads/predict", row(3))
    again = await shop.ask("/predict", row(3))
    assert again.pop("receipt")["request"] == rows.pop("receipt")["request"]
    assert rows == again
    (expected,) = house.expected(house.pairs[0], [row(3)])
    assert rows["predictions"][0]["score"] == pytest.approx(expected, abs=1e-6)
    listed = await shop.get("/v1/pipelines")
    assert [(p["name"], p["release"]) for p in listed["pipelines"]] == [
        ("ads", "r1"),
        ("pictures", RELEASE),
        ("new", None),
    ]
    schema = await shop.get("/v1/pipelines/pictures/schema")
    assert schema["inputs"][0] == {"name": "IMAGE", "dtype": "FP32", "dims": [3, 4, 5]}
    refused = await shop.ask("/v1/pipelines/pictures/rank", {}, 404)
    assert refused["error"] == "no_operation"
    assert (await shop.ask("/v1/pipelines/new/predict", row(1), 503))["error"] == "no_release"


async def test_tensors_come_back_in_the_form_in_which_they_were_sent(shop):
    path = "/v1/pipelines/pictures/predict"
    bright, mean = IMAGE * GAIN.reshape(2, 1, 1, 1), IMAGE.mean(axis=(1, 2, 3)) * GAIN[:, 0]
    plain = await shop.ask(path, {"inputs": {"IMAGE": IMAGE.tolist(), "GAIN": GAIN.tolist()}})
    np.testing.assert_array_equal(np.float32(plain["outputs"]["BRIGHT"]), bright)
    np.testing.assert_allclose(np.ravel(plain["outputs"]["MEAN"]), mean, rtol=1e-6)
    assert plain["release"] == RELEASE
    flat = {
        "IMAGE": {"shape": [2, 3, 4, 5], "data": IMAGE.ravel().tolist()},
        "GAIN": {"shape": [2, 1], "data": [2, 3]},
    }
    described = (await shop.ask("/v1/pipelines/pictures/infer", {"inputs": flat}))["outputs"]
    assert described["BRIGHT"]["shape"] == [2, 3, 4, 5]
    np.testing.assert_array_equal(np.float32(described["BRIGHT"]["data"]), bright.ravel())
    listed = [{"name": name, "datatype": "FP32", **value} for name, value in flat.items()]
    kserve = (await shop.ask(path, {"inputs": listed}))["outputs"]
    assert [(t["name"], t["shape"]) for t in kserve] == [("BRIGHT", [2, 3, 4, 5]), ("MEAN", [2, 1])]
    file = io.BytesIO()
    np.savez(file, IMAGE=IMAGE, GAIN=GAIN)
    answer = await shop.http.post(
        path, content=file.getvalue(), headers={"Content-Type": "application/x-npz"}
    )
    with np.load(io.BytesIO(answer.content)) as arrays:
        np.testing.assert_array_equal(arrays["BRIGHT"], bright)
    one = await shop.ask(path, {"inputs": {"IMAGE": IMAGE[0].tolist(), "GAIN": [2]}})
    np.testing.assert_array_equal(np.float32(one["outputs"]["BRIGHT"]), bright[0])


@pytest.mark.parametrize(
    "change",
    [
        {"GAIN": [[2], [40_000]]},
        {"GAIN": [[2], [101]]},
        {"GAIN": [[2], [-1]]},
        {"GAIN": [[2.5], [1]]},
        {"GAIN": [[True], [False]]},
        {"GAIN": [["2"], ["3"]]},
        {"GAIN": [[10**400], [1]]},
        {"GAIN": [[2]]},
        {"GAIN": []},
        {"GAIN": None},
        {"GAIN": [[2], [None]]},
        {"IMAGE": [[1], [2, 3]]},
        {"IMAGE": 1},
        {"IMAGE": (np.full((2, 3, 4, 5), 10**200)).tolist()},
        {"IMAGE": {"shape": [2, 3, 4, 6], "data": [0.0] * 120}},
        {"OTHER": [1]},
    ],
)
async def test_tensors_that_do_not_fit_are_422(shop, change):
    inputs = {"IMAGE": IMAGE.tolist(), "GAIN": GAIN.tolist(), **change}
    answer = await shop.ask("/v1/pipelines/pictures/predict", {"inputs": inputs}, 422)
    assert answer["error"] == "invalid_tensors"
    assert len(json.dumps(answer)) < 1000


async def test_a_file_of_zeros_that_unpacks_to_gigabytes_is_refused(shop):
    file = io.BytesIO()
    np.savez_compressed(file, IMAGE=np.zeros(30_000_000, np.float32), GAIN=GAIN)
    headers = {"Content-Type": "application/x-npz"}
    path = "/v1/pipelines/pictures/predict"
    answer = await shop.http.post(path, content=file.getvalue(), headers=headers)
    assert answer.status_code == 422
    answer = await shop.http.post(path, content=b"PK\3\4 nothing", headers=headers)
    assert answer.status_code == 400


async def test_one_pipelines_failures_are_not_the_others(house, shop, tmp_path):
    house.switch(house.pairs[1], tmp_path / "new", deployment="shop_gone")
    assert (await shop.ask("/v1/pipelines/new/predict", row(1), 503))["error"] == "no_release"
    (tmp_path / "pictures" / "live.json").write_text("{broken")
    for _ in range(5):
        assert (await shop.ask("/predict", row(1)))["release"] == "r1"
    kept = await shop.get("/v1/pipelines/pictures/health")
    assert (kept["status"], kept["release"]) == ("ready", RELEASE)
    assert "live.json" in kept["switch_problem"]
    assert (await shop.get("/v1/pipelines/new/health", 503))["status"] == "not ready"
    assert (await shop.get("/v1/pipelines/ads/health"))["status"] == "ready"


async def test_the_page_of_tensors_asks_this_server_alone(shop):
    page = await shop.http.get("/v1/pipelines/pictures/page")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "src=" not in page.text
    assert "://" not in page.text
    await shop.get("/page", 404)
    assert (await shop.http.post("/v1/pipelines/pictures/page", json={})).status_code == 405


async def test_the_page_of_a_pipeline_without_a_release_says_what_to_do(shop):
    page = await shop.http.get("/v1/pipelines/new/page")
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "./nightshift run --pipeline new" in page.text
    assert "no release is live yet" in page.text


async def test_a_pipeline_switches_between_families_under_load(house, bright, shop, tmp_path):
    """A release that has features, and one that has none: no answer fails, and none is a mixture."""
    (expected,) = house.expected(house.pairs[0], [row(3)])
    tensors = {"inputs": {"IMAGE": IMAGE.tolist(), "GAIN": GAIN.tolist()}}
    wanted = IMAGE * GAIN.reshape(2, 1, 1, 1)
    stop = asyncio.Event()
    counts: Counter[str] = Counter()

    async def rows() -> None:
        while not stop.is_set():
            await asyncio.sleep(0)  # a refusal waits for nothing, and would let nobody else in
            answer = await shop.http.post("/predict", json=row(3))
            value = answer.json()
            if answer.status_code == 200 and value["release"] == "r1":
                assert value["predictions"][0]["score"] == pytest.approx(expected, abs=1e-6)
                counts["rows"] += 1
            else:
                assert (answer.status_code, value["error"]) == (422, "invalid_tensors"), value

    async def images() -> None:
        while not stop.is_set():
            await asyncio.sleep(0)  # a refusal waits for nothing, and would let nobody else in
            answer = await shop.http.post("/predict", json=tensors)
            value = answer.json()
            if answer.status_code == 200 and value["release"] == RELEASE:
                np.testing.assert_array_equal(np.float32(value["outputs"]["BRIGHT"]), wanted)
                counts["images"] += 1
            else:
                assert answer.status_code == 422, value
                assert value["error"] in ("invalid_rows", "invalid_request"), value

    files.write_json(tmp_path / "ads" / RELEASE / "model" / "signature.json", SIGNATURE)
    asking = [asyncio.create_task(work()) for work in (rows, rows, images, images)]
    try:
        for n in range(10):
            kind = "rows" if n % 2 else "images"
            if n % 2:
                house.switch(house.pairs[0], tmp_path / "ads")
            else:
                files.write_json(tmp_path / "ads" / "live.json", tensor_pointer(house, bright))
            before = counts[kind]
            while counts[kind] < before + 3 and not any(task.done() for task in asking):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await asyncio.gather(*asking)
    assert min(counts["rows"], counts["images"]) >= 15


async def test_a_new_pipeline_appears_without_a_restart(house, shop, tmp_path):
    house.switch(house.pairs[1], tmp_path / "later")
    await shop.ask("/v1/pipelines/later/predict", row(1), 404)
    shop.refs.append(PipelineRef("later", "ctr", tmp_path / "later"))
    await shop.app.hosts.refresh()
    assert (await shop.ask("/v1/pipelines/later/predict", row(1)))["release"] == "r2"
    assert (await shop.ask("/predict", row(1)))["release"] == "r1"


async def test_health_asks_the_live_deployment(house, tmp_path):
    """A deployment that is dropped under the live release shows, though OpenMLDB is well."""
    from tests.server.predict_server.conftest import FEATURES, Pair

    house.openmldb.execute("shop", f"DEPLOY shop_brief {FEATURES.format(days=2)}", "online")
    house.switch(Pair("r5", "shop_brief", house.pairs[0].version), tmp_path / "ads")
    client = Client(own_settings(house, tmp_path), [PipelineRef("ads", "ctr", tmp_path / "ads")])
    await client.app._start()
    try:
        assert (await client.get("/health"))["parts"]["openmldb"] == "ok"
        house.openmldb.execute("shop", "DROP DEPLOYMENT shop_brief", "online")
        await client.ask("/predict", row(1), 502)
        answer = await client.get("/health", 503)
        assert "shop_brief" in answer["parts"]["openmldb"]
        assert answer["parts"]["triton"] == "ok"
    finally:
        await client.app._stop()
        await client.http.aclose()
