"""From ids to table rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nightshift.errors import ContractError
from tasks.ctr.train.vocabulary import Vocabulary

ids_of = hnp.arrays(np.int64, st.integers(0, 30), elements=st.integers(-(2**63), 2**63 - 1))


@given(st.lists(ids_of, min_size=1, max_size=4), st.integers(1, 3))
def test_rows_are_one_to_one_with_the_ids_known(columns, min_count):
    vocabulary = Vocabulary.learn(columns, min_count)
    rows_seen = set()
    for at, column in enumerate(columns):
        rows = vocabulary.rows_of_field(at, column)
        values = column.tolist()
        for value, row in zip(values, rows.tolist(), strict=True):
            known = values.count(value) >= min_count
            assert (row != vocabulary.offsets[at]) == known
        known_rows = {r for r in rows.tolist() if r != vocabulary.offsets[at]}
        assert len(known_rows) == len({v for v in values if values.count(v) >= min_count})
        assert not known_rows & rows_seen
        rows_seen |= known_rows | {int(vocabulary.offsets[at])}
    assert all(0 <= row < vocabulary.num_rows for row in rows_seen)
    assert sum(vocabulary.table_sizes) == vocabulary.num_rows


def test_an_unseen_id_has_the_fields_first_row():
    vocabulary = Vocabulary.learn([np.array([5, -7, 5]), np.array([1, 2, 3])])
    assert vocabulary.table_sizes == [3, 4]
    unseen = np.array([[0, 0], [2**63 - 1, -(2**63)]], np.int64)
    assert vocabulary.rows(unseen).tolist() == [[0, 3], [0, 3]]
    assert vocabulary.rows(np.array([[-7, 3]])).tolist() == [[1, 6]]


def test_it_is_the_same_after_saving(tmp_path):
    vocabulary = Vocabulary.learn([np.array([3, 1]), np.array([], np.int64)])
    vocabulary.save(tmp_path / "v.npz")
    again = Vocabulary.load(tmp_path / "v.npz")
    assert [known.tolist() for known in again.hashes] == [[1, 3], []]


@pytest.mark.parametrize(
    "ids", [np.zeros((2, 3), np.int64), np.zeros((2, 1), np.int32), np.zeros(2, np.int64)]
)
def test_ids_of_another_shape_or_type_are_refused(ids):
    vocabulary = Vocabulary.learn([np.array([1])])
    with pytest.raises(ContractError, match="int64 of"):
        vocabulary.rows(ids)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "v.npz"
    for content in (b"", b"PK\x03\x04 broken", b"no zip"):
        path.write_bytes(content)
        with pytest.raises(ContractError, match=r"v\.npz"):
            Vocabulary.load(path)
    with pytest.raises(ContractError, match=r"gone\.npz"):
        Vocabulary.load(tmp_path / "gone.npz")


def test_a_vocabulary_out_of_order_is_refused():
    with pytest.raises(ContractError, match="field 1"):
        Vocabulary([np.array([1, 2]), np.array([2, 2])])


def test_all_fields_at_once_are_found_as_each_by_itself():
    rng = np.random.default_rng(8)
    hashes = [np.unique(rng.integers(-(2**63), 2**63, n)) for n in (50, 0, 1, 300)]
    vocabulary = Vocabulary(hashes)
    fields = [3, 0, 1, 2, 3]
    ids = np.stack(
        [
            np.where(rng.random(200) < 0.5, rng.choice(hashes[f], 200) if len(hashes[f]) else 7, 9)
            for f in fields
        ],
        axis=1,
    )
    ids[0] = hashes[0][5]  # known to one field, and asked of all
    expected = np.stack(
        [vocabulary.rows_of_field(f, ids[:, at]) for at, f in enumerate(fields)], axis=1
    )
    found = vocabulary.rows_of_fields(fields, ids)
    assert found.dtype == np.int32
    assert found.tolist() == expected.tolist()
    assert vocabulary.rows_of_fields(fields, ids[:0]).shape == (0, 5)


def test_ids_whose_keys_meet_are_still_told_apart():
    step = 7046029254386353131  # what a field's number adds to its ids' keys
    vocabulary = Vocabulary([np.array([5]), np.array([5 + step])])
    ids = np.array([[5, 5 + step], [5 + step, 5]])
    assert vocabulary.rows_of_fields([0, 1], ids).tolist() == [[1, 3], [0, 2]]
