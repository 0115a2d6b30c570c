"""The product's commands on a home of their own, before Airflow and the servers are asked."""

import io
import json
import shutil
import sys

import pytest

from cli import product
from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.settings import Settings
from testing.releases import put_release
from tests.cli.conftest import run


def code(*words):
    return run(product.COMMANDS, *words)


@pytest.fixture
def pipelines(home, tmp_path, monkeypatch, project):
    """Copies of jd and style."""
    folder = tmp_path / "pipelines"
    for name in ("jd", "style"):
        shutil.copytree(project / "pipelines" / name, folder / name)
    shutil.copytree(project / "include", tmp_path / "include")  # jd's SQL
    monkeypatch.setenv("NIGHTSHIFT_PIPELINES", str(folder))
    return folder


def test_check_says_file_key_and_fix_and_a_broken_pipeline_hides_no_other(pipelines, capsys):
    assert code("check", "style") == 0
    assert capsys.readouterr().out.startswith("style: ")
    path = pipelines / "style" / "pipeline.yaml"
    path.write_text(path.read_text() + "shedule: off\n")
    assert code("check") == 1
    said = capsys.readouterr().out
    assert "jd: 0 error(s)" in said
    assert "style: 1 error(s)" in said
    assert f"error  {path}: shedule" in said and "schedule" in said
    assert code("check", "style", "--json") == 1
    (found,) = [one for one in json.loads(capsys.readouterr().out) if one["level"] == "error"]
    assert (found["pipeline"], found["key"]) == ("style", "shedule")


def test_check_of_a_pipeline_that_is_not_there(pipelines, capsys):
    assert code("check", "jdd") == 1
    assert "did you mean 'jd'" in capsys.readouterr().out


def test_pipelines_are_listed_with_their_release_and_a_broken_one_says_so(pipelines, capsys):
    releases = Pipeline.load(Settings.from_env(), "jd").releases
    folder = put_release(releases, "2016-04-10")
    pointer.switch_live(releases, folder.id, probe=lambda *_: [], promote="force")
    (pipelines / "style" / "pipeline.yaml").write_text("version: 1\nfamly: tensor\n")
    assert code("pipelines", "--json") == 0
    jd, style = json.loads(capsys.readouterr().out)
    assert jd["live"].startswith("2016-04-10.001")
    assert jd["family"] == "ctr"
    assert "famly" in style["problem"] and style["live"] is None
    assert code("pipelines") == 0
    assert "broken: " in capsys.readouterr().out


def test_a_folder_without_pipelines_says_how_to_make_one(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("NIGHTSHIFT_PIPELINES", str(tmp_path / "none"))
    assert code("pipelines") == 0
    assert "./nightshift new NAME" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="holds no pipeline; ./nightshift new NAME"):
        code("check")


def test_releases_are_listed_and_as_json(pipelines, capsys):
    assert code("releases", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    releases = Pipeline.load(Settings.from_env(), "jd").releases
    put_release(releases, "2016-04-10", accepted=False)
    assert code("releases") == 0
    assert "AUC is low" in capsys.readouterr().out
    assert code("releases", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["release_id"], row["state"]) == ("2016-04-10.001", "rejected")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ds", "yesterday"], "--ds"),
        (["--ds", "2016-04-10", "--set", "epochs"], "--set epochs: write it as PARAM=VALUE"),
        (["--ds", "2016-04-10", "--set", "train_days=3"], "train_days"),
        (
            ["--ds", "2016-04-10", "--set", 'hyperparameters={"epohcs": 3}'],
            "did you mean 'epochs'",
        ),
    ],
)
def test_a_night_that_cannot_be_meant_is_refused_before_airflow_is_asked(pipelines, words, told):
    with pytest.raises(ConfigurationError, match=told):
        code("run", *words)


def test_a_request_is_json_from_a_file_or_here(pipelines, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"none\.json: No such file"):
        code("predict", "--request", str(tmp_path / "none.json"))
    given = io.TextIOWrapper(io.BytesIO(b"{'id': 1}"))
    monkeypatch.setattr(sys, "stdin", given)
    with pytest.raises(ConfigurationError, match="- is not JSON"):
        code("predict", "--request", "-")


def test_sql_from_standard_input_is_text(pipelines, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT '\xff'")))
    with pytest.raises(ConfigurationError, match="standard input is not UTF-8"):
        code("sql", "-")


def test_each_setting_is_shown_with_its_value(home, capsys):
    assert code("settings") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert f"set: {home}" in lines["NIGHTSHIFT_HOME"]
    assert "set:" not in lines["NIGHTSHIFT_TASK_RUNNER"]
    assert set(lines) >= {"NIGHTSHIFT_OPENMLDB_PORT", "NIGHTSHIFT_PIPELINE"}


def test_each_command_has_one_name_and_a_line_of_help():
    names = [one.name for one in product.COMMANDS]
    assert len(names) == len(set(names))
    assert all(one.help and "\n" not in one.help for one in product.COMMANDS)
