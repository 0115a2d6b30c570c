"""The laptop profile's commands as far as they go without services."""

import json
import os
import sys

import pytest

from laptop import commands
from nightshift import credentials
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings
from tests.cli.conftest import home, run

__all__ = ["home"]


def code(*words):
    return run(commands.COMMANDS, *words)


@pytest.mark.parametrize("command", ["up", "down", "logs"])
def test_a_service_that_there_is_not_comes_with_those_there_are(home, command):
    with pytest.raises(ConfigurationError, match="tritn is not a service; there are .*triton"):
        code(command, "tritn")
    assert not (home / "logs").exists()


def test_nothing_runs(home, capsys):
    assert code("status", "--json") == 3
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} == {"stopped"}
    assert {"openmldb", "triton", "predict"} <= {row["name"] for row in rows}
    assert code("status") == 3
    assert "triton" in capsys.readouterr().out
    assert code("down") == 0
    assert capsys.readouterr().out == "Nothing was running.\n"


def test_logs_that_are_not_there_yet(home):
    with pytest.raises(ConfigurationError, match="nightshift up makes them"):
        code("logs")


@pytest.mark.parametrize("lines", ["-1", "many"])
def test_lines_of_a_log_are_a_number(home, lines, capsys):
    with pytest.raises(SystemExit):
        code("logs", "-n", lines)
    assert lines in capsys.readouterr().err


def test_the_password_is_the_one_that_up_makes(home, capsys):
    with pytest.raises(ConfigurationError, match="there is no password yet; ./nightshift up"):
        code("password")
    made = credentials.ensure(Settings.from_env(), credentials.AIRFLOW_PASSWORD)
    assert code("password") == 0
    assert capsys.readouterr().out == f"{made}\n"


@pytest.fixture
def becomes(monkeypatch):
    """What the process would have become."""
    found = []

    def execve(program, argv, env):
        found.append((argv, env))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(os, "chdir", lambda path: None)

    def of(name, *rest):
        command = {one.name: one for one in commands.COMMANDS}[name]
        with pytest.raises(SystemExit):
            command.run(type("Given", (), {"rest": list(rest)})())
        return found[-1]

    return of


def test_tests_run_in_two_processes_unless_pytest_is_told_which_or_how(becomes, project):
    def workers(*rest):
        argv, _ = becomes("test", *rest)
        assert argv[:3] == [sys.executable, "-m", "pytest"]
        return "-n" in argv and argv[argv.index("-n") + 1]

    assert workers() == "2"
    assert workers("-k", "night") == "2"
    assert workers(str(project / "tests")) is False
    assert workers("-n0") is False


def test_the_fast_tier_leaves_out_what_needs_services(becomes, monkeypatch):
    monkeypatch.setenv("_NIGHTSHIFT_INSIDE", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    argv, env = becomes("test", "--fast", "-q")
    assert argv[argv.index("-m", 2) :].count("--fast") == 0
    assert "not (services or slow or docker or e2e)" in argv and "-q" in argv
    assert not {"PYTHONPATH", "_NIGHTSHIFT_INSIDE"} & set(env)


def test_data_passes_its_words_on(becomes):
    argv, _ = becomes("data", "load", "--from", "a folder")
    assert argv == [sys.executable, "-P", "-m", "laptop.data.cli", "load", "--from", "a folder"]


def test_help_of_a_part_of_data_is_that_parts():
    command = {one.name: one for one in commands.COMMANDS}["data"]
    assert command.help_of is not None
    assert "--rows-per-day" in command.help_of(["generate"]).format_help()
    assert "generate" in command.help_of(["nothing"]).format_help()
