"""The pipelines as they are served: separate failure, switches, health."""

import asyncio
import threading
from collections import Counter

import numpy as np
import pytest
from predict_server import hosts
from predict_server.app import App
from predict_server.errors import BackendError, RequestError
from predict_server.pipelines import PipelineRef

from nightshift import files
from nightshift.settings import Settings
from tests.server.predict_server.conftest import (
    GAIN,
    IMAGE,
    RELEASE,
    SIGNATURE,
    Client,
    own_settings,
    row,
    tensor_pointer,
)


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


@pytest.fixture
async def listed(tmp_path, monkeypatch):
    """The pipelines of a server without services, whose list a test takes in hand."""
    monkeypatch.setattr(hosts, "LIST_S", 600.0)  # however slow the machine is
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)})
    refs = [PipelineRef(name, "ctr", tmp_path / name) for name in ("ads", "jd")]
    app = App(settings, lambda: refs.copy())
    yield app.hosts, refs
    for host in app.hosts:
        host.close()
    await app.openmldb.close()
    await app.triton.close()
    app.threads.shutdown()


async def test_the_first_of_the_list_is_the_default_and_a_removed_one_goes(listed):
    found, refs = listed
    await found.refresh()
    assert found.get(None) is found.get("ads")
    kept = found.get("jd")
    del refs[0]
    await found.refresh()
    assert found.get(None) is kept  # and keeps what it has loaded
    with pytest.raises(RequestError, match="no pipeline 'ads'; there are: jd") as refused:
        found.get("ads")
    assert (refused.value.status, refused.value.kind) == (404, "no_pipeline")
    refs.clear()
    await found.refresh()
    with pytest.raises(RequestError, match="there are: none"):
        found.get(None)


async def test_a_pipeline_whose_definition_changed_is_served_anew(listed, tmp_path):
    found, refs = listed
    await found.refresh()
    before, other = found.get("jd"), found.get("ads")
    refs[1] = PipelineRef("jd", "tensor", tmp_path / "jd")
    await found.refresh()
    assert found.get("jd") is not before
    assert found.get("jd").ref.family == "tensor"
    assert found.get("ads") is other


async def test_a_family_that_is_not_in_this_server_costs_its_pipeline_alone(listed, tmp_path):
    found, refs = listed
    refs.insert(0, PipelineRef("new", "quantum", tmp_path / "new"))
    await found.refresh()
    assert sorted(host.ref.name for host in found) == ["ads", "jd"]
    with pytest.raises(RequestError, match="pipeline new: there is no family 'quantum'"):
        found.get("new")


async def test_a_list_that_fails_or_hangs_leaves_those_that_are_served(listed, monkeypatch):
    found, refs = listed
    await found.refresh()
    served = [found.get("ads"), found.get("jd")]

    monkeypatch.setattr(found, "_list", lambda: 1 / 0)
    await found.refresh()
    assert list(found) == served
    assert "division by zero" in found.problem

    let_go, asked = threading.Event(), []

    def hang():
        asked.append(1)
        let_go.wait()
        return refs[:1]

    monkeypatch.setattr(found, "_list", hang)
    monkeypatch.setattr(hosts, "LIST_S", 0.01)
    for _ in range(3):
        await found.refresh()
        assert found.problem == "the pipelines' folders do not answer"
        assert list(found) == served
    assert len(asked) == 1  # one thread waits, whatever comes
    let_go.set()
    monkeypatch.setattr(hosts, "LIST_S", 600.0)
    await found.refresh()
    assert list(found) == served[:1]
    assert found.problem is None


async def test_a_pipeline_without_a_release_says_which_server_does_not_answer(listed):
    found, _ = listed
    await found.refresh()
    host = found.get("ads")
    with pytest.raises(BackendError, match="no release is live yet") as refused:
        await host.require_live()
    assert refused.value.status == 503
    health = await host.health()
    assert not health.ready
    assert health.live is None
    assert "no release is live yet" in health.parts["release"]
    assert host.status() == {"release": None, "sequence": None, "problem": health.parts["release"]}
