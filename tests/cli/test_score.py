"""`./nightshift score`: what is refused before anything is read."""

import argparse

import pytest

from cli import score
from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


def given(*words):
    parser = argparse.ArgumentParser()
    score.arguments(parser)
    return parser.parse_args([*words, "--out", "lists"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--top", "0"], "at least 1"),
        (["--requests", "r.csv", "--top", "3"], "--top"),
        (["--requests", "r.csv", "--users", "all"], "--users"),
        (["--requests", "r.csv", "--items", "i.csv"], "--items"),
    ],
)
def test_options_that_contradict_each_other_are_named(tmp_path, words, said):
    movielens = Pipeline.load(Settings(home=tmp_path), "movielens")
    with pytest.raises(ConfigurationError, match=said):
        score.run(movielens, given(*words))
    assert not (tmp_path / "lists").exists()


def test_the_list_needs_a_place(capsys):
    parser = argparse.ArgumentParser()
    score.arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "--out" in capsys.readouterr().err
