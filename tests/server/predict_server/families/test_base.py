"""What all families share: JSON of any values, and the times of work."""

import asyncio
import json

import pytest
from predict_server.families.base import encode_json, overloaded, problem_of, timed

from nightshift.errors import ConfigurationError


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"score": 0.25, "name": "北京"}, {"score": 0.25, "name": "北京"}),
        ([float("nan"), float("inf"), -float("inf")], [None, None, None]),
        (2**53 + 1, 2**53 + 1),
        # Half of a surrogate pair cannot be UTF-8.
        ("a\ud800", "a\ud800"),
    ],
)
def test_an_answer_is_always_json_that_others_read(value, read):
    assert json.loads(encode_json(value)) == read


def test_seconds_are_noted_of_work_that_ended_well():
    seen = []
    with timed(seen.append):
        pass
    assert len(seen) == 1
    assert seen[0] >= 0
    with pytest.raises(KeyError), timed(seen.append):
        raise KeyError("x")
    assert len(seen) == 1


def test_a_full_queue_asks_for_another_try():
    error = overloaded(4001)
    assert error.status == 429
    assert "4001" in str(error)


def test_a_part_that_answers_has_no_problem():
    async def answers():
        return 1

    async def refuses():
        raise ConfigurationError("no such model")

    async def breaks():
        raise ZeroDivisionError

    assert asyncio.run(problem_of(answers())) is None
    assert asyncio.run(problem_of(refuses())) == "no such model"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(problem_of(breaks()))
