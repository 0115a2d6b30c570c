"""What the demo of a week refuses before it makes anything."""

import argparse

import pytest

from laptop import commands
from laptop.week import run
from nightshift.errors import ConfigurationError


def asked(*words):
    parser = argparse.ArgumentParser()
    commands._demo_arguments(parser)
    return parser.parse_args(["--week", *words])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--week-days", "2"], "--week-days is 2; give 3 to 31"),
        (["--week-days", "32"], "--week-days is 32; give 3 to 31"),
        (["--rows-per-day", "299"], "--rows-per-day is 299; a week needs 300"),
        (["--speed", "-1"], "--speed is -1; give 0"),
        (["--data", "/somewhere"], "leave --data out"),
        (["--ds", "today"], "--ds"),
    ],
)
def test_what_cannot_be_played_is_refused_before_a_home_is_made(tmp_path, monkeypatch, words, told):
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigurationError, match=told):
        run.run(asked(*words))
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_holds_something_else_is_left_alone(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "precious").write_text("")
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(home))
    with pytest.raises(ConfigurationError, match="in use"):
        run.run(asked())
    assert [path.name for path in home.iterdir()] == ["precious"]


def test_the_bad_releases_hyperparameters_are_ones_that_training_takes(project):
    from nightshift.modules import of_tasks

    known = of_tasks(project, "tasks.ctr.train.hyperparameters")
    made = known.Hyperparameters(**run.BAD)
    assert (made.trees, made.label_smoothing) == (0, 0.95)
