"""Blocks that another thread makes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.ctr.preprocess.overlap import ahead, in_turn


def test_the_next_block_is_made_while_the_caller_works_on_one():
    made = [threading.Event() for _ in range(3)]

    def blocks():
        for number, event in enumerate(made):
            event.set()
            yield number

    with ThreadPoolExecutor(1) as pool:
        stream = ahead(blocks(), pool)
        assert next(stream) == 0
        assert made[1].wait(10)
        assert not made[2].is_set()
        assert list(stream) == [1, 2]


def test_an_error_comes_where_its_block_would():
    def blocks():
        yield "one"
        raise ValueError("no second")

    with ThreadPoolExecutor(1) as pool:
        stream = ahead(blocks(), pool)
        assert next(stream) == "one"
        with pytest.raises(ValueError, match="no second"):
            next(stream)


def test_units_come_one_after_the_other_and_the_next_ones_are_begun():
    begun = [threading.Event() for _ in range(4)]

    def unit(number):
        begun[number].set()
        yield from ((number, block) for block in range(number))

    with ThreadPoolExecutor(3) as pool:
        stream = in_turn(map(unit, range(4)), pool, 3)
        assert next(stream) == (1, 0)
        assert all(event.wait(10) for event in begun)  # the first one is empty, and over
        assert list(stream) == [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]


def test_an_error_of_a_later_unit_waits_for_the_blocks_before_it():
    def unit(number):
        if number:
            raise ValueError("damaged")
        yield from "ab"

    with ThreadPoolExecutor(2) as pool:
        stream = in_turn(map(unit, range(2)), pool, 2)
        assert [next(stream), next(stream)] == ["a", "b"]
        with pytest.raises(ValueError, match="damaged"):
            next(stream)
