"""What the proxy writes down of what it passed on, before an engine that answers by rote."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from socket_proxy.policy import HOME_LABEL, Policy
from socket_proxy.server import Proxy
from socket_proxy.wire import Engine

POLICY = Policy.from_env(
    {
        "NIGHTSHIFT_HOME": "/srv/home",
        "NIGHTSHIFT_PROJECT": "/srv/project",
        "NIGHTSHIFT_TASK_IMAGE_TRAIN": "x:1",
        "NIGHTSHIFT_TASK_USER": "1:1",
    }
)


async def _engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
    status, body = 204, ""
    if line.startswith("GET"):
        status, body = 200, json.dumps(
            {"Id": "c0ffee", "Config": {"Labels": {HOME_LABEL: POLICY.home_label}}}
        )  # fmt: skip
    elif line.startswith("DELETE"):
        status, body = 409, json.dumps({"message": "removal is in progress"})
    writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


async def _ask(folder: Path, *requests: str) -> list[int]:
    engine = await asyncio.start_unix_server(_engine, folder / "engine.sock")
    proxy = await asyncio.start_server(
        Proxy(Engine(str(folder / "engine.sock")), POLICY).serve, "127.0.0.1", 0
    )
    found = []
    async with engine, proxy:
        for text in requests:
            reader, writer = await asyncio.open_connection(*proxy.sockets[0].getsockname())
            writer.write(f"{text} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            found.append(int((await reader.read()).split()[1]))
            writer.close()
    return found


def test_the_log_says_what_the_engine_made_of_a_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "socket_proxy")
    statuses = asyncio.run(
        _ask(
            tmp_path,
            "POST /v1.41/containers/a/stop?t=60",
            "DELETE /v1.41/containers/a?v=True",
            "GET /v1.41/containers/a/json",
            "POST /v1.41/images/create",
        )
    )
    assert statuses == [204, 409, 200, 403]
    texts = [record.getMessage() for record in caplog.records]
    assert texts[:2] == [
        "204 passed on: POST /v1.41/containers/a/stop?t=60",
        "409 passed on: DELETE /v1.41/containers/a?v=True",
    ]
    assert texts[2].startswith("refused: POST /v1.41/images/create: ")
    assert len(texts) == 3
