"""A registry's name is a module with one class."""

import subprocess
import sys

import pytest

from nightshift.modules import class_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "kinds_of_test").mkdir()
    folder = tmp_path / "kinds_of_test"
    (folder / "__init__.py").touch()
    (folder / "base.py").write_text("class Kind: pass\n")
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (folder / f"{name}.py").write_text("from kinds_of_test.base import Kind\n" + text)

    yield write
    for name in [name for name in sys.modules if name.startswith("kinds_of_test")]:
        del sys.modules[name]


def base():
    return __import__("kinds_of_test.base", fromlist=["Kind"]).Kind


def test_the_class_that_a_module_defines_is_found_beside_what_it_imports(package):
    package("other", "class Other(Kind): pass\n")
    package(
        "one",
        "from kinds_of_test.other import Other\nclass One(Kind): pass\nclass Not: pass\n"
        "Rows = list[int]\n",
    )
    assert class_of("kinds_of_test", "one", base()).__name__ == "One"


@pytest.mark.parametrize(
    ("text", "found"), [("", "none"), ("class A(Kind): pass\nclass B(Kind): pass\n", "A, B")]
)
def test_a_module_without_one_class_is_named(package, text, found):
    package("bad", text)
    with pytest.raises(
        ImportError, match=f"kinds_of_test.bad must define one class of Kind.*{found}"
    ):
        class_of("kinds_of_test", "bad", base())


def test_a_module_that_is_not_there_is_an_import_error(package):
    with pytest.raises(ImportError, match="nonesuch"):
        class_of("kinds_of_test", "nonesuch", base())


ASTRAY = """
import sys
from pathlib import Path
from nightshift.modules import of_tasks
assert not Path(sys.argv[1]) in map(Path, sys.path)
before = list(sys.path)
print(of_tasks(Path(sys.argv[1]), "tasks.ctr.train.hyperparameters").NAMES[0])
assert sys.path == before
"""


def test_tasks_are_found_where_the_project_is_not_on_the_path(project, tmp_path):
    def ask(folder):
        command = [sys.executable, "-P", "-c", ASTRAY, str(folder)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={})

    done = ask(project)
    assert done.stdout == "family\n", done.stderr
    assert "ModuleNotFoundError: No module named 'tasks'" in ask(tmp_path).stderr
