"""What tests of several parts share."""

import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# laptop/ and tasks/ are not installed: they run from the project folder, in tests too.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from testing.groups import SERVICE_FOLDERS  # noqa: E402

_SERVICE_FIXTURES = {
    *(
        "cluster",
        "triton",
        "openmldb_server",
        "trained",
        "nights",
        "demo",
        "laptop_house",
        "house",
        "airflow",
    ),
    *(
        "airflow_home",
        "openmldb",
        "server",
        "new_server",
        "workshop",
        "found",
        "parsed",
        "web",
        "engine",
        "spark",
    ),
}
"""A test that uses one of these starts a server, a training or Airflow."""


def _needs_services(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    folder = item.path.relative_to(ROOT).as_posix() if item.path.is_relative_to(ROOT) else ""
    return bool(fixtures & _SERVICE_FIXTURES) or folder.startswith(SERVICE_FOLDERS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Share out whole groups of tests: `testing/groups.py`."""
    from testing.groups import GroupScheduling

    return GroupScheduling(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import folders of which `./nightshift test --fast` runs nothing."""
    fast = str(config.getoption("markexpr")).startswith("not (services ")
    folder = collection_path.relative_to(ROOT).as_posix()
    return True if fast and folder in SERVICE_FOLDERS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs services, and put tests in the order of their groups."""
    from testing.groups import rank

    for item in items:
        if _needs_services(item):
            item.add_marker(pytest.mark.services)
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture(scope="session")
def project() -> Path:
    """The project folder."""
    return ROOT


@pytest.fixture(scope="session")
def jd_folder() -> Path:
    """The JD tutorial's parquet files; they are not part of the repository."""
    folder = ROOT.parent / "shared" / "data" / "jd"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: the JD tutorial's tables are not in the repository")
    return folder


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback that nothing listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# A night, and Triton, OpenMLDB and trained models: once a session, for all tests that ask.
from testing.nights import demo, laptop_house  # noqa: E402, F401
from testing.serving import openmldb_server, serving_home, trained, triton  # noqa: E402, F401
