"""Golden examples: written whole, checked as they are read, compared by each output's tolerance."""

import json

import numpy as np
import pytest

from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature, Tensor, ctr_signature
from nightshift.errors import ContractError

SIGNATURE = ctr_signature(2)


def golden():
    return Golden(
        {"INPUT_0": np.array([[1, 2], [3, 4]])}, {"OUTPUT_0": np.array([[0.25], [0.5]], np.float32)}
    )


def test_what_is_saved_is_loaded_and_the_bytes_are_those_of_the_arrays(tmp_path):
    golden().save(tmp_path)
    first = (tmp_path / "golden.npz").read_bytes()
    found = Golden.load(tmp_path, SIGNATURE)
    assert found.rows == 2
    assert found.inputs["INPUT_0"].tolist() == [[1, 2], [3, 4]]
    assert found.outputs["OUTPUT_0"].tolist() == [[0.25], [0.5]]
    golden().save(tmp_path)
    assert (tmp_path / "golden.npz").read_bytes() == first


def test_the_examples_of_earlier_models_are_read(tmp_path):
    (tmp_path / "golden.json").write_text(
        json.dumps({"ids": [[1, 2], [3, 4]], "scores": [0.25, 0.5], "tolerance": 1e-5})
    )
    found = Golden.load(tmp_path, SIGNATURE)
    assert found.outputs["OUTPUT_0"].shape == (2, 1)
    (tmp_path / "golden.json").write_text(json.dumps({"ids": [[1, 2]], "scores": [0.25, 0.5]}))
    with pytest.raises(ContractError, match="ids and scores are needed"):
        Golden.load(tmp_path, SIGNATURE)


def test_a_damaged_file_or_one_of_another_model_is_refused(tmp_path):
    golden().save(tmp_path)
    with pytest.raises(ContractError, match="INPUT_0 has the shape"):
        Golden.load(tmp_path, ctr_signature(3))
    (tmp_path / "golden.npz").write_bytes(b"PK no arrays")
    with pytest.raises(ContractError, match="does not hold arrays"):
        Golden.load(tmp_path, SIGNATURE)
    empty = Golden({"INPUT_0": np.empty((0, 2), int)}, {"OUTPUT_0": np.empty((0, 1), np.float32)})
    empty.save(tmp_path)
    with pytest.raises(ContractError, match="no examples"):
        Golden.load(tmp_path, SIGNATURE)


def test_a_difference_is_measured_and_one_beyond_the_tolerance_names_its_example():
    near = {"OUTPUT_0": np.array([[0.25], [0.500004]], np.float32)}
    assert golden().largest_difference(near, SIGNATURE, "m/1") == pytest.approx(4e-6, rel=0.02)
    far = {"OUTPUT_0": np.array([[0.25], [0.6]], np.float32)}
    with pytest.raises(ContractError, match=r"m/1: OUTPUT_0 of golden example 1 is 0\.6"):
        golden().largest_difference(far, SIGNATURE, "m/1")
    with pytest.raises(ContractError, match="in training"):
        golden().largest_difference({"OUTPUT_0": far["OUTPUT_0"][:1]}, SIGNATURE, "m/1")


def test_each_output_has_its_own_tolerance():
    two = ModelSignature(
        "tensor",
        (Tensor("x", "FP32", (1,)),),
        (Tensor("rough", "FP32", (1,), tolerance=0.5), Tensor("exact", "FP32", (1,), tolerance=0)),
    )
    one = np.ones((1, 1), np.float32)
    examples = Golden({"x": one}, {"rough": one, "exact": one})
    assert examples.largest_difference({"rough": one * 1.4, "exact": one}, two, "m") < 0.5
    with pytest.raises(ContractError, match="exact of golden example 0"):
        examples.largest_difference({"rough": one, "exact": one * 1.1}, two, "m")
