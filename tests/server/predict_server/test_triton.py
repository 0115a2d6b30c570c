"""Triton, asked from an event loop."""

import shutil
import time

import numpy as np
import pytest
from predict_server.triton import AsyncTriton

from nightshift.errors import ContractError, ServiceUnavailable
from nightshift.triton import INPUT, OUTPUT
from testing.serving import free_ports, wait_until
from tests.server.predict_server.conftest import row


@pytest.fixture
async def triton_client(house):
    found = AsyncTriton(house.settings.triton_grpc_url)
    yield found
    await found.close()


async def test_scores_are_those_of_the_blocking_client(house, triton_client):
    ids = np.arange(3 * house.spec.width, dtype=np.int64).reshape(3, -1)
    version = house.pairs[0].version
    answer = await triton_client.infer(house.model, version, {INPUT: ids}, [OUTPUT], timeout_s=30)
    assert set(answer) == {OUTPUT}
    expected = house.triton.control.score(house.model, version, {INPUT: ids})
    np.testing.assert_array_equal(answer[OUTPUT].reshape(-1), np.ravel(expected))
    assert await triton_client.live(timeout_s=30) is None


async def test_a_version_or_a_width_that_is_not_served_is_a_refusal(house, triton_client):
    ids = np.zeros((1, house.spec.width), np.int64)
    with pytest.raises(ContractError, match=f"{house.model}/20990101001"):
        await triton_client.infer(house.model, 20990101001, {INPUT: ids}, [OUTPUT], timeout_s=30)
    with pytest.raises(ContractError, match=house.model):
        await triton_client.infer(
            house.model, house.pairs[0].version, {INPUT: ids[:, 1:]}, [OUTPUT], timeout_s=30
        )


async def test_text_goes_there_and_back(house, triton_client, echo):
    words = np.array([["北京", "", "a\x00b"]], dtype=np.object_)
    answer = await triton_client.infer(echo, 1, {"WORDS": words}, ["SAME"], timeout_s=30)
    assert [word.decode() for word in answer["SAME"][0]] == ["北京", "", "a\x00b"]


async def test_a_server_that_is_not_there_is_named():
    (port,) = free_ports(1)
    found = AsyncTriton(f"127.0.0.1:{port}")
    with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{port}"):
        await found.infer("m", 1, {"x": np.zeros(1)}, ["y"], timeout_s=2)
    assert str(port) in await found.live(timeout_s=2)
    await found.close()


@pytest.fixture
def echo(house):
    """A model that gives text back."""
    name = house.triton.new_model()
    folder = house.triton.repo / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(ECHO)
    (folder / "config.pbtxt").write_text(
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: 0\n'
        'input [ { name: "WORDS" data_type: TYPE_STRING dims: [ 1, 3 ] } ]\n'
        'output [ { name: "SAME" data_type: TYPE_STRING dims: [ 1, 3 ] } ]\n'
        "instance_group [ { kind: KIND_CPU } ]\n"
    )
    house.triton.control.load(name)
    yield name
    house.triton.control.unload(name)
    shutil.rmtree(folder)


ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([
                pb_utils.Tensor("SAME", pb_utils.get_input_tensor_by_name(r, "WORDS").as_numpy())
            ])
            for r in requests
        ]
"""


def test_triton_that_went_and_came_back_is_found_again_soon(house, live_first):
    house.triton.server.stop()
    try:
        assert live_first.ask(row(1), status=503)["error"] == "unavailable"
        assert "Triton" in live_first.http.get("/health").json()["parts"]["triton"]
        # Long enough for gRPC's own pauses to have grown.
        time.sleep(4)
    finally:
        house.triton.server.start()
        house.triton.wait_live()
        house.triton.control.load(house.model)
    wait_until(
        lambda: live_first.http.post("/predict", json=row(1)).status_code == 200,
        "predictions are answered again",
        timeout_s=60,
    )
