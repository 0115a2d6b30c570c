"""The launcher as a person calls it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import INSIDE
from cli.console import say
from cli.main import main
from laptop.services import catalogue
from laptop.setup import environments
from nightshift import settings as settings_module


@pytest.fixture
def call(project, tmp_path):
    def run(*arguments: str, launcher: Path | None = None, python: str = sys.executable, **env):
        home = {"NIGHTSHIFT_HOME": str(tmp_path / "home")}
        return subprocess.run(
            [python, str(launcher or project / "nightshift"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **home, **env},
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def ports(free_port):
    """Ports that nobody listens on, so that nothing of this machine answers."""
    names = ("OPENMLDB", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "PREDICT", "AIRFLOW")
    return {f"NIGHTSHIFT_{name}_PORT": str(free_port) for name in names}


def test_help_names_every_command_of_the_readme(call, project):
    done = call("help")
    assert done.returncode == 0
    readme = (project / "README.md").read_text()
    named = set(re.findall(r"\./nightshift ([a-z]+)", readme))
    assert {"demo", "up", "down", "status", "logs", "predict", "test"} <= named
    offered = set(re.findall(r"^    ([a-z]+)(?:  |$)", done.stdout, re.MULTILINE))
    assert named <= offered


def test_it_runs_from_elsewhere_and_through_a_link_with_a_blank_in_it(call, project, tmp_path):
    (tmp_path / "my tools").mkdir()
    link = tmp_path / "my tools" / "ns"
    link.symlink_to(project / "nightshift")
    assert call("settings", launcher=link).returncode == 0


def test_a_file_of_the_working_folder_shadows_nothing(call, tmp_path):
    for name in ("laptop.py", "json.py", "nightshift.py", "argparse.py"):
        (tmp_path / name).write_text("raise SystemExit('shadowed')")
    assert call("settings").returncode == 0


def test_settings_lists_every_variable_and_marks_what_is_set(call):
    done = call("settings", NIGHTSHIFT_SCHEDULES="off")
    for variable, _, _ in settings_module.describe():
        assert re.search(rf"^{variable} ", done.stdout, re.MULTILINE), variable
    assert re.search(r"^NIGHTSHIFT_SCHEDULES +set: off ", done.stdout, re.MULTILINE)


def test_settings_shows_what_follows_from_what_is_set(call, tmp_path):
    said = call("settings", NIGHTSHIFT_HOME=str(tmp_path)).stdout
    assert re.search(rf"^NIGHTSHIFT_DATA +{tmp_path}/data ", said, re.MULTILINE)
    assert re.search(rf"^NIGHTSHIFT_MODEL_REPO +{tmp_path}/model_repo ", said, re.MULTILINE)


def test_a_wrong_setting_is_one_line_and_no_traceback(call):
    done = call("status", NIGHTSHIFT_PREDICT_PORT="http")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "NIGHTSHIFT_PREDICT_PORT is 'http'" in done.stderr


def test_status_of_nothing(call, ports):
    done = call("status", "--json", **ports)
    assert done.returncode == 3
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == list(catalogue.NAMES)
    assert {row["state"] for row in rows} == {"stopped"}


def test_down_of_nothing_is_no_error(call, ports):
    done = call("down", **ports)
    assert (done.returncode, done.stdout) == (0, "Nothing was running.\n")


def test_an_unknown_service_is_answered_with_those_there_are(call):
    done = call("logs", "postgres")
    assert done.returncode == 1
    assert "postgres is not a service; there are openmldb, triton" in done.stderr


def test_predict_without_a_server_says_who_did_not_answer_and_the_mend(call, tmp_path, ports):
    (tmp_path / "request.json").write_text("{}")
    done = call("predict", "--request", "request.json", **ports)
    assert done.returncode == 1
    assert ports["NIGHTSHIFT_PREDICT_PORT"] in done.stderr
    assert "./nightshift up" in done.stderr


@pytest.mark.parametrize(
    ("content", "said"), [("{", "is not JSON"), (None, "No such file or directory")]
)
def test_predict_with_a_request_that_is_none(call, tmp_path, content, said):
    if content is not None:
        (tmp_path / "request.json").write_text(content)
    done = call("predict", "--request", "request.json")
    assert done.returncode == 1
    assert "request.json" in done.stderr
    assert said in done.stderr


def old_python() -> Path | None:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob("versions/3.[6-9].*/bin/python3"))
    return found[0] if found else None


def test_an_old_python_is_told_what_is_needed(call):
    python = old_python()
    if python is None:
        pytest.skip("no Python older than 3.10 in pyenv on this machine")
    done = call("help", python=str(python), PATH="/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("nightshift: Python 3.11 or newer is needed; this one is 3.")


def test_an_old_python_hands_over_to_a_newer_one_on_path(call, tmp_path):
    python = old_python()
    if python is None:
        pytest.skip("no Python older than 3.10 in pyenv on this machine")
    (tmp_path / "bin").mkdir()
    newer = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "bin" / newer).symlink_to(os.path.realpath(sys.executable))
    done = call("help", python=str(python), PATH=str(tmp_path / "bin"))
    assert done.returncode == 0
    assert "one whole night" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["sql", b"SELECT '\xff'"], {}, "is not UTF-8"),
        (["releases", "--pipeline", "../.."], {}, "is not a pipeline's name"),
        (["logs", "-n", "-5"], {}, "-5 is below 0"),
        (["up", "nothing"], {}, "nothing is not a service"),
        (["status"], {"NIGHTSHIFT_OPENMLDB_PORT": "abc"}, "must be of type int"),
        (["run", "--ds", "2026-11-19", "--set", "train_days=4"], {}, "at least 1 to train on"),
        (["run", "--ds", "2026-11-19", "--set", 'hyperparameters={"epoch": 2}'], {}, "'epochs'"),
        (["data", "check", "--ds", "2026-99-99"], {}, "nightshift: "),
        (["data", "reload", "--table", "bo_user", "--ds", "1999-01-01"], {}, "is a snapshot"),
        (["data", "reload", "--table", "action", "--ds", "1999-01-01"], {}, "no partition"),
        (["releases", "--pipeline", ""], {}, "is not a pipeline's name"),
        (["explain", "../../x"], {}, "is not a receipt"),
    ],
)
def test_odd_arguments_get_one_line_and_no_traceback(call, tmp_path, arguments, variables, said):
    done = call(*arguments, NIGHTSHIFT_HOME=str(tmp_path / "home"), **variables)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "home" / "logs").exists()


def test_an_empty_name_does_not_mean_all_pipelines(call, tmp_path):
    done = call("check", "", NIGHTSHIFT_HOME=str(tmp_path / "home"))
    assert (done.returncode, "there is no pipeline ''" in done.stdout) == (1, True)


class _Entered(Exception):
    pass


@pytest.mark.parametrize(("command", "on"), [("completion", "err"), ("setup", "out")])
def test_set_up_is_no_part_of_what_another_command_prints(monkeypatch, capsys, command, on):
    def entered(*_):
        raise _Entered

    monkeypatch.delenv(INSIDE, raising=False)
    monkeypatch.setattr(os, "execve", entered)
    monkeypatch.setattr(environments, "ensure", lambda *_, **__: say("Setting up"))
    with pytest.raises(_Entered):
        main([command, *(["bash"] if command == "completion" else [])])
    printed = capsys.readouterr()
    assert getattr(printed, on) == "Setting up\n"
    assert printed.out + printed.err == "Setting up\n"
