"""docker/openmldb/health.py: whether OpenMLDB can be given work, by its own answers."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from testing.engine import PROJECT

TABLET = ["127.0.0.1:10921", "tablet", "1700000000000", "online", "NULL"]
OTHERS = [["127.0.0.1:7527", "nameserver", "0", "online", "master"],
          ["127.0.0.1:9902", "taskmanager", "0", "offline", "NULL"]]  # fmt: skip
TABLE = ["1", "t", "jd", "memory", "7", "100", "0", "8", "0", "1", "NULL", "NULL", "NULL", ""]


class Api:
    """What the API server answers, by the first words of the statement."""

    answers: dict[str, Any]
    port: int


@pytest.fixture
def api() -> Iterator[Api]:
    said = Api()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = said.answers[" ".join(body["sql"].split()[:2])]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    said.port = server.server_address[1]
    said.answers = {"SHOW COMPONENTS": ok([TABLET, *OTHERS]), "SHOW TABLE": ok([TABLE])}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield said
    server.shutdown()
    server.server_close()


def ok(rows: list[list[str]]) -> dict[str, Any]:
    return {"code": 0, "msg": "ok", "data": {"schema": ["String"], "data": rows}}


def check(port: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, PROJECT / "docker" / "openmldb" / "health.py"],
        env=os.environ | {"OPENMLDB_APISERVER_PORT": str(port)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_healthy(api: Api) -> None:
    assert check(api.port) == (0, "")
    api.answers["SHOW TABLE"] = ok([])
    assert check(api.port) == (0, "")


@pytest.mark.parametrize(
    ("statement", "answer", "said"),
    [
        ("SHOW COMPONENTS", ok([[*TABLET[:3], "offline", "NULL"]]), "is offline"),
        ("SHOW COMPONENTS", ok([TABLET, ["x:1", "tablet", "0", "offline", "NULL"]]), "x:1"),
        ("SHOW COMPONENTS", ok(OTHERS), "no tablet"),
        ("SHOW COMPONENTS", {"code": 2000, "msg": "no leader"}, "no leader"),
        ("SHOW COMPONENTS", [], "Error"),
        ("SHOW COMPONENTS", ok([["x"]]), "Error"),
        ("SHOW TABLE", ok([[*TABLE[:8], "3", *TABLE[9:]]]), "3 partitions of jd.t are away"),
        ("SHOW TABLE", ok([[*TABLE[:13], "leader of pid 0 is away"]]), "leader of pid 0"),
        ("SHOW TABLE", {"code": -1, "msg": "rpc failed"}, "rpc failed"),
    ],
)
def test_unhealthy_and_why(api: Api, statement: str, answer: Any, said: str) -> None:
    api.answers[statement] = answer
    code, text = check(api.port)
    assert code == 1
    assert said in text


def test_nobody_answers() -> None:
    code, text = check(1)
    assert code == 1
    assert "refused" in text
