"""Rows on the disk: the same input as in memory, in an order that is random and reads in runs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.features.encoding import encode_table, stored_columns, stored_types
from nightshift.features.numbers import NumberStatistics
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import blocks, room
from tasks.ctr.train.dataset import Batches, Split
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
        "categorical": {"item": "string", "tags": {"type": "string", "split": ",", "most": 2}},
        "numeric": {"price": "double"},
    },
    source="spec.yaml",
)
ROWS = 1000


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """The encoded rows on the disk and in memory, with what makes a network's input of them."""
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "item": [f"i{at}" for at in rng.integers(0, 30, ROWS)],
            "tags": [f"a{at},b{at % 3}" for at in rng.integers(0, 9, ROWS)],
            "price": pa.array(rng.normal(size=ROWS), mask=rng.random(ROWS) < 0.1),
        }
    )
    encoded = encode_table(SPEC, table)
    arrays = stored_columns(SPEC, np.split(encoded, [1, 3], axis=1))
    path = tmp_path_factory.mktemp("blocks") / "part-0.parquet"
    stored = pa.table(arrays, names=[name for name, _ in stored_types(SPEC)])
    pq.write_table(stored, path, row_group_size=128)
    inputs = Inputs(SPEC.fields, {"price": NumberStatistics("standard", shift=0.5, scale=2.0)})
    known = [np.unique(encoded[:, at]) for at in (0, 1)]
    vocabulary = Vocabulary([*known, np.array([1], np.int64)])
    return path, encoded, inputs, vocabulary


def test_the_input_is_the_same_as_in_memory(split, tmp_path, monkeypatch):
    path, encoded, inputs, vocabulary = split
    monkeypatch.setattr(blocks, "_READ_ROWS", 300)
    found = blocks.on_disk(path, SPEC.columns, ROWS, inputs, vocabulary, tmp_path / "scratch")
    expected = inputs.tensors(encoded, vocabulary)
    for name in ("rows", "weights", "dense"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
    # Nothing is left to clean up, whatever ends the process.
    assert list((tmp_path / "scratch").iterdir()) == []
    for first, last in ((0, 10), (990, ROWS)):
        blocks.soon(found.rows, first, last)


def test_an_epoch_takes_each_row_once_and_some_blocks_at_a_time():
    rows = np.arange(10_007)
    found = blocks.order(rows, 100, np.random.default_rng(2))
    assert np.array_equal(np.sort(found), rows)
    # Until all of the first sixteen blocks are used, no other one is looked at.
    for at in range(0, 10_000, 1600):
        assert len(np.unique(found[at : at + 1600] // 100)) <= 2 * blocks.TOGETHER
    assert len(np.unique(found[:1500] // 100)) == blocks.TOGETHER
    # Within them, rows are in no order.
    assert abs(np.corrcoef(np.arange(1500), found[:1500])[0, 1]) < 0.9
    assert np.mean(np.abs(np.diff(found[:1500] // 100)) == 0) < 0.3


def test_batches_of_an_epoch_are_drawn_from_blocks_and_taken_up_at_any_step(split):
    _, encoded, inputs, vocabulary = split
    data = Split(inputs.tensors(encoded, vocabulary), np.zeros(ROWS, np.int8))
    every = np.ones(len(inputs.sources), bool)
    offsets = np.zeros(len(inputs.sources), np.int64)
    made = Batches(data, offsets, every, 64, 5, 0.0, 0, (), block_rows=10)
    whole = [batch.tensors.dense.tobytes() for batch in made.epoch(1)]
    assert [batch.tensors.dense.tobytes() for batch in made.epoch(1, 7)] == whole[7:]
    assert [batch.tensors.dense.tobytes() for batch in made.epoch(2)] != whole
    assert sum(batch.count for batch in made.epoch(1)) == ROWS


def test_what_does_not_fit_goes_in_blocks():
    card = {"splits": {"train": {"rows": 1_000_000}, "valid": {"rows": 0}, "test": {"rows": 0}}}
    # Four columns, one of them a number with bins: at most 44 bytes a row.
    assert room.block_rows(card, SPEC, 10**9)[0] == 0
    found, why = room.block_rows(card, SPEC, 50_000_000)
    assert found == room.BLOCK_ROWS and "1000000 rows" in why
    assert room.free_memory() > 10**8
