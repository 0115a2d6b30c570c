"""One worker as a process: when it says that it serves, and how it ends."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from predict_server.protocol import ClientProtocol
from predict_server.worker import uvicorn_options

from laptop.services.launch import base_env
from nightshift.settings import Settings
from testing.serving import ROOT


@pytest.fixture
def settings(tmp_path):
    return Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path), "NIGHTSHIFT_PROJECT": str(ROOT)})


class Worker:
    """A worker, and this process as its supervisor."""

    def __init__(self, settings):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ready, ready = os.pipe()
        life, self.life = os.pipe()
        argv = [sys.executable, "-P", "-m", "predict_server.worker"]
        numbers = {"--listen": self.listener.fileno(), "--ready": ready, "--life": life}
        for name, number in numbers.items():
            argv += [name, str(number)]
        self.process = subprocess.Popen(
            argv,
            env=base_env(settings),
            pass_fds=numbers.values(),
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        for number in (ready, life):
            os.close(number)

    def told(self):
        """What it says on the pipe; empty where it ended before it served."""
        return os.read(self.ready, 100)

    def get(self, path):
        port = self.listener.getsockname()[1]
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60, trust_env=False)

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.listener.close()
        for number in (self.ready, self.life):
            if number is not None:
                os.close(number)


@pytest.fixture
def worker(settings):
    found = Worker(settings)
    yield found
    found.close()


def test_it_says_that_it_serves_survives_a_hang_up_and_ends_by_sigterm(worker):
    assert worker.told() == b"ready"
    assert worker.get("/health/live").status_code == 200
    worker.process.send_signal(signal.SIGHUP)
    assert worker.get("/health/live").status_code == 200
    worker.process.terminate()
    assert worker.process.wait(60) == 0


def test_it_ends_with_its_supervisor(worker):
    assert worker.told() == b"ready"
    os.close(worker.life)
    worker.life = None
    assert worker.process.wait(60) == 0


def test_clients_have_the_time_of_the_settings(settings):
    options = uvicorn_options(dataclasses.replace(settings, predict_client_timeout_s=7.0))
    assert issubclass(options["http"], ClientProtocol)
    assert options["http"].timeout_s == 7.0
    assert not any(name.startswith("ssl") for name in options)


def test_a_wrong_setting_is_one_line_and_the_pipe_closes_without_a_word(settings, tmp_path):
    wrong = dataclasses.replace(
        settings,
        predict_tls_cert=str(tmp_path / "no.pem"),
        predict_tls_key=str(tmp_path / "no.key"),
    )
    found = Worker(wrong)
    try:
        assert found.told() == b""
        assert found.process.wait(60) == 1
        said = found.process.stderr.read().decode().strip()
        assert "no.pem" in said
        assert "NIGHTSHIFT_PREDICT_TLS_" in said
        assert "Traceback" not in said
    finally:
        found.close()
