"""Folders of tasks that nobody will read any more are removed, and no others."""

import os

import pytest
from nightshift_provider.runners.base import ENDED_S, task_folders
from nightshift_provider.runners.reaper import reap

from nightshift import files
from nightshift.settings import Settings

NOW = 2_000_000_000.0


@pytest.fixture
def settings(tmp_path):
    return Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)})


def left(settings, name, age_s, deadline):
    folder = task_folders(settings.home) / name
    folder.mkdir(parents=True)
    files.write_json(folder / "spec.json", {"deadline": deadline})
    for path in (folder / "spec.json", folder):
        os.utime(path, (NOW - age_s, NOW - age_s))
    return folder


def test_an_ended_task_is_kept_for_a_day_for_its_retry(settings):
    old = left(settings, "old", ENDED_S + 60, NOW - ENDED_S)
    young = left(settings, "young", ENDED_S - 60, NOW - ENDED_S)
    assert reap(settings, now=NOW) == ["old"]
    assert (old.exists(), young.exists()) == (False, True)


def test_the_caller_s_own_task_is_spared(settings):
    left(settings, "mine", ENDED_S + 60, NOW - ENDED_S)
    assert reap(settings, now=NOW, sparing="mine") == []


def test_a_home_without_tasks_has_nothing_left_over(settings):
    assert reap(settings, now=NOW) == []
