"""What the proxy writes down of what it passed on, before an engine that answers by rote."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
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


# A folder that is swapped for a link while the engine starts a container.


async def _start(folder: Path, swap: Callable[[], None] | None) -> tuple[int, list[str]]:
    """Start a container whose folder `swap` changes at the moment of the engine's mount."""
    home, run = folder / "home", folder / "home" / "runs" / "2026-03-01" / "0123abcd"
    run.mkdir(parents=True)
    policy = Policy.from_env(
        {
            "NIGHTSHIFT_HOME": str(home),
            "NIGHTSHIFT_PROJECT": "/srv/project",
            "NIGHTSHIFT_TASK_IMAGE_TRAIN": "x:1",
            "NIGHTSHIFT_TASK_USER": "1:1",
        }
    )
    asked: list[str] = []

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
        asked.append(line.removesuffix(" HTTP/1.1"))
        body = ""
        if line.startswith("GET"):
            mount = {"Type": "bind", "Source": str(run), "Target": str(run), "ReadOnly": False}
            body = json.dumps(
                {
                    "Id": "c0ffee",
                    "Config": {"Labels": {HOME_LABEL: policy.home_label}},
                    "HostConfig": {"Mounts": [mount]},
                }
            )
        elif line.startswith("POST") and swap is not None:
            swap()
        status = 200 if body else 204
        writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(engine, folder / "engine.sock")
    proxy = await asyncio.start_server(
        Proxy(Engine(str(folder / "engine.sock")), policy).serve, "127.0.0.1", 0
    )
    async with server, proxy:
        reader, writer = await asyncio.open_connection(*proxy.sockets[0].getsockname())
        writer.write(b"POST /v1.41/containers/a/start HTTP/1.1\r\nHost: x\r\n\r\n")
        status = int((await reader.read()).split()[1])
        writer.close()
    return status, asked


@pytest.mark.parametrize("level", ["run", "day", "runs"])
def test_a_link_that_was_there_only_while_the_engine_mounted_is_found(
    tmp_path: Path, level: str
) -> None:
    run = tmp_path / "home" / "runs" / "2026-03-01" / "0123abcd"
    name = {"run": run, "day": run.parent, "runs": run.parents[1]}[level]

    def swap() -> None:
        aside = name.with_name("aside")
        name.rename(aside)
        name.symlink_to("/")
        name.unlink()
        aside.rename(name)

    status, asked = asyncio.run(_start(tmp_path, swap))
    assert status == 403
    assert asked[-1] == "DELETE /containers/c0ffee?force=1&v=1"


def test_other_runs_that_begin_meanwhile_disturb_no_start(tmp_path: Path) -> None:
    def other() -> None:
        (tmp_path / "home" / "runs" / "2026-03-01" / "89abcdef").mkdir()
        (tmp_path / "home" / "runs" / "2026-03-02").mkdir()
        (tmp_path / "home" / "runs" / "2026-03-01" / "0123abcd" / "model").mkdir()

    status, asked = asyncio.run(_start(tmp_path, other))
    assert status == 204
    assert not any(line.startswith("DELETE") for line in asked)


def test_what_a_client_writes_forges_no_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "socket_proxy")
    target = "/v1.41/containers/json?x%0aINFO%20201%20passed%20on=1%1b[2J"
    assert asyncio.run(_ask(tmp_path, f"GET {target}")) == [403]
    (text,) = [record.getMessage() for record in caplog.records]
    assert text.isprintable()
    assert "x\\nINFO 201 passed on" in text
