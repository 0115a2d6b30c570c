"""The trigger's corner cases, of which a healthy server shows none."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import httpx
import pytest
from nightshift_provider.hooks.openmldb import Endpoint, OpenMLDBHook
from nightshift_provider.triggers.openmldb import OpenMLDBJobTrigger

from nightshift.openmldb import AsyncOpenMLDBClient

TYPES = ["Int32"] + ["String"] * 13


class Script:
    """An API server that plays the given states of each job, the last one for ever."""

    def __init__(self, *states: str | Exception) -> None:
        self.states = list(states)
        self.asked: Counter[str] = Counter()
        self.jobs = [7]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        sql = json.loads(request.content)["sql"]
        self.asked[sql.rsplit(" ", 1)[0] if sql[-1].isdigit() else sql] += 1
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        if state == "unknown":
            return httpx.Response(200, json={"code": 2000, "msg": "Job not found: 7"})
        if sql.startswith("STOP"):
            self.states = ["STOPPED"]
        rows = [[n, "T", state, 1, 2, "SQL", "", "", "why", "jd", "", 0, "", ""]
                for n in (self.jobs if sql == "SHOW JOBS" else [int(sql.split()[-1])])]  # fmt: skip
        return httpx.Response(200, json={"code": 0, "data": {"schema": TYPES, "data": rows}})


@pytest.fixture
def play(monkeypatch):
    def of(*states: str | Exception) -> Script:
        script = Script(*states)

        async def endpoint(cls, conn_id):
            return Endpoint(url="http://openmldb.test:9080")

        monkeypatch.setattr(OpenMLDBHook, "aendpoint", classmethod(endpoint))
        monkeypatch.setattr(
            Endpoint,
            "async_client",
            lambda self: AsyncOpenMLDBClient(self.url, transport=httpx.MockTransport(script)),
        )
        return script

    return of


def trigger(job_id: int = 7, **kw) -> OpenMLDBJobTrigger:
    options = {"deadline": time.time() + 60, "poll_s": 0.01, "settle_s": 0.05, "outage_s": 0.1}
    return OpenMLDBJobTrigger(openmldb_conn_id="x", job_id=job_id, **(options | kw))


async def events(made: OpenMLDBJobTrigger) -> list[dict]:
    return [event.payload async for event in made.run()]


async def test_finished_is_looked_at_twice(play):
    script = play("Submitted", "RUNNING", "FINISHED")
    (event,) = await events(trigger())
    assert event["outcome"] == "finished"
    assert script.asked["SHOW JOB"] >= 4


async def test_finished_that_turns_to_failed_is_failed(play):
    play("RUNNING", "FINISHED", "failed")
    (event,) = await events(trigger())
    assert (event["outcome"], event["state"], event["message"]) == ("failed", "FAILED", "why")


async def test_the_deadline_is_absolute_and_survives_a_restart(play):
    play("RUNNING")
    made = trigger(deadline=time.time() + 0.05)
    path, values = made.serialize()
    assert json.loads(json.dumps(values)) == values
    assert path.endswith(OpenMLDBJobTrigger.__name__)
    (event,) = await events(OpenMLDBJobTrigger(**values))
    assert event["outcome"] == "timeout"


async def test_a_short_outage_is_borne(play):
    away = httpx.ConnectError("refused")
    play("RUNNING", away, away, "FINISHED")
    (event,) = await events(trigger(outage_s=30))
    assert event["outcome"] == "finished"


async def test_a_long_outage_ends_the_wait(play):
    play(httpx.ConnectError("refused"))
    (event,) = await events(trigger())
    assert event["outcome"] == "unavailable"
    assert "openmldb.test:9080" in event["message"]


async def test_a_job_that_nobody_knows(play):
    play("unknown")
    (event,) = await events(trigger())
    assert event["outcome"] == "gone"


async def test_a_kill_stops_the_job_and_looks(play):
    script = play("RUNNING")
    await trigger().on_kill()
    assert script.asked["STOP JOB"] == 1
    assert script.states == ["STOPPED"]
    script = play("RUNNING")
    await trigger(stop_on_kill=False).on_kill()
    assert not script.asked


async def test_a_thousand_waiters_share_their_readings(play):
    script = play("RUNNING")
    script.jobs = list(range(1, 1001))
    waits = [asyncio.create_task(events(trigger(n, poll_s=0.5))) for n in script.jobs]
    await asyncio.sleep(3.0)
    script.states = ["FINISHED"]
    outcomes = [event["outcome"] for (event,) in await asyncio.gather(*waits)]
    assert outcomes == ["finished"] * 1000
    # At most one a second for all of them, however long this machine took.
    assert script.asked["SHOW JOBS"] < 100
    assert script.asked["SHOW JOB"] <= 8 * 100
