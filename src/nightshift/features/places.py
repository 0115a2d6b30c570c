"""Distinct texts, each with a place: the order in which they came first.

A few texts are a dict's keys. Beyond `SMALL` of them, as users and items are, each takes some 25
bytes and its text: a 64-bit hash, a slot of a table, and the text among others in one Arrow array.
"""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.features.encoding import SEED, Ids, hash_text, hash_texts
from nightshift.features.xxh64 import digests

SMALL = 1 << 14
"""Distinct texts that are held as Python objects."""

_CHUNK_BYTES = 1 << 26
_FIRST_SLOTS = 1 << 17
_SETTLED = 1 << 20

Places = npt.NDArray[np.int64]


class TextPlaces:
    """Places of texts. Not to be used by two threads at once.

    Beyond `SMALL` texts, those that share a 64-bit hash count as one: to the model they are one
    value, as the hash is their id. Among 10 million texts that happens once in 400,000 times.
    """

    def __init__(self, small: int = SMALL) -> None:
        self._most = small
        self._few: defaultdict[bytes, int] | None = defaultdict(itertools.count().__next__)
        self._hashes = np.empty(0, dtype=np.int64)
        self._count = 0
        self._slots = np.zeros(0, dtype=np.int32)
        self._texts = _Texts()

    def __len__(self) -> int:
        return self._count if self._few is None else len(self._few)

    @property
    def hashes(self) -> Ids:
        """`hash_text` of each text by place, int64 [len]."""
        if self._few is not None and len(self._hashes) < len(self._few):
            new = list(itertools.islice(self._few, len(self._hashes), None))
            self._hashes = np.concatenate([self._hashes, hash_texts(new)])
        return self._hashes[: len(self)]

    def add(self, texts: pa.BinaryArray) -> Places:
        """Places of k texts (no NULLs), int64 [k]; those that are new get the next ones."""
        if self._few is not None:
            listed = texts.to_pylist()
            found = np.fromiter(map(self._few.__getitem__, listed), np.int64, len(listed))
            if len(self._few) > self._most:
                self._grow_out()
            return found
        hashes = digests(texts, SEED).view(np.int64)
        found, ends = self._find(hashes)
        absent = np.flatnonzero(found < 0)
        if len(absent):
            new, found[absent] = _first_of_each(hashes[absent])
            found[absent] += self._count
            new = absent[new]
            self._put(hashes[new], texts.take(pa.array(new)), ends[new])
        return found

    def place_of(self, text: bytes) -> int | None:
        """The place of a text, None where it never came."""
        if self._few is not None:
            return self._few.get(text)
        found, _ = self._find(np.array([hash_text(text)], dtype=np.int64))
        return int(found[0]) if found[0] >= 0 else None

    def texts(self, places: npt.NDArray[np.int64] | None = None) -> list[bytes]:
        """The texts of k places; of all where None."""
        if self._few is None:
            return self._texts.take(np.arange(self._count) if places is None else places)
        every = list(self._few)
        return every if places is None else [every[at] for at in places.tolist()]

    def least(self, places: npt.NDArray[np.int64], most: int) -> list[int]:
        """Of some places, ascending, those of the `most` first texts in the order of bytes."""
        if self._few is None:
            return self._texts.least(places, most) if most else []
        every = list(self._few)
        return sorted(places.tolist(), key=every.__getitem__)[:most]

    def _grow_out(self) -> None:
        hashes, texts = self.hashes, pa.array(self.texts(), pa.binary())
        self._few = None
        self._hashes = np.empty(0, dtype=np.int64)
        # Two texts of one hash keep their places; the first one is found.
        self._put(hashes, texts, hashes)

    def _put(self, hashes: Ids, texts: pa.BinaryArray, ends: Places) -> None:
        """Append k new texts, whose search ended at the slots `ends`."""
        before, self._count = self._count, self._count + len(hashes)
        if self._count > len(self._hashes):
            grown = np.empty(max(self._count, len(self._hashes) * 3 // 2), dtype=np.int64)
            grown[:before] = self._hashes[:before]
            self._hashes = grown
        self._hashes[before : self._count] = hashes
        self._texts.append(texts)
        if 2 * self._count <= len(self._slots):
            self._settle(np.arange(before, self._count, dtype=np.int32), ends)
            return
        self._slots = np.zeros(max(_FIRST_SLOTS, 2 << self._count.bit_length()), dtype=np.int32)
        for start in range(0, self._count, _SETTLED):
            places = np.arange(start, min(start + _SETTLED, self._count), dtype=np.int32)
            self._settle(places, self._hashes[places] & (len(self._slots) - 1))

    def _settle(self, places: npt.NDArray[np.int32], at: Places) -> None:
        """Give each place the first free slot from its own in `at`."""
        slots, mask = self._slots, len(self._slots) - 1
        while len(places):
            free = slots[at] == 0
            slots[at[free]] = places[free] + 1  # of several that want one slot, the last gets it
            waits = slots[at] != places + 1
            places, at = places[waits], (at[waits] + 1) & mask

    def _find(self, hashes: Ids) -> tuple[Places, Places]:
        """Places of k hashes, -1 where one is not there, and the slots where the search ended."""
        slots, mask = self._slots, len(self._slots) - 1
        found = np.full(len(hashes), -1, dtype=np.int64)
        ends = hashes & mask
        at, asked = ends, np.arange(len(hashes))
        while len(asked):
            there = slots[at].astype(np.int64) - 1
            is_taken = there >= 0
            same = is_taken & (self._hashes[there] == hashes[asked])
            found[asked[same]] = there[same]
            goes_on = is_taken & ~same
            asked, at = asked[goes_on], (at[goes_on] + 1) & mask
            ends[asked] = at
        return found, ends


def _first_of_each(hashes: Ids) -> tuple[Places, Places]:
    """Where each distinct hash comes first, ascending, and which of these each of k hashes is."""
    in_order = np.sort(hashes)
    if (in_order[1:] != in_order[:-1]).all():
        every = np.arange(len(hashes))
        return every, every
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[which]


class _Texts:
    """Texts by place in Arrow arrays of some 64 MB."""

    def __init__(self) -> None:
        self._chunks: list[pa.Array] = []
        self._starts: list[int] = []
        self._count = 0
        self._newest: list[pa.Array] = []
        self._newest_bytes = 0

    def append(self, texts: pa.BinaryArray) -> None:
        self._newest.append(texts)
        self._newest_bytes += texts.nbytes
        if self._newest_bytes >= _CHUNK_BYTES:
            self._close()

    def _close(self) -> None:
        if self._newest:
            chunk = pa.concat_arrays(self._newest)
            self._newest, self._newest_bytes = [], 0
            self._chunks.append(chunk)
            self._starts.append(self._count)
            self._count += len(chunk)

    def take(self, places: npt.NDArray[np.int64]) -> list[bytes]:
        self._close()
        found: list[bytes] = [b""] * len(places)
        for chunk, at, mine in self._by_chunk(places):
            taken = chunk.take(pa.array(mine)).to_pylist()
            for one, text in zip(at.tolist(), taken, strict=True):
                found[one] = text
        return found

    def least(self, places: npt.NDArray[np.int64], most: int) -> list[int]:
        self._close()
        best: list[tuple[bytes, int]] = []
        for chunk, at, mine in self._by_chunk(places):
            texts = pa.table({"text": chunk.take(pa.array(mine))})
            first = pc.select_k_unstable(texts, min(most, len(mine)), [("text", "ascending")])
            named = zip(
                texts["text"].take(first).to_pylist(),
                places[at[first.to_numpy()]].tolist(),
                strict=True,
            )
            best = sorted([*best, *named])[:most]
        return [place for _, place in best]

    def _by_chunk(
        self, places: npt.NDArray[np.int64]
    ) -> list[tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Each chunk with which of the places lie in it, and where there."""
        owner = np.searchsorted(self._starts, places, side="right") - 1
        found = []
        for number, chunk in enumerate(self._chunks):
            at = np.flatnonzero(owner == number)
            if len(at):
                found.append((chunk, at, places[at] - self._starts[number]))
        return found
