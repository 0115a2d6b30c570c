"""One HTTP request over bare ASGI."""

import asyncio

import pytest
from predict_server.errors import RequestError
from predict_server.exchange import ClientGone, Exchange


def exchange(messages=(), query=b"", **headers):
    left = list(messages)

    async def receive():
        return left.pop(0)

    sent = []

    async def send(message):
        sent.append(message)

    pairs = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    scope = {"method": "POST", "path": "/predict", "query_string": query, "headers": pairs}
    made = Exchange(scope, receive, send)
    return made, sent


def piece(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def body_of(made, limit=10):
    return asyncio.run(made.body(limit, "NIGHTSHIFT_PREDICT_MAX_BODY"))


def test_a_body_comes_in_pieces():
    made, _ = exchange([piece(b"ab", True), piece(b"", True), piece(b"cd")])
    assert body_of(made) == b"abcd"
    assert body_of(exchange([piece(b"")])[0]) == b""


@pytest.mark.parametrize(
    ("messages", "declared"),
    [([piece(b"x" * 6, True), piece(b"x" * 5)], b""), ([], b"11"), ([piece(b"x" * 11)], b"nonsense")],
)  # fmt: skip
def test_a_body_that_is_too_big_names_the_setting(messages, declared):
    made, _ = exchange(messages, content_length=declared)
    with pytest.raises(RequestError, match="NIGHTSHIFT_PREDICT_MAX_BODY") as raised:
        body_of(made)
    assert raised.value.status == 413


def test_a_client_that_goes_away_has_no_body():
    made, _ = exchange([piece(b"ab", True), {"type": "http.disconnect"}])
    with pytest.raises(ClientGone):
        body_of(made)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (b"", False),
        (b"other=true", False),
        (b"explain=true", True),
        (b"explain=ON", True),
        (b"explain=1&explain=0", False),
        (b"explain=no", False),
    ],
)
def test_flags(query, value):
    assert exchange(query=query)[0].flag("explain") is value


@pytest.mark.parametrize("query", [b"explain=", b"explain=maybe", b"explain=%FF"])
def test_a_flag_that_is_neither_is_refused(query):
    with pytest.raises(RequestError) as raised:
        exchange(query=query)[0].flag("explain")
    assert raised.value.status == 422


def test_the_clients_request_id_is_kept_where_it_is_harmless():
    assert exchange(x_request_id=b"a-1/b:2")[0].request_id == b"a-1/b:2"
    for bad in (b"", b"a b", b"a\r\nb", b"x" * 129, b"\xff"):
        own = exchange(x_request_id=bad)[0].request_id
        assert own != bad
        assert own
    assert exchange()[0].request_id != exchange()[0].request_id


def test_an_answer_has_its_length_its_type_and_the_requests_id():
    made, sent = exchange(x_request_id=b"r-1")
    asyncio.run(made.send(201, b"{}", headers=[(b"retry-after", b"1")]))
    start, end = sent
    assert start["status"] == 201
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"x-request-id": b"r-1",
        b"retry-after": b"1",
    }
    assert end["body"] == b"{}"


def test_a_long_answer_goes_out_piece_by_piece_and_ends():
    made, sent = exchange()
    asyncio.run(made.stream(4, iter([b"ab", b"cd"]), "text/csv"))
    assert [(m["body"], m.get("more_body", False)) for m in sent[1:]] == [
        (b"ab", True),
        (b"cd", True),
        (b"", False),
    ]
    assert dict(sent[0]["headers"])[b"content-length"] == b"4"
