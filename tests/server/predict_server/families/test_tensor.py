"""Requests of named tensors, to a real Triton."""

import io
import json

import numpy as np
import pytest

from tests.server.predict_server.conftest import GAIN, IMAGE, RELEASE


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


async def test_the_page_of_tensors_asks_this_server_alone(shop):
    page = await shop.http.get("/v1/pipelines/pictures/page")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "src=" not in page.text
    assert "://" not in page.text
    await shop.get("/page", 404)
    assert (await shop.http.post("/v1/pipelines/pictures/page", json={})).status_code == 405
