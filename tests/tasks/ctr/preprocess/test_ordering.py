"""Sorting: any order in, one order out, within memory or beyond it."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.ctr.preprocess.ordering import Blocks, RowSorter
from tasks.ctr.preprocess.rows import Rows, joined

IDS = np.array([70, -3, 12])
"""Ids by place: rows of one time and key are in the order of the ids, not of the places."""


def drawn(seed: int, count: int) -> list[tuple[str | None, int, int, int, float]]:
    pick = random.Random(seed)
    return [
        (
            pick.choice([None, "", "é", "z", "Z", f"k{pick.randrange(count)}"]),
            pick.choice([pick.randrange(-5, 50), pick.randrange(10**12)]),
            pick.randrange(-1, 2),
            pick.randrange(3),
            pick.choice([0.5, -1.0]),
        )
        for _ in range(count)
    ]


def rows(part: list[tuple[str | None, int, int, int, float]]) -> Rows:
    keys, times, labels, places, numbers = zip(*part, strict=True) if part else [()] * 5
    return Rows(
        pa.array(keys, pa.string()),
        np.array(times, np.int64),
        np.array(labels, np.int8),
        [np.array(places, np.uint8), np.array(numbers, np.float32)],
    )


def stored(given: Rows) -> list[pa.Array]:
    places, numbers = given.codes
    return [pa.array(given.labels), pa.array(IDS[places]), pa.array(numbers)]


def expected(given: list[tuple[str | None, int, int, int, float]]):
    """By time, then by the bytes of the key with NULL last, then by label, id and number."""
    return sorted(
        given,
        key=lambda r: (r[1], r[0] is None, (r[0] or "").encode(), r[2], IDS[r[3]], r[4]),
    )


@pytest.mark.parametrize("run_bytes", [1, 3_000, 40_000, 1 << 28])
@pytest.mark.parametrize("piece_rows", [300, 5_000])
def test_every_order_of_the_same_rows_gives_the_same(
    tmp_path: Path, run_bytes: int, piece_rows: int
) -> None:
    given = drawn(run_bytes, 3_000)
    for number in range(2):
        random.Random(number).shuffle(given)
        folder = tmp_path / str(number)
        folder.mkdir()
        sorter = RowSorter(folder, stored, run_bytes=run_bytes, piece_rows=piece_rows)
        for start in range(0, len(given), 70):
            sorter.add(rows(given[start : start + 70]))
        pieces = list(sorter.sorted())
        assert sorter.rows == len(given)
        if piece_rows < len(given):  # half of the rows are of 55 times
            assert 1 < max(map(len, pieces)) < 3 * piece_rows
        found = joined(pieces)
        columns = [found.keys.to_pylist(), found.times.tolist(), found.labels.tolist()]
        columns += [codes.tolist() for codes in found.codes]
        assert list(zip(*columns, strict=True)) == expected(given)


def test_no_rows(tmp_path: Path) -> None:
    sorter = RowSorter(tmp_path, stored)
    sorter.add(rows([]))
    assert list(sorter.sorted()) == []


def test_rows_of_one_time_are_sorted_too(tmp_path: Path) -> None:
    given = [(f"k{number % 7}", 5, 0, number % 3, 0.5) for number in range(100)]
    sorter = RowSorter(tmp_path, stored, piece_rows=10)
    sorter.add(rows(given))
    (piece,) = sorter.sorted()
    order = [
        (key, int(IDS[place]))
        for key, place in zip(piece.keys.to_pylist(), piece.codes[0], strict=True)
    ]
    assert order == sorted((key, int(IDS[place])) for key, _, _, place, _ in given)


def test_blocks_are_of_one_size() -> None:
    tables = [
        pa.table({"x": pa.array(range(n), pa.int64()), "y": pa.array(["a"] * n, pa.string())})
        for n in (3, 1, 0, 9, 2)
    ]
    blocks = Blocks(4, ["x"])
    found = [block for table in tables for block in blocks.add(table)] + list(blocks.rest())
    assert [block.num_rows for block in found] == [4, 4, 4, 3]
    assert pa.concat_tables(found)["x"].to_pylist() == [0, 1, 2, 0, *range(9), 0, 1]
    assert all(block["x"].num_chunks == 1 for block in found)
    assert found[0]["y"].num_chunks == 2
