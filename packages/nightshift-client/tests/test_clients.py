# mypy: ignore-errors
"""The clients against answers as the server gives them: types, errors, and when to ask again."""

import asyncio
import time

import httpx
import pytest
from nightshift_client import (
    AsyncClient,
    Client,
    InvalidRequest,
    Problem,
    ServerFault,
    Unavailable,
)

PREDICTED = {
    "predictions": [{"request_id": "q1", "score": 0.25}, {"request_id": "q2", "score": 0.5}],
    "release": "r1",
    "deployment": "d",
    "model": "m",
    "model_version": 3,
}


class Server:
    """Answers in turn; an exception is raised instead."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = answer
        return httpx.Response(status, json=body, headers=headers)


def ok(body):
    return 200, body, {}


def refused(status, kind="overloaded", **headers):
    given = {"x-request-id": "id-1", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return status, {"error": kind, "message": f"because {kind}", "request_id": "id-1"}, given


def ask(server, what, *, is_async, **options):
    """Call a method of a client that talks to `server`."""
    name, arguments = what
    transport = httpx.MockTransport(server)
    if not is_async:
        with Client("http://server", pipeline="jd", **options) as client:
            client._http = httpx.Client(transport=transport, base_url="http://server")
            return getattr(client, name)(**arguments)

    async def run():
        async with AsyncClient("http://server", pipeline="jd", **options) as client:
            client._http = httpx.AsyncClient(transport=transport, base_url="http://server")
            return await getattr(client, name)(**arguments)

    return asyncio.run(run())


PREDICT = ("predict", {"rows": [{"a": 1}, {"a": 2}]})
both = pytest.mark.parametrize("is_async", [False, True])


@both
def test_answers_come_with_types(is_async):
    server = Server(ok(PREDICTED))
    answer = ask(server, PREDICT, is_async=is_async)
    assert (answer.scores, answer.release, answer.model_version) == ([0.25, 0.5], "r1", 3)
    assert answer.predictions[1].request_id == "q2"
    (request,) = server.requests
    assert request.url.path == "/v1/pipelines/jd/predict"
    assert 0 < float(request.headers["x-request-timeout"]) <= 10


@both
def test_what_passes_is_asked_again_and_what_does_not_is_told_at_once(is_async):
    cut = httpx.ReadError("cut")
    server = Server(refused(503, "no_release"), cut, refused(429), ok(PREDICTED))
    assert ask(server, PREDICT, is_async=is_async).scores == [0.25, 0.5]
    assert len(server.requests) == 4
    for status, kind in ((422, InvalidRequest), (401, InvalidRequest), (502, ServerFault)):
        server = Server(refused(status, "fault"))
        with pytest.raises(kind) as caught:
            ask(server, PREDICT, is_async=is_async)
        assert (caught.value.status, caught.value.kind) == (status, "fault")
        assert caught.value.request_id == "id-1"
        assert len(server.requests) == 1


@both
def test_the_whole_call_ends_with_its_time(is_async):
    server = Server(refused(503, "no_release"))
    with pytest.raises(Unavailable, match="because no_release"):
        ask(server, PREDICT, is_async=is_async, timeout_s=0.4)
    left = [float(request.headers["x-request-timeout"]) for request in server.requests]
    assert all(0 < later <= 0.4 for later in left), left
    assert left == sorted(left, reverse=True)
    with pytest.raises(Unavailable, match="refused"):
        ask(Server(httpx.ConnectError("refused")), PREDICT, is_async=is_async, timeout_s=0.2)


@both
def test_retry_after_is_kept(is_async):
    server = Server(refused(429, Retry_After="1"), ok(PREDICTED))
    started = time.monotonic()
    ask(server, PREDICT, is_async=is_async)
    assert time.monotonic() - started >= 0.5


def test_problems_name_row_and_field():
    body = {
        "error": "invalid_rows",
        "message": "row 1, field a: bad",
        "detail": [{"row": 1, "field": "a", "problem": "bad"}],
    }
    with pytest.raises(InvalidRequest) as caught:
        ask(Server((422, body, {})), PREDICT, is_async=False)
    assert caught.value.problems == (Problem(1, "a", "bad"),)


def test_one_row_instead_of_a_list_is_refused_before_it_is_sent():
    with pytest.raises(InvalidRequest, match=r"\[row\]"):
        ask(Server(ok({})), ("predict", {"rows": {"a": 1}}), is_async=False)


@both
def test_health_tells_not_ready_as_an_answer(is_async):
    body = {"status": "not ready", "parts": {"triton": "away"}, "release": None, "workers": {}}
    found = ask(Server((503, body, {})), ("health", {}), is_async=is_async)
    assert (found.ready, found.parts) == (False, {"triton": "away"})


def test_a_file_is_whole_or_as_it_was(tmp_path):
    source, target = tmp_path / "rows.csv", tmp_path / "scored.csv"
    source.write_text("a\n1\n")
    target.write_text("before")
    with pytest.raises(ServerFault):
        arguments = {"source": source, "target": target}
        ask(Server(refused(502)), ("upload", arguments), is_async=False)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "scored.csv"]
