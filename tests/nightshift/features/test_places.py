"""Places of texts: few of them, and many."""

import random

import numpy as np
import pyarrow as pa
import pytest

from nightshift.features import places
from nightshift.features.encoding import hash_text
from nightshift.features.places import TextPlaces


def array(texts):
    return pa.array(texts, pa.binary())


@pytest.mark.parametrize("small", [0, 40, 100_000])
def test_a_text_has_the_place_at_which_it_came_first(small, monkeypatch):
    monkeypatch.setattr(places, "_FIRST_SLOTS", 4)  # the table has to grow
    monkeypatch.setattr(places, "_CHUNK_BYTES", 500)
    monkeypatch.setattr(places, "_SETTLED", 7)
    pick = random.Random(small)
    found, known = TextPlaces(small), {}
    for _ in range(30):
        texts = [pick.choice([b"", b"\xff", b"%d" % pick.randrange(900)]) for _ in range(100)]
        expected = [known.setdefault(text, len(known)) for text in texts]
        assert found.add(array(texts)).tolist() == expected
        assert len(found) == len(known)
    every = list(known)
    assert found.texts() == every
    assert found.hashes.tolist() == [hash_text(text) for text in every]
    some = [5, 0, 70, 5]
    assert found.texts(np.array(some)) == [every[at] for at in some]
    assert found.place_of(b"no such text") is None
    assert {text: found.place_of(text) for text in every} == known
    odd = np.arange(1, len(every), 2)
    assert found.least(odd, 7) == sorted(odd.tolist(), key=every.__getitem__)[:7]
    assert found.least(odd, 0) == []


def test_beyond_a_few_texts_those_of_one_hash_are_one_value(monkeypatch):
    monkeypatch.setattr(places, "hash_texts", lambda texts: np.array([len(text) for text in texts]))
    monkeypatch.setattr(
        places, "digests", lambda texts, _: np.array([len(t) for t in texts.to_pylist()], np.uint64)
    )
    found = TextPlaces(small=0)
    found.add(array([b"a"]))
    assert found.add(array([b"bb", b"ccc", b"dd", b"e"])).tolist() == [1, 2, 1, 0]
    assert found.texts() == [b"a", b"bb", b"ccc"]
