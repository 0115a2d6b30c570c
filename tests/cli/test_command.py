"""What all subcommands share: the pipeline that is meant."""

import argparse

import pytest

from cli.command import INTERNAL, Command, add_pipeline, chosen
from nightshift.errors import ConfigurationError


@pytest.fixture
def pipelines(tmp_path, monkeypatch):
    for name in ("shop", "books"):
        (tmp_path / "pipelines" / name).mkdir(parents=True)
        (tmp_path / "pipelines" / name / "pipeline.yaml").write_text("version: 1\n")
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("NIGHTSHIFT_PIPELINE", "shop")


def meant(*words):
    parser = argparse.ArgumentParser()
    add_pipeline(parser)
    return chosen(parser.parse_args(list(words)))


def test_the_option_goes_before_the_variable(pipelines):
    assert meant().name == "shop"
    assert meant("--pipeline", "books").name == "books"


def test_a_pipeline_that_is_not_there_comes_with_the_nearest_one(pipelines):
    with pytest.raises(ConfigurationError, match=r"'boks'.*did you mean 'books'"):
        meant("--pipeline", "boks")
    with pytest.raises(ConfigurationError, match="not a pipeline's name"):
        meant("--pipeline", "")


def test_a_command_asks_for_nothing_that_it_does_not_name():
    command = Command("x", "does x", lambda arguments: 0)
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    assert vars(parser.parse_args([])) == {}
    assert command.needs == ()
    # What the launcher tells itself is no setting that a person could see.
    assert not [name for name in INTERNAL if name.startswith("NIGHTSHIFT_")]
