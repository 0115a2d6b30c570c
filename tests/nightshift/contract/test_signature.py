"""Signatures: what is read is what was written, and what does not fit is named."""

import json

import numpy as np
import pytest

from nightshift.contract.signature import ANY, ModelSignature, Tensor, ctr_signature
from nightshift.errors import ContractError

IMAGE = ModelSignature(
    "tensor",
    (Tensor("image", "FP32", (3, ANY, ANY), minimum=0.0, maximum=255.0),),
    (Tensor("styled", "FP32", (3, ANY, ANY), tolerance=0.5),),
    max_batch_size=0,
)


def test_what_is_written_is_read_again(tmp_path):
    for signature in (IMAGE, ctr_signature(32)):
        (tmp_path / "signature.json").write_text(json.dumps(signature.to_json()))
        assert ModelSignature.load(tmp_path) == signature


def test_a_folder_from_before_signatures_has_the_width_of_its_golden_rows(tmp_path):
    (tmp_path / "golden.json").write_text(json.dumps({"ids": [[1, 2, 3]], "scores": [0.5]}))
    assert ModelSignature.load(tmp_path) == ctr_signature(3)


def changed(**changes):
    return {**IMAGE.to_json(), **changes}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "not a model signature"),
        ({}, "not a model signature"),
        (changed(version=2), "has version 2"),
        (changed(inputs=[]), "needs inputs and outputs"),
        (changed(inputs=IMAGE.to_json()["outputs"]), "names of their own"),
        (changed(inputs=[{"name": "x", "dtype": "FP8", "dims": [1]}]), "FP8"),
        (changed(inputs=[{"name": "x", "dtype": "FP32", "dims": [0]}]), "dims"),
        (changed(inputs=[{"name": "x", "dtype": "FP32"}]), "dims"),
        (changed(max_batch_size="many"), "many"),
    ],
)
def test_a_wrong_signature_is_refused(value, said):
    with pytest.raises(ContractError, match=said):
        ModelSignature.parse(value, where="signature.json")


def test_open_dimensions_take_any_size_and_integers_become_floats():
    image = np.full((3, 2, 5), 7, np.uint8)
    found = IMAGE.check_inputs({"image": image}, "request")
    assert found["image"].dtype == np.float32
    assert (found["image"] == 7).all()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "image is missing"),
        ({"image": np.zeros((3, 2, 2)), "picture": np.zeros(1)}, "unknown tensor 'picture'"),
        ({"image": np.zeros((1, 3, 2, 2))}, r"shape \[1, 3, 2, 2\]; \[3, -1, -1\] is expected"),
        ({"image": np.zeros((4, 2, 2))}, "shape"),
        ({"image": np.full((3, 1, 1), "x")}, "FP32 is expected"),
        ({"image": np.full((3, 1, 1), np.nan)}, "not finite"),
        ({"image": np.full((3, 1, 1), -1.0)}, "below 0"),
        ({"image": np.full((3, 1, 1), 256.0)}, "above 255"),
    ],
)
def test_arrays_that_do_not_fit_are_named(arrays, said):
    with pytest.raises(ContractError, match=said):
        IMAGE.check_inputs(arrays, "request")


def test_floats_are_not_taken_for_ids_and_rows_must_agree():
    ids = ctr_signature(2)
    with pytest.raises(ContractError, match="INT64 is expected"):
        ids.check_inputs({"INPUT_0": np.zeros((1, 2))}, "request")
    two = ModelSignature(
        "tensor", (Tensor("a", "INT64", (1,)), Tensor("b", "INT64", (1,))), ids.outputs
    )
    rows = {"a": np.zeros((2, 1), np.int64), "b": np.zeros((3, 1), np.int64)}
    with pytest.raises(ContractError, match="number of rows"):
        two.check_inputs(rows, "request")


def test_an_unknown_input_names_those_there_are():
    assert IMAGE.input("image").dims == (3, ANY, ANY)
    with pytest.raises(ContractError, match="no input 'INPUT_0'; it has image"):
        IMAGE.input("INPUT_0")
