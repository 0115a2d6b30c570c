"""What an answer means, and when to ask again; nothing waits here."""

import time
from typing import Any

import httpx
import pytest
from nightshift_client.errors import (
    InvalidRequest,
    NightshiftClientError,
    Problem,
    ServerFault,
    Unavailable,
)
from nightshift_client.exchange import FIRST_PAUSE_S, LONGEST_PAUSE_S, Call, Target, error_of

FAR = 1e9


def target(**changes: Any) -> Target:
    given: dict[str, Any] = {
        "url": "http://h:1/",
        "pipeline": None,
        "token": None,
        "timeout_s": FAR,
        "verify": True,
    }
    return Target(**{**given, **changes})


def call(left_s: float = FAR) -> Call:
    return Call("POST", "/predict", {}, time.monotonic() + left_s)


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    return (
        httpx.Response(status, json=body, headers=headers)
        if body is not None
        else (httpx.Response(status, text="<html>bad gateway</html>", headers=headers))
    )


@pytest.mark.parametrize(
    ("pipeline", "path"),
    [
        (None, "/predict"),
        ("jd", "/v1/pipelines/jd/predict"),
        ("a/../b ?", "/v1/pipelines/a%2F..%2Fb%20%3F/predict"),
    ],
)
def test_a_name_is_one_part_of_the_path(pipeline: str | None, path: str) -> None:
    assert target(pipeline=pipeline).path("predict") == path


def test_what_is_read_is_a_get_and_a_token_goes_along() -> None:
    made = target(token="secret")
    assert made.call("health").method == "GET"
    assert made.call("predict").method == "POST"
    assert made.options()["headers"] == {"Authorization": "Bearer secret"}
    assert made.options()["base_url"] == "http://h:1"
    assert target().options()["headers"] == {}


def test_the_server_is_told_what_time_is_left_and_never_less_than_none() -> None:
    request = Call(
        "POST", "/p", {"json": 1, "headers": {"a": "b"}}, time.monotonic() + 50
    ).request()
    left = float(request["headers"]["X-Request-Timeout"])
    assert 0 < left <= 50
    assert request["timeout"] == pytest.approx(left, abs=0.001)
    assert (request["headers"]["a"], request["json"]) == ("b", 1)
    late = Call("POST", "/p", {}, time.monotonic() - 50).request()
    assert late["timeout"] > 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, Unavailable), (503, Unavailable), (404, InvalidRequest), (422, InvalidRequest),
     (500, ServerFault), (502, ServerFault), (504, ServerFault), (302, ServerFault)],
)  # fmt: skip
@pytest.mark.parametrize("body", [{"error": "x", "message": "why"}, ["odd"], None])
def test_the_status_says_who_is_at_fault_whatever_the_body(
    status: int, kind: type[NightshiftClientError], body: Any
) -> None:
    error = error_of(answer(status, body, **{"x-request-id": "r-1"}))
    assert type(error) is kind
    assert (error.status, error.request_id) == (status, "r-1")
    if isinstance(body, dict):
        assert (str(error), error.kind) == ("why", "x")


def test_problems_are_named_by_row_and_field() -> None:
    detail = [{"row": 3, "field": "price", "problem": "is text"}]
    error = error_of(answer(422, {"error": "invalid_rows", "message": "m", "detail": detail}))
    assert isinstance(error, InvalidRequest)
    assert error.problems == (Problem(3, "price", "is text"),)
    bare = error_of(answer(422, {"message": "m", "detail": None}))
    assert isinstance(bare, InvalidRequest)
    assert bare.problems == ()


def test_a_right_answer_is_its_json() -> None:
    assert call().read(answer(200, {"a": 1})) == {"a": 1}
    with pytest.raises(ServerFault):
        call().read(answer(500))


@pytest.mark.parametrize("error", [InvalidRequest("no", status=422), ServerFault("no", status=502)])
def test_a_final_error_is_not_asked_again(error: NightshiftClientError) -> None:
    with pytest.raises(NightshiftClientError) as raised:
        call().pause(error, "")
    assert raised.value is error


BUSY = Unavailable("busy", status=503)


def test_pauses_grow_to_a_bound_with_jitter() -> None:
    one = call()
    pauses = [one.pause(BUSY, "") for _ in range(20)]
    for number, pause in enumerate(pauses):
        most = min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S)
        assert most / 2 <= pause <= most
    assert len(set(pauses[-10:])) > 1


def test_the_servers_wish_is_followed_within_the_bound() -> None:
    assert 0.5 <= call().pause(BUSY, "1") <= 1.0
    assert call().pause(BUSY, "9999") <= LONGEST_PAUSE_S
    assert call().pause(BUSY, "Wed, 21 Oct 2026") <= FIRST_PAUSE_S


@pytest.mark.parametrize("error", [BUSY, httpx.ConnectError("refused")])
def test_when_the_time_is_over_the_last_error_is_raised(
    error: NightshiftClientError | httpx.TransportError,
) -> None:
    with pytest.raises(Unavailable) as raised:
        call(left_s=0.0).pause(error, "")
    assert raised.value is error or "refused" in str(raised.value)
