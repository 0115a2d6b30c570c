"""Which tests share a set-up, and so run in one worker, one after another.

`./nightshift test` runs two workers (pytest-xdist); each takes the next group that nobody has.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

_GROUPS: dict[str, tuple[str, ...]] = {
    # One Docker engine, its images, the night by containers and the same night by processes.
    "night": (
        "tests/docker/",
        "tests/e2e/",
        "tests/plugins/nightshift_provider/runners/test_docker.py",
    ),
    # One Airflow.
    "airflow": ("tests/plugins/",),
    # One Triton and one OpenMLDB, models trained once, a house with nights.
    "serving": (
        "tests/dags/",
        "tests/laptop/triton/",
        "tests/nightshift/live/",
        "tests/nightshift/openmldb/",
        "tests/nightshift/release/",
        "tests/nightshift/triton/",
        "tests/server/predict_server/",
        "tests/tasks/",
    ),
}
"""Beginnings of paths by group, the longest group first; any other file is a group of its own."""

SERVICE_FOLDERS = ("tests/dags", "tests/docker", "tests/e2e", "tests/plugins", "tests/tasks")
"""Where every test starts a server, a training or Airflow."""


def group(path: str) -> str:
    """The group of a test file.

    Args:
        path: relative to the project, or a node id.
    """
    file = path.split("::", 1)[0]
    for name, beginnings in _GROUPS.items():
        if file.startswith(beginnings):
            return name
    return file


def rank(path: str) -> int:
    """Where a file's group comes in a run: long groups first, so that workers end together."""
    names = list(_GROUPS)
    name = group(path)
    return names.index(name) if name in names else len(names)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """A worker gets a group as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
