"""HTTP as the proxy reads it: what a lenient reader would take in two ways is refused."""

import asyncio
import json

import pytest
from socket_proxy.errors import EngineAway, Refused
from socket_proxy.wire import BODY_BYTES, HEAD_BYTES, Engine, parse_answer, read_request


def read(raw):
    async def fed():
        reader = asyncio.StreamReader(limit=HEAD_BYTES)
        reader.feed_data(raw)
        reader.feed_eof()
        return await read_request(reader)

    return asyncio.run(fed())


def test_a_request_is_its_line_and_its_body():
    found = read(b"POST /v1.43/x?a=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}GET / ")
    assert (found.method, found.target, found.body) == ("POST", "/v1.43/x?a=1", b"{}")
    assert read(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n").body == b""
    assert read(b"") is None


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://d/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: d\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES + 1), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nUpgrade: tcp\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: d", 400),
        (b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_is_written_oddly_is_refused(raw, status):
    with pytest.raises(Refused) as raised:
        read(raw)
    assert raised.value.status == status


def test_an_engines_head_is_its_status_and_known_headers():
    found = parse_answer(b"HTTP/1.1 201 Created\r\nContent-Type: a/b\r\nSet-Cookie: x\r\n\r\n")
    assert (found.status, found.fields) == (201, {"content-type": "a/b"})
    for odd in (b"HTTP/1.1 101 UPGRADED\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"hello\r\n\r\n"):
        with pytest.raises(EngineAway):
            parse_answer(odd)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", b"[1]"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1;x=y\r\n]\r\n0\r\n\r\n",
            b"[1]",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1", None),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200, None),
    ],
)
def test_the_engines_answer_is_whole_or_the_engine_is_away(tmp_path, answer, body):
    asked = []

    async def engine(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async def run():
        path = str(tmp_path / "engine.sock")
        async with await asyncio.start_unix_server(engine, path):
            return await Engine(path).read("/images/json", most=100)

    if body is None:
        with pytest.raises(EngineAway):
            asyncio.run(run())
    else:
        status, found = asyncio.run(run())
        assert (status, json.loads(found)) == (200, json.loads(body))
    assert asked[0].startswith(b"GET /images/json HTTP/1.1\r\n")


def test_a_socket_that_is_not_there_is_an_engine_that_is_away(tmp_path):
    with pytest.raises(EngineAway, match="cannot be reached"):
        asyncio.run(Engine(str(tmp_path / "none.sock")).do("POST", "/x"))
