"""Blocks that another thread makes."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tasks.ctr.preprocess.overlap import ahead, done


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


def test_work_that_failed_raises():
    work = [Future(), Future()]
    work[0].set_result(None)
    work[1].set_exception(ValueError("full disk"))
    with pytest.raises(ValueError, match="full disk"):
        done(work)
