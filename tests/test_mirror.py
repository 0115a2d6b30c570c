"""Tests mirror the source: a module `a/b.py` has `tests/a/test_b.py`.

Modules of one kind that a registry names may share one test file, which asks each of them the
same questions (`SHARED`).
"""

from pathlib import Path
from typing import get_args

import pytest

from nightshift.config.recommend import RETRIEVERS
from tasks.ctr.train.hyperparameters import Family

ROOT = Path(__file__).resolve().parents[1]
HOMES = {
    "src/nightshift": "tests/nightshift",
    "plugins/nightshift_provider": "tests/plugins/nightshift_provider",
    "server": "tests/server",
    "tasks": "tests/tasks",
    "cli": "tests/cli",
    "laptop": "tests/laptop",
    **{
        f"packages/{name}/src/{name.replace('-', '_')}": f"packages/{name}/tests"
        # openmldb-embedded is tested as a whole, against recorded answers of the real engine.
        for name in (
            "http-arrival",
            "nightshift-client",
            "openmldb-compiler",
            "openmldb-files",
            "openmldb-sql",
        )
    },
}
SHARED = {
    "tasks/ctr/train/models": (get_args(Family), "tests/tasks/ctr/train/models/test_families.py"),
    "src/nightshift/recommend/retrievers": (
        RETRIEVERS,
        "tests/nightshift/recommend/retrievers/test_retrievers.py",
    ),
}
"""By folder: the modules of its registry, and the test that is parametrized by that registry."""


def own_test(module, source, tests):
    """The test file of a module."""
    names, shared = SHARED.get(module.parent.relative_to(ROOT).as_posix(), ((), ""))
    if module.stem in names:
        return ROOT / shared
    place = module.relative_to(ROOT / source)
    return ROOT / tests / place.parent / f"test_{place.name}"


def without_own_test():
    return {
        module.relative_to(ROOT).as_posix()
        for source, tests in HOMES.items()
        for module in (ROOT / source).rglob("*.py")
        if module.name not in ("__init__.py", "__main__.py")
        and not own_test(module, source, tests).is_file()
    }


def test_a_module_has_a_test_file_of_its_own():
    assert sorted(without_own_test()) == [], "write tests/.../test_<module>.py for each"


@pytest.mark.parametrize(("source", "tests"), HOMES.items())
def test_every_source_folder_is_looked_at(source, tests):
    modules = list((ROOT / source).rglob("*.py"))
    assert modules
    assert any(own_test(module, source, tests).is_file() for module in modules)
