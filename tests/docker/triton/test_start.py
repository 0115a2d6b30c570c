"""docker/triton/start.sh starts the real server, from its wheel: what loads, and who may load.

NVIDIA's image is in no registry here. The server is given ports and the backends' folder besides;
everything else is what the script asks for.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from laptop.services.launch import Launch
from laptop.triton.launch import (
    CONTROL,
    HTTP,
    TasksPython,
    assemble_backends,
    command,
    restriction,
)
from nightshift.errors import ConfigurationError
from nightshift.triton import TritonControl
from testing.serving import ROOT, Process, serving_settings, wait_until
from testing.workshop import TASKS_PYTHON

KEY = "0123abcd"
MODEL = """
import triton_python_backend_utils as pb_utils
open({proof!r}, "w").close()
class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""
CONFIG = """
backend: "python"
output [ {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }} ]
version_policy {{ specific {{ versions: [{versions}] }} }}
"""


@dataclass
class Started:
    http: str
    grpc: str
    argv: list[str]
    home: Path

    def loaded(self, name: str) -> bool:
        return (self.home / f"{name} was loaded").exists()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    home = tmp_path_factory.mktemp("compose")
    settings = serving_settings(home)
    for name, versions in (
        ("whole", "1"),
        ("damaged", "1, 2"),
        ("other", "1"),
        ("x-candidate", "1"),
    ):
        folder = settings.model_repo / name / "1"
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(MODEL.format(proof=str(home / f"{name} was loaded")))
        config = CONFIG.format(versions=versions)
        (folder.parent / "config.pbtxt").write_text(f'name: "{name}"{config}')
    (settings.model_repo / "other" / "config.pbtxt").write_text('name: "other" backend: "python"')
    wheel = TasksPython.inspect(TASKS_PYTHON)
    backends = assemble_backends(home / "backends", wheel, ROOT)
    own = [
        f"--backend-directory={backends}", f"--http-port={settings.triton_http_port}",
        f"--grpc-port={settings.triton_grpc_port}", f"--metrics-port={settings.triton_metrics_port}",
        *(f"--{one}-address=127.0.0.1" for one in ("http", "grpc", "metrics")),
    ]  # fmt: skip
    real = wheel.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    shim = home / "bin" / "tritonserver"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(home / "argv"))}\n'
        f'exec {shlex.quote(str(real))} "$@" {shlex.join(own)}\n'
    )
    shim.chmod(0o755)
    env = command(settings).env
    env = {
        **{name: env[name] for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "HOME", "LANG") if name in env},
        "PATH": f"{shim.parent}:{env['PATH']}",
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_TRITON_KEY": KEY,
    }  # fmt: skip
    launch = Launch([str(ROOT / "docker" / "triton" / "start.sh")], env, home)
    server = Process(launch, home / "triton.log")
    http = f"http://127.0.0.1:{settings.triton_http_port}"

    try:
        wait_until(lambda: server.answers(f"{http}/v2/health/live"), "Triton answers")
        argv = (home / "argv").read_text().splitlines()
        yield Started(http, settings.triton_grpc_url, argv, home)
    finally:
        server.stop()
        shutil.rmtree(home)


def test_it_starts_with_the_models_that_are_whole(started: Started) -> None:
    assert [one for one in started.argv if "--load-model" in one] == ["--load-model=whole"]
    wait_until(lambda: started.loaded("whole"), "the model is loaded")
    assert not any(map(started.loaded, ("damaged", "other", "x-candidate")))


def test_its_rules_are_the_laptops(started: Started) -> None:
    assert f"--http-restricted-api={restriction(HTTP, KEY)}" in started.argv
    assert f"--grpc-restricted-protocol={restriction(CONTROL, KEY)}" in started.argv
    assert "--model-control-mode=explicit" in started.argv


@pytest.mark.parametrize("headers", [{}, {"nightshift-key": "x"}, {"nightshift-key": ""}], ids=str)
def test_over_http_nothing_but_health_is_open(started: Started, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=started.http, headers=headers, trust_env=False) as stranger:
        for path in ("/v2/repository/index", "/v2/repository/models/other/load", "/v2/logging",
                     "/v2/trace/setting", "/v2/systemsharedmemory/region/x/register",
                     "/v2/models/whole/infer", "/v2/models/whole/generate"):  # fmt: skip
            assert stranger.post(path, content=b"{}").status_code == 403, path
        for path in (
            "/v2",
            "/v2/models/whole",
            "/v2/models/whole/stats",
            "/v2/models/whole/config",
        ):
            assert stranger.get(path).status_code == 403, path
        assert stranger.get("/v2/health/ready").status_code in (200, 400)
    assert not started.loaded("other")


@pytest.mark.parametrize("name", ["nightshift-key", "triton-grpc-protocol-nightshift-key"])
def test_over_grpc_models_load_with_the_key_alone(started: Started, name: str) -> None:
    with TritonControl(started.grpc, headers={name: "x"}) as stranger:
        for attempt in (stranger.index, lambda: stranger.load("other")):
            with pytest.raises(ConfigurationError, match="restricted"):
                attempt()
        assert stranger.live()
    assert not started.loaded("other")


def test_with_the_key_a_model_loads(started: Started) -> None:
    headers = {"triton-grpc-protocol-nightshift-key": KEY}
    with TritonControl(started.grpc, headers=headers) as control:
        control.load("damaged")
    assert started.loaded("damaged")


@pytest.mark.parametrize("lacks", ["NIGHTSHIFT_TRITON_KEY", "NIGHTSHIFT_HOME"])
def test_without_a_key_or_a_home_nothing_starts(tmp_path: Path, lacks: str) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"),
           "NIGHTSHIFT_TRITON_KEY": KEY, "NIGHTSHIFT_HOME": str(tmp_path)}  # fmt: skip
    del env[lacks]
    script = str(ROOT / "docker" / "triton" / "start.sh")
    process = Process(Launch([script], env, tmp_path), tmp_path / "log")
    assert process.process.wait(60) != 0
    assert lacks in (tmp_path / "log").read_text()
