"""Who may ask the server: the attacks of a web page, of a name that leads here, of another user."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from testing.embedded import ServerProcess

TOKEN = "a-token-of-this-test"
STATEMENT = {"mode": "onsync", "sql": "SHOW DATABASES"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    for name in ("data", "runs"):
        (folder / name).mkdir()
    arguments = ["--token-file", str(token), "--name", "Openmldb.example"]
    arguments += ["--root", str(folder / "data"), "--root", str(folder / "runs")]
    server = ServerProcess(folder / "openmldb", *arguments).start()
    yield server
    assert server.end() == 0


def ask(server: ServerProcess, headers: dict[str, str], body: Any = STATEMENT) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{server.port}/dbs/db"
    return httpx.post(url, content=content, headers=headers, trust_env=False)


def own(**headers: str) -> dict[str, str]:
    plain = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    return plain | {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content_Type": "application/json; charset=utf-8"},
        {"Content_Type": "Application/JSON"},
        {"Authorization": f"bearer  {TOKEN}"},
        {"Authorization": "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()},
        {"Host": "localhost"},
        {"Host": "LOCALHOST:1"},
        {"Host": "127.0.0.1"},
        {"Host": "[::1]:9080"},
        {"Host": "openmldb.example:9080"},
    ],
)
def test_our_own_clients_pass(server: ServerProcess, headers: dict[str, str]) -> None:
    answer = ask(server, own(**headers))
    assert (answer.status_code, answer.json()["code"]) == (200, 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=application/json"}, 415),
        ({"Content_Type": "text/plain; application/json"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:9080"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.0.2.1"}, 403),
        ({"Host": "[2001:db8::1]:9080"}, 403),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Basic " + base64.b64encode(TOKEN.encode()).decode()}, 401),
    ],
)
def test_others_are_refused(server: ServerProcess, headers: dict[str, str], status: int) -> None:
    answer = ask(server, own(**headers))
    assert answer.status_code == status
    assert answer.json()["code"] != 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/dbs"), ("GET", "/dbs/db/tables"), ("POST", "/refresh"), ("PUT", "/dbs/db/tables/t"),
     ("POST", "/dbs/db/deployments/d"), ("OPTIONS", "/dbs/db"), ("GET", "/nothing")],
)  # fmt: skip
def test_every_path_but_health_demands_the_token(
    server: ServerProcess, method: str, path: str
) -> None:
    url = f"http://127.0.0.1:{server.port}{path}"
    kind = {"Content-Type": "application/json"}
    assert httpx.request(method, url, headers=kind, content=b"{}").status_code == 401
    assert httpx.get(f"http://127.0.0.1:{server.port}/health").text == "OK"


def test_health_answers_no_web_page(server: ServerProcess) -> None:
    url = f"http://127.0.0.1:{server.port}/health"
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403


def test_two_names_in_a_request_do_not_pass(server: ServerProcess) -> None:
    body = json.dumps(STATEMENT)
    text = (
        "POST /dbs/db HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n{body}"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(text.encode())
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))


@pytest.mark.services
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_token_that_others_may_read_stops_the_server(tmp_path: Path, mode: int) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(mode)
    server = ServerProcess(tmp_path / "openmldb", "--token-file", str(token))
    with pytest.raises(AssertionError, match="chmod 600"):
        server.start()


# Files: what lies outside data/ and runs/ is neither read nor written.


def run(server: ServerProcess, sql: str, mode: str = "onsync") -> str:
    answer = ask(server, own(), {"mode": mode, "sql": sql}).json()
    if answer["code"] == 0 and "FAILED" not in str(answer):
        return "ok"
    if answer["code"] == 0:
        # As on a cluster, a failed job's reason stands in its log.
        log = {"mode": "onsync", "sql": f"SHOW JOBLOG {answer['data']['data'][0][0]}"}
        return str(ask(server, own(), log).json())
    return str(answer)


@pytest.fixture(scope="module")
def table(server: ServerProcess, folder: Path) -> str:
    assert run(server, "CREATE DATABASE IF NOT EXISTS db") == "ok"
    assert run(server, "CREATE TABLE t (s STRING, INDEX(KEY=s))") == "ok"
    (folder / "secret.csv").write_text("s\npassword\n")
    (folder / "data" / "good.csv").write_text("s\ngood\n")
    (folder / "data" / "link.csv").symlink_to("../secret.csv")
    (folder / "data" / "folder").symlink_to("..")
    (folder / "runs" / "out").symlink_to("..")
    return "t"


@pytest.mark.parametrize(
    "path",
    [
        "{}/secret.csv",
        "file://{}/secret.csv",
        "{}/data/../secret.csv",
        "{}/data/link.csv",
        "{}/data/*.csv",
        "{}/data/folder/secret.csv",
        "{}/{{data,secret.csv}}",
        "{}/dat?/../secret.csv",
        "{}/openmldb/LOCK",
        "/etc/passwd",
        "/proc/self/environ",
        "{}/token",
    ],
)
def test_load_data_reads_nothing_else(
    server: ServerProcess, folder: Path, table: str, path: str
) -> None:
    where = path.format(folder)
    said = run(server, f"LOAD DATA INFILE '{where}' INTO TABLE {table} OPTIONS(mode='append')")
    assert "outside" in said or "own data folder" in said, said
    assert run(server, "SELECT * FROM t WHERE s = 'password'") == "ok"
    rows = ask(server, own(), {"mode": "onsync", "sql": "SELECT * FROM t"}).json()["data"]["data"]
    assert ["password"] not in rows


@pytest.mark.parametrize(
    "path",
    ["{}/written", "{}/runs/../written", "{}/runs/out/written", "{}/data/folder/written",
     "{}/openmldb/written", "/tmp/written", "{}/runs"],
)  # fmt: skip
def test_into_outfile_writes_nothing_else(
    server: ServerProcess, folder: Path, table: str, path: str
) -> None:
    before = sorted(os.listdir(folder))
    sql = f"SELECT * FROM {table} INTO OUTFILE '{path.format(folder)}'"
    for mode in ("offsync", "onsync"):
        assert run(server, sql, mode) != "ok"
    assert sorted(os.listdir(folder)) == before
    assert not Path("/tmp/written").exists()


def test_what_lies_inside_is_read_and_written(
    server: ServerProcess, folder: Path, table: str
) -> None:
    good = folder / "data" / "good.csv"
    sql = f"LOAD DATA INFILE '{good}' INTO TABLE {table} OPTIONS(mode='overwrite')"
    assert run(server, sql, "offsync") == "ok"
    sql = f"SELECT * FROM {table} INTO OUTFILE '{folder}/runs/written'"
    assert run(server, sql, "offsync") == "ok"
    written = "".join(p.read_text() for p in (folder / "runs" / "written").glob("*.csv"))
    assert "good" in written
