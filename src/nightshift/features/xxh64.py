"""XXH64 of many short texts at once, in numpy.

The `xxhash` package takes one text a call, under the interpreter's lock: of millions of texts the
calls take longer than the hashing. Here all texts of one length take each step together. Texts of
32 bytes and more, of which the algorithm has another loop, go to `xxhash`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

LONG = 32
"""Texts of as many bytes are hashed one by one."""

_BLOCK = 1 << 13
"""Texts that take a step together: as many as the processor's nearest cache holds."""

_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)

_Words = npt.NDArray[np.uint64]


def digests(texts: pa.BinaryArray | pa.StringArray, seed: int) -> _Words:
    """`xxhash.xxh64_intdigest` of each text with a seed: uint64 [n]; no text is NULL."""
    found = np.empty(len(texts), dtype=np.uint64)
    if not len(texts):
        return found
    _, at, content = texts.buffers()
    offsets = np.frombuffer(at, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    words = _padded(content, int(offsets[0]), int(offsets[-1]))
    offsets = offsets - offsets[0]
    lengths = np.minimum(np.diff(offsets), LONG).astype(np.uint8)
    order = np.argsort(lengths, kind="stable")
    begin = 0
    for length, count in enumerate(np.bincount(lengths).tolist()):
        end = begin + count
        if count and length == LONG:
            mine = order[begin:end]
            found[mine] = _one_by_one(texts.take(pa.array(mine)), seed)
        else:
            for start in range(begin, end, _BLOCK):
                mine = order[start : min(start + _BLOCK, end)]
                found[mine] = _of_length(words, offsets[mine], length, seed)
        begin = end
    return found


def _one_by_one(texts: pa.BinaryArray | pa.StringArray, seed: int) -> _Words:
    digests = (xxhash.xxh64_intdigest(text, seed) for text in texts.to_pylist())
    return np.fromiter(digests, dtype=np.uint64, count=len(texts))


def _padded(content: pa.Buffer | None, start: int, end: int) -> _Words:
    """Some bytes of a buffer as little-endian words, with room behind the last one."""
    words = np.zeros((end - start) // 8 + 2, dtype="<u8")
    if content is not None:
        words.view(np.uint8)[: end - start] = np.frombuffer(content, dtype=np.uint8)[start:end]
    return words


def _of_length(words: _Words, starts: npt.NDArray[np.int32], length: int, seed: int) -> _Words:
    """Digests of texts of one length below `LONG`, which begin at the bytes `starts`."""
    state = np.full(len(starts), (seed + int(_P5) + length) % (1 << 64), dtype=np.uint64)
    spare = np.empty_like(state)
    at = starts >> 3
    low = ((starts & 7) << 3).astype(np.uint64)
    high = np.uint64(63) - low
    following = words[at]

    def load() -> _Words:
        """The next eight bytes of each text."""
        nonlocal at, following
        lane: _Words = following
        at += 1
        following = words[at]
        lane >>= low
        np.left_shift(following, np.uint64(1), out=spare)
        np.left_shift(spare, high, out=spare)
        lane |= spare
        return lane

    left = length
    while left >= 8:
        lane = load()
        lane *= _P2
        _rotate(lane, 31, spare)
        lane *= _P1
        state ^= lane
        _rotate(state, 27, spare)
        state *= _P1
        state += _P4
        left -= 8
    rest = load() if left else spare
    if left >= 4:
        state ^= (rest & np.uint64(0xFFFFFFFF)) * _P1
        _rotate(state, 23, spare)
        state *= _P2
        state += _P3
        rest >>= np.uint64(32)
        left -= 4
    for _ in range(left):
        state ^= (rest & np.uint64(0xFF)) * _P5
        _rotate(state, 11, spare)
        state *= _P1
        rest >>= np.uint64(8)
    for bits, prime in ((33, _P2), (29, _P3), (32, None)):
        state ^= np.right_shift(state, np.uint64(bits), out=spare)
        if prime is not None:
            state *= prime
    return state


def _rotate(words: _Words, bits: int, spare: _Words) -> None:
    np.right_shift(words, np.uint64(64 - bits), out=spare)
    words <<= np.uint64(bits)
    words |= spare
