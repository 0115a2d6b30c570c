"""Every runner that a setting may name has its class."""

import pytest
from nightshift_provider.runners import runner_class
from nightshift_provider.runners.base import Runner

from nightshift.errors import ConfigurationError
from nightshift.runners import RUNNERS
from nightshift.settings import Settings


@pytest.mark.parametrize("kind", RUNNERS)
def test_a_runner_is_made_by_its_name_and_asks_no_engine_yet(kind):
    assert issubclass(runner_class(kind), Runner)
    made = runner_class(kind).connect("unix:///nowhere.sock", None)
    assert isinstance(made, runner_class(kind))
    assert Settings.from_env({"NIGHTSHIFT_TASK_RUNNER": kind}).task_runner == kind


def test_another_name_is_refused_where_settings_are_read_and_where_one_is_made():
    with pytest.raises(ConfigurationError, match="process, docker"):
        Settings.from_env({"NIGHTSHIFT_TASK_RUNNER": "podman"})
    with pytest.raises(ConfigurationError, match="process or docker"):
        runner_class("podman")
