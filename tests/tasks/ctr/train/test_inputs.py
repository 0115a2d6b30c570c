"""From an encoded row to a network's input: ids, numbers, bins, tokens."""

import numpy as np
import pytest

from nightshift.errors import ContractError
from nightshift.features.encoding import MISSING_BITS, PAD_ID, encode_rows, hash_text
from nightshift.features.numbers import NumberStatistics
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.inputs import Inputs
from tasks.ctr.train.vocabulary import Vocabulary

SPEC = FeatureSpec.parse(
    {
        "version": 1,
        "label": "y",
        "time": "at",
        "test_days": 1,
        "valid_days": 1,
        "keys": ["at"],
        "categorical": {
            "item": "string",
            "tags": {"type": "string", "split": ",", "most": 3, "shares": "item"},
        },
        "numeric": {"price": "double", "age": {"type": "int64", "bins": 2}},
    },
    source="spec.yaml",
)
STATISTICS = {
    "price": NumberStatistics("standard", shift=10.0, scale=2.0),
    "age": NumberStatistics("none", edges=(30.0,)),
}
HASHES = {name: hash_text(name.encode()) for name in ("a", "b", "c")}


@pytest.fixture
def inputs():
    return Inputs(SPEC.fields, STATISTICS)


@pytest.fixture
def vocabulary():
    known = np.sort(np.array([HASHES["a"], HASHES["b"]]))
    one = np.array([1], np.int64)
    return Vocabulary([known, one, one, np.array([1, 2], np.int64)])


def encoded(*rows):
    return encode_rows(SPEC, ["item", "tags", "price", "age"], rows)


def test_each_field_becomes_weighted_rows(inputs, vocabulary):
    assert inputs.part_names == ("item", "price", "age", "age/bin")
    assert [(g.name, g.first, g.width) for g in inputs.groups] == [
        *(("item", 0, 1), ("tags", 1, 3), ("price", 4, 1), ("age", 5, 1), ("age/bin", 6, 1))
    ]
    x = inputs.tensors(encoded(["a", " b ,a", 14.0, 40], ["?", None, None, None]), vocabulary)
    row = {name: int(vocabulary.rows_of_field(0, np.array([h]))[0]) for name, h in HASHES.items()}
    assert {row["a"], row["b"], row["c"]} == {1, 2, 0}
    price, age, bins = vocabulary.offsets[1:].tolist()
    assert x.rows[0].tolist() == [row["a"], row["b"], row["a"], 0, price + 1, age + 1, bins + 2]
    np.testing.assert_allclose(x.weights[0], [1, 0.5, 0.5, 0, 2.0, 40.0, 1])
    assert x.dense[0].tolist() == [2.0, 40.0]
    # Nothing known: the field's first row, weight 1; no token at all weighs nothing.
    assert x.rows[1].tolist() == [0, 0, 0, 0, price, age, bins]
    assert x.weights[1].tolist() == [1, 0, 0, 0, 1, 1, 1]
    assert x.dense[1].tolist() == [0.0, 0.0]


def test_a_row_does_not_depend_on_its_batch(inputs, vocabulary):
    rng = np.random.default_rng(0)
    rows = [
        [str(rng.choice(list("abz"))), "a,b,c", float(rng.normal()), int(rng.integers(0, 90))]
        for _ in range(50)
    ]
    whole = inputs.tensors(encoded(*rows), vocabulary)
    for at, row in enumerate(rows):
        alone = inputs.tensors(encoded(row), vocabulary)
        for name in ("rows", "weights", "dense"):
            one, other = getattr(alone, name), getattr(whole, name)[at : at + 1]
            assert one.tobytes() == other.tobytes()


def test_only_ids_and_tokens_may_be_unknown(inputs):
    assert inputs.may_be_unknown().tolist() == [True] * 4 + [False] * 3


def test_a_model_of_ids_has_neither_weights_nor_dense_numbers():
    fields = tuple(field for field in SPEC.fields if field.name == "item")
    x = Inputs(fields, {}).tensors(np.array([[HASHES["a"]]]), Vocabulary([np.array([HASHES["a"]])]))
    assert (x.rows.tolist(), x.weights, x.dense) == ([[1]], None, None)


def test_another_number_of_columns_is_refused(inputs, vocabulary):
    with pytest.raises(ContractError, match=r"wants int64 of \[rows, 6\]"):
        inputs.tensors(np.zeros((1, 5), np.int64), vocabulary)


def test_what_the_encoder_gives_for_a_missing_value():
    assert encoded([None, "", None, None])[0, 1:].tolist() == [*[PAD_ID] * 3, *[MISSING_BITS] * 2]
