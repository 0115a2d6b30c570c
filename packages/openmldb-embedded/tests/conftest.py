"""A real server in a process of its own, for the tests that speak HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared"
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from testing.embedded import ServerProcess  # noqa: E402


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for a module; its database ``db`` exists."""
    folder = tmp_path_factory.mktemp("server")
    found = ServerProcess(folder / "data", "--root", str(folder)).start()
    found.do("CREATE DATABASE db")
    yield found
    assert found.end() == 0


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers on ``tmp_path``, and ends them."""
    made: list[ServerProcess] = []

    def make(*arguments: str, name: str = "data") -> ServerProcess:
        found = ServerProcess(tmp_path / name, "--root", str(tmp_path), *arguments)
        made.append(found)
        return found

    yield make
    for found in made:
        if found.process is not None and found.process.poll() is None:
            found.process.kill()
            found.process.wait()
        found.client.close()


@pytest.fixture
def jd() -> Path:
    """The JD tutorial's tables, where they are at hand."""
    folder = SHARED / "data" / "jd"
    if not folder.is_dir():
        pytest.skip(f"the JD tables are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of seeds, data and cases beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the tutorial's data and OpenMLDB's cases lie there")
    return SHARED
