"""Triton from its wheel: the backend directory, the command, a restart."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from laptop.triton.launch import TasksPython, assemble_backends, command
from nightshift import credentials
from nightshift import triton as publishing
from nightshift.errors import ConfigurationError, ContractError
from nightshift.triton import TritonControl
from nightshift.triton.repository import version_folder
from testing.serving import Process, Triton, serving_settings, spoil, wait_until
from tests.tasks.conftest import TASKS_PYTHON


@pytest.fixture(scope="module")
def python():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    return TasksPython.inspect(TASKS_PYTHON)


def tree(folder):
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.stat().st_size
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def test_the_backend_directory_holds_copies_where_triton_refuses_links(tmp_path, python, project):
    target = assemble_backends(tmp_path / "backends", python, project)
    made = tree(target)
    assert set(made) == {
        "oneflow/model.py",
        "python/libtriton_python.so",
        "python/triton_python_backend_utils.py",
        "python/triton_python_backend_stub",
    }
    assert not (target / "python" / "libtriton_python.so").is_symlink()
    assert not (target / "oneflow" / "model.py").is_symlink()
    stub = (target / "python" / "triton_python_backend_stub").readlink()
    assert stub.parent.name == python.version
    assert os.access(stub, os.X_OK)


def test_assembling_again_repairs_what_was_spoilt(tmp_path, python, project):
    target = assemble_backends(tmp_path / "backends", python, project)
    made = tree(target)
    (target / "oneflow" / "model.py").write_text("spoilt")
    (target / "python" / "libtriton_python.so").unlink()
    stub = target / "python" / "triton_python_backend_stub"
    stub.unlink()
    stub.write_bytes(b"a copy, whose libraries are not found")
    assemble_backends(target, python, project)
    assert tree(target) == made


def test_a_python_without_the_wheel_is_named_with_the_command_that_mends_it(
    tmp_path, python, project
):
    bare = dataclasses.replace(python, site_packages=tmp_path)
    with pytest.raises(ConfigurationError, match="--group triton"):
        assemble_backends(tmp_path / "backends", bare, project)


@pytest.mark.parametrize("content", [None, "#!/bin/sh\nexit 3\n"])
def test_a_python_that_does_not_run_is_named(tmp_path, content):
    executable = tmp_path / "python"
    if content:
        executable.write_text(content)
        executable.chmod(0o755)
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_TASK_PYTHON"):
        TasksPython.inspect(executable)


def test_an_empty_server_listens_on_the_loopback_only(tmp_path, python):
    settings = serving_settings(tmp_path)
    launch = command(settings)
    addresses = [a for a in launch.argv if "-address=" in a]
    assert len(addresses) == 3
    assert all(a.endswith("=127.0.0.1") for a in addresses)
    assert f"--grpc-port={settings.triton_grpc_port}" in launch.argv
    assert not any(a.startswith("--load-model") for a in launch.argv)


def test_the_models_run_in_the_tasks_environment(tmp_path, python):
    launch = command(serving_settings(tmp_path))
    first = Path(launch.env["PATH"].split(os.pathsep)[0])
    assert (first / "python3").samefile(TASKS_PYTHON)
    folders = launch.env["LD_LIBRARY_PATH"].split(os.pathsep)
    assert any((Path(f) / f"libpython{python.version}.so.1.0").exists() for f in folders)


def test_a_restarted_server_serves_what_the_stopped_one_did(tmp_path, python, trained):
    home = tmp_path / "a house with blanks"
    home.mkdir()
    settings = serving_settings(home)
    repo, model = settings.model_repo, "jd_test00"
    server = Process(command(settings), home / "triton.log")
    running = Triton(settings, server, TritonControl.of(settings))
    versions = (20160401001, 20160402001)

    def restart():
        running.server.stop()
        running.server = Process(command(settings), home / "triton.log")
        running.control.close()
        running.control = TritonControl.of(settings)
        running.wait_live()

    try:
        running.wait_live()
        for version, folder in zip(versions, trained.models, strict=True):
            publishing.publish(running.control, repo, model, version, folder)
        restart()
        assert f"--load-model={model}" in running.server.launch.argv
        for which, version in enumerate(versions):
            wait_until(lambda v=version: running.control.ready(model, v), f"{version} serves")
            trained.check(running.control, model, version, which)
        # One damaged version fails or crashes a load of all; the others must come back.
        spoil(version_folder(repo, model, versions[1]), "no vocabulary")
        restart()
        assert not any(a.startswith("--load-model") for a in running.server.launch.argv)
        with pytest.raises(ContractError, match=f"{versions[1]}: "):
            publishing.revive(running.control, repo, model)
        trained.check(running.control, model, versions[0], 0)
    finally:
        running.control.close()
        running.server.stop()


# Who may load a model: it runs code.


@pytest.fixture(scope="module")
def evil(triton):
    """A model of the python backend that writes a file when it is loaded."""
    folder = triton.repo / "evil"
    (folder / "1").mkdir(parents=True)
    proof = triton.settings.home / "it ran"
    (folder / "1" / "model.py").write_text(f"open({str(proof)!r}, 'w')\n")
    (folder / "config.pbtxt").write_text('name: "evil"\nbackend: "python"\n')
    yield proof
    shutil.rmtree(folder)


CONTROL = [
    "/v2/repository/index",
    "/v2/repository/models/evil/load",
    "/v2/repository/models/evil/unload",
    "/v2/trace/setting",
    "/v2/logging",
    "/v2/systemsharedmemory/region/x/register",
]


@pytest.mark.parametrize("path", CONTROL)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain", "Origin": "http://evil.example", "Host": "evil.example"},
        {"nightshift-key": ""},
        {"nightshift-key": "x"},
    ],
)
def test_http_control_is_closed_without_the_key(triton, evil, path, headers):
    url = f"http://127.0.0.1:{triton.settings.triton_http_port}{path}"
    answer = httpx.post(url, content=b"{}", headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert not evil.exists()


def test_http_control_of_a_model_by_other_spellings_is_closed(triton, evil):
    for path in ("/v2//repository/models/evil/load", "/v2/repository/models/ev%69l/load",
                 "/v2/repository/models/evil/load?x=1", "//v2/repository/models/evil/load"):  # fmt: skip
        url = f"http://127.0.0.1:{triton.settings.triton_http_port}{path}"
        assert httpx.post(url, content=b"{}", trust_env=False).status_code >= 400
        assert not evil.exists()


def test_no_web_page_asks_or_ends_the_server(triton):
    """A tensor in JSON that says 2**40 rows ended the server, and pages may send text unasked."""
    url = f"http://127.0.0.1:{triton.settings.triton_http_port}/v2/models/m"
    tensor = {"name": "INPUT_0", "datatype": "INT64", "shape": [2**40, 32], "data": [0] * 32}
    page = {"Content-Type": "text/plain", "Origin": "http://evil.example"}
    for path in ("/infer", "/versions/1/infer", "/generate", "/generate_stream"):
        body = json.dumps({"inputs": [tensor]})
        assert (
            httpx.post(url + path, content=body, headers=page, trust_env=False).status_code == 403
        )
    for path in ("", "/versions/1", "/stats", "/config"):
        answer = httpx.get(url + path, headers={"Host": "evil.example"}, trust_env=False)
        assert answer.status_code == 403
    assert triton.control.live()


def test_what_models_are_handed_is_their_users_alone(triton, trained):
    model = triton.new_model()
    publishing.publish(triton.control, triton.repo, model, 1, trained.models[0])
    shared = {
        Path(line.split(maxsplit=5)[5])
        for pid in triton.stubs()
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        if "/dev/shm/" in line
    }
    assert shared
    assert not [path for path in shared if path.stat().st_mode & 0o077]


def test_grpc_control_is_closed_without_the_key(triton, evil):
    url = triton.settings.triton_grpc_url
    for headers in ({}, {"triton-grpc-protocol-nightshift-key": "x"}, {"nightshift-key": "x"}):
        with TritonControl(url, headers=headers) as stranger:
            for attempt in (stranger.index, lambda s=stranger: s.load("evil")):
                with pytest.raises(ConfigurationError, match="restricted"):
                    attempt()
    with grpcclient.InferenceServerClient(url) as stranger:
        for call in (
            lambda: stranger.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}),
            lambda: stranger.update_log_settings({"log_verbose_level": 1}),
            lambda: stranger.register_system_shared_memory("x", "/x", 1),
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()
    assert not evil.exists()


def test_with_the_key_models_load(triton, evil):
    with pytest.raises(ContractError, match="evil"):
        triton.control.load("evil")  # it runs, and has no TritonPythonModel
    assert evil.exists()
    evil.unlink()


def test_nobody_sees_the_key_among_the_processes(triton):
    key = credentials.read(triton.settings, credentials.TRITON_KEY)
    processes = [triton.server.process.pid, *triton.stubs()]
    for pid in processes:
        assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert Path(f"/proc/{pid}/environ").stat().st_mode & 0o077 == 0
    assert key not in " ".join(triton.server.launch.argv)
    assert b"tritonserver" in Path(f"/proc/{processes[0]}/cmdline").read_bytes()
