"""Set-up: what is found, what is refused and in which words."""

import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pytest

from laptop.setup import environments
from laptop.setup.environments import AIRFLOW, TASKS
from nightshift.errors import ConfigurationError

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def copy(project, tmp_path):
    """The project's lock files, at another place."""
    for source in {*AIRFLOW.sources, *TASKS.sources}:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project / source, tmp_path / source)
    return tmp_path


def pretend_made(project: Path, environment: environments.Environment) -> None:
    script(environment.python(project), "exit 0")
    stamp = environment.folder(project) / environments.STAMP
    stamp.write_text(environments.fingerprint(project, environment))


def test_a_full_disk_is_told_with_its_folder_the_need_and_what_is_free(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        environments.check_disk(tmp_path, 10**15)
    assert str(tmp_path) in str(caught.value)
    assert "1000000.0 GB are needed" in str(caught.value)
    said = re.search(r"has ([\d.]+) GB free", str(caught.value))
    assert float(said[1]) == pytest.approx(shutil.disk_usage(tmp_path).free / 1e9, rel=0.05)


def test_room_enough_is_no_error(tmp_path):
    environments.check_disk(tmp_path, 1)


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_a_machine_without_wheels_is_refused_by_name(system, machine):
    with pytest.raises(ConfigurationError, match=rf"{system} on {machine}"):
        environments.check_platform(system, machine)


def test_an_environment_counts_until_a_lock_or_its_place_changes(copy, tmp_path_factory):
    assert not environments.is_current(copy, TASKS)
    pretend_made(copy, TASKS)
    assert environments.is_current(copy, TASKS)
    elsewhere = tmp_path_factory.mktemp("moved") / "project"
    shutil.copytree(copy, elsewhere)
    assert not environments.is_current(elsewhere, TASKS)
    with (copy / "tasks/uv.lock").open("a") as lock:
        lock.write("# a newer lock\n")
    assert not environments.is_current(copy, TASKS)


def test_nothing_is_done_or_asked_for_where_both_environments_are_current(copy, monkeypatch):
    pretend_made(copy, AIRFLOW)
    pretend_made(copy, TASKS)
    monkeypatch.setenv("PATH", "/nowhere")
    environments.ensure(copy, tasks=True)
    assert not (copy / ".cache").exists()


def test_a_shim_that_fails_is_passed_over_for_a_real_python_further_on(tmp_path, monkeypatch):
    real = Path(os.path.realpath(sys.executable))
    script(tmp_path / "pyenv" / "shims" / f"python{HERE}", "echo 'version not chosen'; exit 127")
    script(tmp_path / "broken" / f"python{HERE}", "exit 127")
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / f"python{HERE}").symlink_to(real)
    path = os.pathsep.join(str(tmp_path / d) for d in ("pyenv/shims", "broken", "good"))
    env = {"PATH": path, "HOME": str(tmp_path)}
    found = environments.find_python(tmp_path, Path("/no/uv"), (HERE,), env)
    # The tests' own interpreter is in a virtual environment, so PATH decides.
    assert found in (tmp_path / "good" / f"python{HERE}", real)


def test_pyenvs_versions_are_searched_where_path_has_none(tmp_path):
    real = Path(os.path.realpath(sys.executable))
    folder = tmp_path / ".pyenv" / "versions" / f"{HERE}.99" / "bin"
    folder.mkdir(parents=True)
    (folder / f"python{HERE}").symlink_to(real)
    env = {"PATH": "/nowhere", "HOME": str(tmp_path)}
    found = environments.find_python(tmp_path, Path("/no/uv"), (HERE,), env)
    assert found in (folder / f"python{HERE}", real)


def test_without_a_python_the_message_names_three_ways_and_what_uv_said(tmp_path):
    uv = script(tmp_path / "uv", "echo 'no route to the mirror' >&2; exit 2")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    with pytest.raises(ConfigurationError) as caught:
        environments.find_python(tmp_path, uv, ("3.99",), env)
    message = str(caught.value)
    for way in ("put python3.99 on PATH", "pyenv install 3.99", "uv python install 3.99"):
        assert way in message
    assert "no route to the mirror" in message


def test_an_uv_too_old_or_broken_is_not_used(tmp_path, monkeypatch):
    old = script(tmp_path / "old" / "uv", "echo uv 0.1.2")
    shim = script(tmp_path / "shim" / "uv", "echo 'pyenv: uv: command not found' >&2; exit 127")
    good = script(tmp_path / "good" / "uv", "echo uv 0.99.0")
    monkeypatch.setenv("PATH", os.pathsep.join(str(p.parent) for p in (old, shim, good)))
    assert environments.find_uv(tmp_path) == good


def test_what_would_lead_uv_astray_is_left_out_of_its_environment(tmp_path, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("UV_INDEX_URL", "https://mirror.example/simple")
    env = environments.tool_env(tmp_path)
    assert "/elsewhere" not in env.values()
    assert env["UV_INDEX_URL"] == "https://mirror.example/simple"
