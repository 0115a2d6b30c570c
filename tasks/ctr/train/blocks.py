"""Data larger than memory: a split's rows on the disk, read in blocks.

The encoded parquet files are turned into a network's input block by block and written to a file that
is mapped into memory, so that the kernel keeps what is in use and no more. The file has no name: it
is gone with the process, however it ends. An epoch takes blocks in random order, some at a time, and
the rows of those in random order, so that the disk is read in long runs.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nightshift.features.encoding import Ids, stored_column
from tasks.ctr.train.inputs import Inputs, Tensors
from tasks.ctr.train.vocabulary import Vocabulary

TOGETHER = 16
"""Blocks whose rows are shuffled together."""

_READ_ROWS = 65_536


def encoded(path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, dict[int, Ids]]]:
    """Encoded columns by number, some rows at a time, with the number of rows."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_READ_ROWS, columns=list(names)):
            columns = {at: stored_column(batch.column(name)) for at, name in enumerate(names)}
            yield batch.num_rows, columns


def on_disk(
    path: Path,
    names: tuple[str, ...],
    count: int,
    inputs: Inputs,
    vocabulary: Vocabulary,
    folder: Path,
) -> Tensors:
    """A split's input in nameless files of `folder`, mapped into memory.

    Args:
        path: the split's encoded rows.
        names: its columns.
        count: number of rows.
        inputs: how they become a network's input.
        vocabulary: of the model.
        folder: on a disk with room for 4 bytes an input, 8 more a number or token.
    """
    columns = len(inputs.sources)
    rows = _mapped(folder, (count, columns), np.dtype(np.int32))
    weights = _mapped(folder, (count, columns), np.dtype(np.float32)) if inputs.weighted else None
    numbers = len(inputs.numbers)
    dense = _mapped(folder, (count, numbers), np.dtype(np.float32)) if numbers else None
    at = 0
    for size, block in encoded(path, names):
        made = inputs.of_columns(block, size, vocabulary)
        rows[at : at + size] = made.rows
        if weights is not None:
            weights[at : at + size] = made.weights
        if dense is not None:
            dense[at : at + size] = made.dense
        at += size
    return Tensors(rows, weights, dense)


def _mapped(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, max(1, int(np.prod(shape)) * dtype.itemsize))
        # The map keeps the file.
        return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))


def order(
    rows: npt.NDArray[np.int64], block_rows: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The rows in random order, those of `TOGETHER` blocks at a time.

    Args:
        rows: int64 [k], rows that an epoch takes.
        block_rows: rows of a block.
        rng: draws the order.
    """
    if not len(rows):
        return rows
    turn = rng.permutation(int(rows.max()) // block_rows + 1) // TOGETHER
    shuffled = rng.permutation(rows)
    found: npt.NDArray[np.int64] = shuffled[np.argsort(turn[shuffled // block_rows], kind="stable")]
    return found


def soon(array: npt.NDArray[Any] | None, first: int, last: int) -> None:
    """Tell the kernel that these rows of a mapped array are read next."""
    if array is None or not isinstance(array.base, np.memmap):
        return
    page = mmap.PAGESIZE
    row = array.strides[0]
    begin = first * row // page * page
    mapped: Any = array.base._mmap  # type: ignore[attr-defined]
    mapped.madvise(mmap.MADV_WILLNEED, begin, min(last * row, len(mapped)) - begin)
