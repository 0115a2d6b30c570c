"""Joint calls: who waits, who is joined, and whose error is whose."""

import asyncio
import time

import pytest
from predict_server.batching import Batcher

from nightshift.errors import ContractError, DeadlineExceeded, ServiceUnavailable


class Calls:
    """Answers rows by themselves, notes each call, and waits when told to."""

    def __init__(self):
        self.seen = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None

    async def run(self, rows, timeout_s):
        self.seen.append(list(rows))
        await asyncio.wait_for(self.gate.wait(), timeout_s)
        if self.error is not None:
            error = self.error(rows)
            if error is not None:
                raise error
        return [row * 10 for row in rows]


def batcher(calls, **options):
    made = {"max_rows": 8, "concurrency": 1, **options}
    return Batcher(calls.run, lambda answer, start, stop: answer[start:stop], **made)


def soon():
    return time.monotonic() + 5


async def test_a_request_alone_is_sent_at_once():
    calls = Calls()
    assert await batcher(calls).submit([1, 2], soon()) == [10, 20]
    assert calls.seen == [[1, 2]]


async def test_requests_of_one_moment_share_a_call_and_get_their_own_rows():
    calls = Calls()
    made = batcher(calls)
    answers = await asyncio.gather(*(made.submit([n, n + 1], soon()) for n in (1, 5, 7)))
    assert answers == [[10, 20], [50, 60], [70, 80]]
    assert calls.seen == [[1, 2, 5, 6, 7, 8]]


async def test_what_arrives_during_a_call_forms_the_next_up_to_the_limit():
    calls = Calls()
    made = batcher(calls)
    calls.gate.clear()
    first = asyncio.create_task(made.submit([0], soon()))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(made.submit([n, n], soon())) for n in range(1, 7)]
    await asyncio.sleep(0.01)
    assert (calls.seen, made.waiting_rows) == ([[0]], 12)
    calls.gate.set()
    await asyncio.gather(first, *others)
    assert calls.seen[1:] == [[1, 1, 2, 2, 3, 3, 4, 4], [5, 5, 6, 6]]
    assert made.waiting_rows == 0


async def test_a_request_larger_than_a_call_is_asked_whole():
    calls = Calls()
    assert len(await batcher(calls, max_rows=2).submit(list(range(5)), soon())) == 5
    assert len(calls.seen) == 1


async def test_one_request_s_fault_is_not_the_others():
    calls = Calls()
    calls.error = lambda rows: ContractError("13") if 13 in rows else None
    made = batcher(calls)
    asked = (made.submit([n], soon()) for n in (1, 13, 2))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[0] == [10]
    assert isinstance(answers[1], ContractError)
    assert answers[2] == [20]


async def test_a_part_that_is_away_is_not_asked_again_for_each():
    calls = Calls()
    calls.error = lambda rows: ServiceUnavailable("away")
    made = batcher(calls)
    answers = await asyncio.gather(
        *(made.submit([n], soon()) for n in range(5)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {ServiceUnavailable}
    assert len(calls.seen) == 1


async def test_a_deadline_ends_the_wait_and_frees_the_rows():
    calls = Calls()
    calls.gate.clear()
    made = batcher(calls)
    hung = asyncio.create_task(made.submit([1], soon()))
    await asyncio.sleep(0.01)
    with pytest.raises(DeadlineExceeded):
        await made.submit([2], time.monotonic() + 0.05)
    calls.gate.set()
    assert await hung == [10]
    await asyncio.sleep(0)
    assert calls.seen == [[1]], "the expired request is asked of nobody"
    assert made.waiting_rows == 0


async def test_a_caller_who_gave_up_costs_no_call_and_no_other():
    calls = Calls()
    calls.gate.clear()
    made = batcher(calls)
    first = asyncio.create_task(made.submit([1], soon()))
    await asyncio.sleep(0.01)
    gone = asyncio.create_task(made.submit([2], soon()))
    other = asyncio.create_task(made.submit([3], soon()))
    await asyncio.sleep(0.01)
    gone.cancel()
    calls.gate.set()
    assert await first == [10]
    assert await other == [30]
    assert calls.seen == [[1], [3]]
