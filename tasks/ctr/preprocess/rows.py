"""Rows between reading and writing: key, time, label, and a small code for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.features.values import Codes

UNLABELLED = -1
"""Label of a row that has none."""

_PART_ROWS = 1 << 14
"""Rows that are read at a time of those on the disk."""


@dataclass(frozen=True)
class Rows:
    """n rows.

    Attributes:
        keys: text array [n] (no chunks).
        times: milliseconds since 1970, int64 [n].
        labels: int8 [n]: 0, 1 or `UNLABELLED`.
        codes: by feature, what `FieldValues.take` gave: [n].
    """

    keys: pa.StringArray
    times: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]
    codes: list[Codes]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that they take."""
        own = int(self.keys.nbytes) + self.times.nbytes + self.labels.nbytes
        return own + sum(codes.nbytes for codes in self.codes)

    def take(self, order: npt.NDArray[np.int64]) -> Rows:
        """The rows of these numbers, in their order."""
        at = pa.array(order)

        def taken(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.asarray(pc.take(pa.array(column), at, boundscheck=False).to_numpy())

        return Rows(
            pc.take(self.keys, at, boundscheck=False),
            taken(self.times),
            taken(self.labels),
            [taken(codes) for codes in self.codes],
        )

    def slice(self, start: int, stop: int) -> Rows:
        """Rows from `start` to before `stop`; nothing is copied."""
        return Rows(
            self.keys.slice(start, stop - start),
            self.times[start:stop],
            self.labels[start:stop],
            [codes[start:stop] for codes in self.codes],
        )

    def where(self, which: npt.NDArray[np.bool_]) -> Rows:
        """The rows that are marked: bool [n]. Nothing is copied if they follow each other."""
        at = np.flatnonzero(which)
        if not len(at):
            return self.slice(0, 0)
        start, stop = int(at[0]), int(at[-1]) + 1
        return self.slice(start, stop) if stop - start == len(at) else self.take(at)

    def save(self, path: str) -> None:
        """Write them to an Arrow file, to be read by `saved`."""
        batch = pa.RecordBatch.from_arrays(
            [self.keys, *map(pa.array, (self.times, self.labels, *self.codes))],
            names=["key", "time", "label", *map(str, range(len(self.codes)))],
        )
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_table(pa.Table.from_batches([batch]), max_chunksize=_PART_ROWS)


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of one part and then of the next; there is one part at least."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        pa.concat_arrays([part.keys for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.labels for part in parts]),
        # Codes of few values take fewer bytes than those of many: the widest is taken.
        [np.concatenate(codes) for codes in zip(*(part.codes for part in parts), strict=True)],
    )


class Saved:
    """Rows of an Arrow file that `Rows.save` wrote, a part at a time."""

    def __init__(self, path: str) -> None:
        self._file = pa.ipc.open_file(pa.OSFile(path))

    def __len__(self) -> int:
        return int(self._file.num_record_batches)

    def part(self, number: int) -> Rows:
        """Some rows; parts are numbered from 0."""
        key, *rest = self._file.get_batch(number).columns
        times, labels, *codes = (column.to_numpy() for column in rest)
        return Rows(key, times, labels, codes)
