"""Rows of codes: taken, put together, and kept in a file."""

import numpy as np
import pyarrow as pa

from tasks.ctr.preprocess import rows as module
from tasks.ctr.preprocess.rows import UNLABELLED, Rows, Saved, joined


def rows(keys, kind=np.uint8):
    count = len(keys)
    return Rows(
        pa.array(keys, pa.string()),
        np.arange(count) * 10,
        np.array([1, 0, UNLABELLED] * count, np.int8)[:count],
        [np.arange(count).astype(kind), np.linspace(0, 1, count, dtype=np.float32)],
    )


def values(given):
    columns = [given.keys.to_pylist(), given.times, given.labels, *given.codes]
    return list(zip(*(list(column) for column in columns), strict=True))


def test_rows_are_taken_by_number_and_by_mark():
    given = rows(["a", None, "c", "d"])
    whole = values(given)
    assert values(given.take(np.array([3, 1]))) == [whole[3], whole[1]]
    assert values(given.slice(1, 3)) == whole[1:3]
    for marks in ([0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]):
        expected = [row for row, mark in zip(whole, marks, strict=True) if mark]
        assert values(given.where(np.array(marks, bool))) == expected


def test_of_codes_of_several_widths_the_widest_is_taken():
    small, large = rows(["a"]), rows(["b", "c"], np.uint32)
    both = joined([small, large])
    assert values(both) == values(small) + values(large)
    assert [codes.dtype for codes in both.codes] == [np.uint32, np.float32]


def test_a_file_gives_the_rows_back_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART_ROWS", 2)
    given = rows(["a", None, "", "d", "e"])
    given.save(str(tmp_path / "rows"))
    saved = Saved(str(tmp_path / "rows"))
    parts = [saved.part(number) for number in range(len(saved))]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert values(joined(parts)) == values(given)
