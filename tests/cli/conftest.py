"""What tests of commands share."""

import argparse
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.airflow_api import AirflowApi
from nightshift.settings import Settings


def run(commands, name, *words):
    """The exit code of one of the commands, called with the words that follow its name."""
    command = {one.name: one for one in commands}[name]
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    return command.run(parser.parse_args(words))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of the command's own, with the project's pipelines."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_INSTALLATION", "test00")
    return tmp_path / "home"


@pytest.fixture
def closed_port():
    """A port that refuses connections and that no other process can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def airflow():
    """A server that answers as Airflow does.

    `answers` are (status, JSON) by "METHOD path"; of a list, each is given once and the last one
    from then on. `asked` is what came.
    """

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            place = f"{self.command} {self.path}"
            server.asked.append((place, json.loads(raw) if raw else None))
            token = self.headers.get("Authorization")
            if self.path == "/auth/token":
                server.tokens += 1
                status, value = server.answers.get(
                    place, (201, {"access_token": f"t{server.tokens}"})
                )
            elif token != f"Bearer t{server.valid or server.tokens}":
                status, value = server.stale
            else:
                found = server.answers.get(place, (404, {"detail": "Not found"}))
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                status, value = found
            body = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 (http.server's names)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked, server.tokens, server.valid = {}, [], 0, 0
    server.stale = (401, {"detail": "Token Expired"})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(airflow, tmp_path):
    settings = Settings(home=tmp_path, airflow_port=airflow.server_address[1])
    return AirflowApi(settings, password="secret")
