"""Sorting: any order in, one order out, within memory or beyond it."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.ctr.preprocess.ordering import RowSorter, in_blocks

SCHEMA = pa.schema([("id", pa.string()), ("at", pa.timestamp("ms")), ("x", pa.int64())])


def rows(seed: int, count: int) -> list[tuple[str | None, int, int]]:
    pick = random.Random(seed)
    return [
        (
            pick.choice([None, "", "é", "z", "Z", f"k{pick.randrange(count)}"]),
            pick.choice([pick.randrange(-5, 50), pick.randrange(10**12)]),
            pick.randrange(3),
        )
        for _ in range(count)
    ]


def batch(part: list[tuple[str | None, int, int]]) -> pa.RecordBatch:
    columns = list(zip(*part, strict=True)) if part else [(), (), ()]
    return pa.RecordBatch.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def expected(given: list[tuple[str | None, int, int]]) -> list[tuple[str | None, int, int]]:
    """By time, then by the bytes of the id with NULL last, then by x."""
    return sorted(given, key=lambda r: (r[1], r[0] is None, (r[0] or "").encode(), r[2]))


@pytest.mark.parametrize("run_rows", [1, 100, 1_000, 10_000])
def test_every_order_of_the_same_rows_gives_the_same(tmp_path: Path, run_rows: int) -> None:
    given = rows(run_rows, 3_000)
    for number, seed in enumerate((1, 2)):
        random.Random(seed).shuffle(given)
        folder = tmp_path / str(number)
        folder.mkdir()
        sorter = RowSorter(SCHEMA, ("at", "id"), folder, run_rows=max(run_rows, 50))
        for start in range(0, len(given), 70):
            sorter.add(batch(given[start : start + 70]))
        tables = list(sorter.sorted())
        assert sorter.rows == len(given)
        assert max(table.num_rows for table in tables) <= 2 * max(run_rows, 50) + 200
        found = pa.concat_tables(tables)
        values = zip(
            found["id"].to_pylist(),
            found["at"].cast(pa.int64()).to_pylist(),
            found["x"].to_pylist(),
            strict=True,
        )
        assert list(values) == expected(given)


def test_no_rows(tmp_path: Path) -> None:
    sorter = RowSorter(SCHEMA, ("at", "id"), tmp_path)
    sorter.add(batch([]))
    assert list(sorter.sorted()) == []


def test_blocks_are_of_one_size() -> None:
    tables = iter([pa.table({"x": pa.array(range(n), pa.int64())}) for n in (3, 1, 0, 9, 2)])
    blocks = list(in_blocks(tables, 4))
    assert [block.num_rows for block in blocks] == [4, 4, 4, 3]
    assert pa.concat_tables(blocks)["x"].to_pylist() == [0, 1, 2, 0, *range(9), 0, 1]
