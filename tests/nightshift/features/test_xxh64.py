"""XXH64 of many texts at once: what the `xxhash` package gives for each."""

import random

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from nightshift.features.xxh64 import LONG, digests


def of_each(texts: list[bytes], seed: int) -> list[int]:
    return [xxhash.xxh64_intdigest(text, seed) for text in texts]


@pytest.mark.parametrize("seed", [0, 10, 2**64 - 1])
def test_every_length_and_every_place_in_the_buffer(seed: int) -> None:
    pick = random.Random(seed)
    texts = [pick.randbytes(length) for length in range(LONG + 9) for _ in range(9)]
    pick.shuffle(texts)
    found = digests(pa.array(texts, pa.binary()), seed)
    assert found.dtype == np.uint64
    assert found.tolist() == of_each(texts, seed)


def test_a_slice_of_an_array() -> None:
    texts = [b"", b"a", "é".encode(), b"12345678", b"x" * 31, b"x" * 32, b"\xff" * 8, b""]
    whole = pa.array(texts, pa.binary())
    for start in range(len(texts)):
        for end in range(start, len(texts) + 1):
            given = whole.slice(start, end - start)
            assert digests(given, 10).tolist() == of_each(texts[start:end], 10)


def test_more_texts_than_take_a_step_together() -> None:
    texts = [f"user-{number}".encode() for number in range(20_001)]
    assert digests(pa.array(texts, pa.binary()), 10).tolist() == of_each(texts, 10)


def test_a_published_digest() -> None:
    """The examples of the algorithm's Python package: `xxh64("xxhash")` with seeds 0 and 20141025."""
    given = pa.array(["xxhash"], pa.string())
    assert digests(given, 0).tolist() == [0x32DD38952C4BC720]
    assert digests(given, 20141025).tolist() == [0xB559B98D844E0635]


def test_no_text() -> None:
    assert digests(pa.array([], pa.binary()), 10).tolist() == []
    assert digests(pa.array(["", ""], pa.string()), 10).tolist() == of_each([b"", b""], 10)
