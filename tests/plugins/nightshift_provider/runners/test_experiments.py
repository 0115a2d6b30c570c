"""An experiment's tasks by a runner: found again, judged, and gone with the experiment."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from nightshift_provider.runners import experiments
from nightshift_provider.runners.docker import DockerRunner
from nightshift_provider.runners.experiments import ByRunner, starter
from nightshift_provider.runners.process import ProcessRunner

from nightshift.errors import ContractError, RetryableError
from nightshift.experiment.starting import Processes
from nightshift.settings import Settings
from tests.plugins.small_task import TASK, alive, folders, until

KEY = "0123456789abcdef"


@pytest.fixture
def settings(tmp_path):
    """Of a project whose training is the small task."""
    (tmp_path / "project" / "include").mkdir(parents=True)
    package = tmp_path / "project" / "tasks" / "ctr" / "train"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(TASK)
    python = Path(sys.executable)
    return Settings(home=tmp_path / "home", project=tmp_path / "project", task_python=python)


@pytest.fixture
def place(settings):
    return settings.home / "runs" / "jd" / "experiments" / "trainings" / KEY


@pytest.fixture
def by(settings, place, monkeypatch):
    monkeypatch.setattr(experiments, "LOOK_S", 0.0)
    monkeypatch.setattr(experiments, "GRACE_S", 5.0)
    yield ByRunner(settings, ProcessRunner())
    if place.is_dir():
        (place / "go").touch()


def start(by, place, what):
    return by.start("train", [str(place / "train.json"), what], place)


def code_of(task):
    end = time.monotonic() + 60
    while (code := task.code()) is None:
        assert time.monotonic() < end, "it ends"
        time.sleep(0.02)
    return code


def starts(place):
    path = place / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_tasks_are_containers_where_a_nights_are(settings, monkeypatch):
    assert type(starter(settings)) is Processes
    monkeypatch.setenv("NIGHTSHIFT_TASK_RUNNER", "docker")
    found = starter(Settings.from_env())
    assert isinstance(found, ByRunner)
    assert isinstance(found.runner, DockerRunner)


@pytest.mark.parametrize(("what", "code"), [("go", 0), ("exit64", 64), ("exit75", 75)])
def test_a_task_ends_with_its_code_and_leaves_its_log(by, place, settings, what, code):
    assert code_of(start(by, place, what)) == code
    assert (place / "train.log").read_text().splitlines()[0] == "started None"
    assert folders(settings.home.parent) == []


def test_a_task_of_a_dead_worker_is_followed_and_not_started_twice(by, place, settings):
    start(by, place, "wait")
    until(lambda: starts(place), "it starts")
    again = start(ByRunner(settings, ProcessRunner()), place, "wait")
    assert again.code() is None
    (place / "go").touch()
    assert code_of(again) == 0
    assert len(starts(place)) == 1


def test_what_ended_meanwhile_is_taken_if_it_ended_well_and_else_done_anew(by, place, settings):
    for what, runs in (("go", 1), ("exit75", 3)):
        first = start(by, place, what)
        until(
            lambda first=first: first._starter.runner.status(first._spec).exit_code is not None, ""
        )
        code_of(start(ByRunner(settings, ProcessRunner()), place, what))
        assert len(starts(place)) == runs
    assert folders(settings.home.parent) == []


def test_an_experiment_that_ends_ends_its_tasks(by, place, settings):
    task = start(by, place, "wait")
    until(lambda: starts(place), "it starts")
    (pid,) = starts(place)
    by.close()
    with pytest.raises(RetryableError, match="ended from outside"):
        task.code()
    task.end()
    assert not alive(pid)
    assert "told to stop" in (place / "train.log").read_text()
    assert folders(settings.home.parent) == []
    task.end()


def test_a_task_that_was_removed_may_be_tried_again(by, place):
    task = start(by, place, "wait")
    by.runner.remove(task._spec)
    assert code_of(task) == 75
    assert "is not there any more" in (place / "train.log").read_text()


def test_a_task_past_its_time_is_stopped(by, place, settings, monkeypatch):
    monkeypatch.setattr(experiments, "LIMIT_S", 0.5)
    task = start(by, place, "wait")
    until(lambda: starts(place), "it starts")
    time.sleep(0.5)
    assert code_of(task) == 75
    assert "had not ended after" in (place / "train.log").read_text()
    assert folders(settings.home.parent) == []


def test_a_link_that_a_task_left_is_not_followed(by, place):
    task = start(by, place, "linked")
    with pytest.raises(ContractError, match="is a link"):
        code_of(task)
