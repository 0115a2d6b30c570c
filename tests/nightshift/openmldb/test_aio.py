"""The client of an event loop: the same requests, answers and errors as the other one's."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from nightshift.errors import NightshiftError, OpenMLDBError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb import AsyncOpenMLDBClient, JobState, OpenMLDBClient

JOB = [
    7,
    "ImportOfflineData",
    "RUNNING",
    1,
    None,
    "LOAD DATA",
    "local",
    "",
    "",
    "jd",
    "",
    0,
    "",
    "",
]
JOBS = {"code": 0, "data": {"schema": ["Int32"] + ["String"] * 13, "data": [JOB]}}
NAMES = {"code": 0, "data": {"schema": ["String"], "data": [["a"], ["b"]]}}


class Server:
    """It answers every request alike and keeps what came."""

    def __init__(self, answer, status=200):
        self.answer, self.status, self.got = answer, status, []

    def __call__(self, request):
        body = json.loads(request.content) if request.content else None
        self.got.append((request.method, request.url.path, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, str):
            return httpx.Response(self.status, text=self.answer)
        return httpx.Response(self.status, json=self.answer)


def asked(answer, call, status=200):
    """The value, or error, of a call of the asynchronous client, and the same of the other one.

    Both are checked to have sent the same.
    """
    server, other = Server(answer, status), Server(answer, status)

    async def one():
        transport = httpx.MockTransport(server)
        async with AsyncOpenMLDBClient("http://openmldb.test:9080", transport=transport) as api:
            return await call(api)

    def two():
        transport = httpx.MockTransport(other)
        with OpenMLDBClient("http://openmldb.test:9080", transport=transport) as api:
            return call(api)

    made = [outcome(lambda: asyncio.run(one())), outcome(two)]
    assert server.got == other.got
    return made


def outcome(run):
    try:
        return run()
    except NightshiftError as error:
        return type(error), str(error)


CALLS = [
    (JOBS, lambda api: api.job(7)),
    (JOBS, lambda api: api.jobs()),
    (JOBS, lambda api: api.stop_job(7)),
    (JOBS, lambda api: api.submit("jd", "LOAD DATA INFILE 'x' INTO TABLE t")),
    (NAMES, lambda api: api.databases()),
    (NAMES, lambda api: api.tables("jd")),
    (NAMES, lambda api: api.execute("jd", "SELECT a FROM t", "onsync")),
    ({"code": 2000, "msg": "Job not found: 9"}, lambda api: api.job(9)),
    ({"code": -1, "msg": "Fail to get taskmanager client"}, lambda api: api.jobs()),
    ({"code": 2001, "msg": "Reached timeout=3000ms"}, lambda api: api.execute("jd", "SELECT 1")),
    (httpx.ConnectError("refused"), lambda api: api.execute("jd", "SELECT 1")),
    ("OK", lambda api: api.health()),
]


@pytest.mark.parametrize(("answer", "call"), CALLS)
def test_both_clients_ask_and_answer_alike(answer, call):
    one, two = asked(answer, call)
    assert one == two


def test_what_they_say():
    job, _ = asked(JOBS, lambda api: api.job(7))
    assert (job.job_id, job.state, job.db) == (7, JobState.RUNNING, "jd")
    (error, text), _ = asked({"code": 2000, "msg": "Job not found: 9"}, lambda api: api.job(9))
    assert error is OpenMLDBError and "Job not found: 9" in text
    (error, text), _ = asked(httpx.ConnectError("refused"), lambda api: api.health())
    assert error is ServiceUnavailable and "openmldb.test:9080" in text
    (error, _), _ = asked(
        {"code": 2001, "msg": "Reached timeout=3000ms"},
        lambda api: api.execute("jd", "LOAD DATA INFILE 'x' INTO TABLE t", "offsync"),
    )
    assert error is StatementTimeout
    (error, text), _ = asked("moved", lambda api: api.health(), status=502)
    assert error is ServiceUnavailable and "502" in text


def test_a_proxy_in_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert asked("OK", lambda api: api.health()) == [None, None]


def test_many_at_once_share_one_client():
    async def run():
        transport = httpx.MockTransport(Server(JOBS))
        async with AsyncOpenMLDBClient("http://x", max_connections=3, transport=transport) as api:
            return await asyncio.gather(*(api.job(7) for _ in range(100)))

    assert {job.job_id for job in asyncio.run(run())} == {7}


def test_the_slash_at_the_end_of_an_address_is_no_part_of_it():
    assert AsyncOpenMLDBClient("http://openmldb.test:9080/").place == "http://openmldb.test:9080"
