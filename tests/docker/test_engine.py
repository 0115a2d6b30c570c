"""The tests' own engine: nothing of it is left, even after it was killed."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.engine import DOCKER, Engine, EngineUnavailable, running

pytestmark = pytest.mark.docker

IMAGE = "sleeper"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with nothing in it, apart from the one that other tests share."""
    made = Engine(tmp_path / "docker" / "data")
    try:
        made.start()
    except EngineUnavailable as error:
        pytest.skip(str(error))
    yield made
    made.stop()


def sleeping_container(engine: Engine) -> str:
    """Start this machine's `sleep` in an image of nothing else."""
    linked = subprocess.run(["ldd", "/bin/sleep"], capture_output=True, text=True, check=True)
    files = {"/bin/sleep", *re.findall(r"(/\S+) \(0x", linked.stdout)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in sorted(files):
            tar.add(Path(name).resolve(), name.lstrip("/"))
    command = [DOCKER, "import", "-", IMAGE]
    subprocess.run(command, env=engine.env, input=packed.getvalue(), check=True)
    return engine.docker("run", "--detach", "--network", "none", IMAGE, "/bin/sleep", "600").strip()


def test_stopped_engine_leaves_no_process_mount_or_socket(engine: Engine) -> None:
    sleeping_container(engine)
    assert len(engine.processes()) >= 3  # dockerd, containerd, a shim
    assert engine.mounts()

    engine.stop()

    assert engine.processes() == []
    assert engine.mounts() == []
    assert not engine.socket.exists()


def test_containers_are_found_again_after_the_engine_was_killed(engine: Engine) -> None:
    container = sleeping_container(engine)

    engine.kill()
    assert not engine.answers()
    engine.restart()

    assert container in engine.docker("ps", "--all", "--quiet", "--no-trunc")


def test_shared_engine_is_one_for_all_who_use_it(docker_engine: Engine) -> None:
    with running() as again:
        assert again is docker_engine
    assert docker_engine.answers()


def test_next_run_clears_what_a_killed_run_left(engine: Engine) -> None:
    # Given a test run that was killed with its engine while a container ran
    sleeping_container(engine)
    engine.kill()
    assert engine._lock is not None
    engine._lock.close()
    engine._process = None
    assert engine.processes()

    # When the next run starts on the same data
    with Engine(engine.data_root) as following:
        # Then images are there, and no container is
        assert IMAGE in following.docker("images", "--format", "{{.Repository}}")
        assert following.docker("ps", "--all", "--quiet") == ""
    assert (following.processes(), following.mounts()) == ([], [])
