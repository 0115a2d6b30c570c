"""Strict HTTP/1.1: one request a connection, and requests to the engine written anew."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from socket_proxy.errors import EngineAway, Refused

HEAD_BYTES = 16 * 1024
BODY_BYTES = 60_000
HEAD_S = 15.0
BODY_S = 15.0
SLOW_S = 60.0
"""Seconds that a client may take to read what waits for it."""

_CHUNK = 64 * 1024

_LINE = re.compile(rb"([A-Z]{3,7}) (/[\x21-\x7e]{0,8000}) HTTP/1\.1")
_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_PASSED_ON = ("content-type", "content-length", "transfer-encoding", "api-version", "server",
              "docker-experimental", "ostype")  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    target: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The engine's head: its status and the header lines that are passed on."""

    status: int
    fields: dict[str, str]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None where the client closed before one.

    Raises:
        Refused: it is not written as it must be, or asks to change the protocol.
        TimeoutError: it did not arrive in time.
    """
    async with asyncio.timeout(HEAD_S):
        head = await _head(reader)
    if head is None:
        return None
    first, *lines = head.split(b"\r\n")
    match = _LINE.fullmatch(first)
    if match is None:
        raise Refused("the request line is written oddly", 400)
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None or len(fields) > 64:
            raise Refused("a header is written oddly", 400)
        name = field[1].decode().lower()
        if name in fields and name in ("content-length", "transfer-encoding", "host"):
            raise Refused(f"header {name} stands twice", 400)
        fields[name] = field[2].decode()
    if "upgrade" in fields or "upgrade" in fields.get("connection", "").lower():
        raise Refused("no change of the protocol")
    if "transfer-encoding" in fields:
        raise Refused("the body must have a length", 413)
    length = fields.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,12}", length):
        raise Refused("Content-Length is not a number", 400)
    if int(length) > BODY_BYTES:
        raise Refused(f"the body is longer than {BODY_BYTES} bytes", 413)
    if "expect" in fields:
        raise Refused("Expect is not answered", 417)
    try:
        async with asyncio.timeout(BODY_S):
            body = await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        raise Refused("the body did not arrive whole", 400) from None
    return Request(match[1].decode(), match[2].decode(), body)


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise Refused("the request did not arrive whole", 400) from None
    except asyncio.LimitOverrunError:
        raise Refused("the request's head is too long", 431) from None


class Engine:
    """The engine's socket; each call has a connection of its own.

    Args:
        path: of the socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def ask(
        self, method: str, path: str, body: bytes | None, idle_s: float
    ) -> tuple[Answer, asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request and read the answer's head; the caller reads on and closes.

        Raises:
            EngineAway: it does not answer, or not as a Docker engine does.
        """
        try:
            async with asyncio.timeout(10.0):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=HEAD_BYTES)
        except (OSError, TimeoutError) as error:
            raise EngineAway(f"the engine's socket cannot be reached: {error}") from error
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
            if body is not None:
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            elif method == "POST":
                head += "Content-Length: 0\r\n"
            writer.write(head.encode() + b"\r\n" + (body or b""))
            async with asyncio.timeout(idle_s):
                await writer.drain()
                answer = parse_answer(await reader.readuntil(b"\r\n\r\n"))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            writer.close()
            raise EngineAway(f"the engine did not answer: {error}") from error
        except BaseException:
            writer.close()
            raise
        return answer, reader, writer

    async def read(self, path: str, most: int = 8 << 20) -> tuple[int, bytes]:
        """Status and body of a GET, for the proxy's own questions.

        Raises:
            EngineAway: it does not answer, or with more than `most` bytes.
        """
        answer, reader, writer = await self.ask("GET", path, None, 60.0)
        try:
            async with asyncio.timeout(60.0):
                body = await _whole(answer, reader, most)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise EngineAway(f"the engine's answer broke off: {error}") from error
        finally:
            writer.close()
        return answer.status, body

    async def do(self, method: str, path: str) -> int:
        """Status of a request whose answer's body does not matter.

        Raises:
            EngineAway: it does not answer.
        """
        answer, _, writer = await self.ask(method, path, None, 300.0)
        writer.close()
        return answer.status


def parse_answer(head: bytes) -> Answer:
    """The head of an engine's answer.

    Raises:
        EngineAway: it is none, or changes the protocol.
    """
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    match = _STATUS.fullmatch(first)
    if match is None or match[1] < b"200":
        raise EngineAway(f"the engine answered {first[:60]!r}")
    fields = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() in _PASSED_ON:
            fields[name.lower()] = value.strip()
    return Answer(int(match[1]), fields)


async def _whole(answer: Answer, reader: asyncio.StreamReader, most: int) -> bytes:
    """The body; the engine was told to close the connection after it."""
    raw = bytearray()
    while chunk := await reader.read(_CHUNK):
        raw += chunk
        if len(raw) > most:
            raise ValueError("it is too long")
    if answer.fields.get("transfer-encoding", "").lower() != "chunked":
        return bytes(raw)
    body = bytearray()
    rest = bytes(raw)
    while True:
        size, mark, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not mark or length < 0 or len(rest) < length + 2:
            raise ValueError("a chunk is cut off")
        if length == 0:
            return bytes(body)
        body += rest[:length]
        rest = rest[length + 2 :]


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle_s: float
) -> None:
    """Copy an answer's body until its end."""
    while True:
        async with asyncio.timeout(idle_s):
            chunk = await reader.read(_CHUNK)
        if not chunk:
            return
        writer.write(chunk)
        async with asyncio.timeout(SLOW_S):
            await writer.drain()
