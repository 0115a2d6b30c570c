"""`./nightshift new` where nobody can be asked, or a name cannot be."""

import argparse
import io
import sys

import pytest

from cli import scaffold
from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.settings import Settings
from testing.adclicks import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ads")
    write(root)
    return root


def asked(tmp_path, folder, name="ads", yes=True):
    (tmp_path / "pipelines").mkdir(exist_ok=True)
    settings = Settings(home=tmp_path / "home", project=tmp_path, pipelines=tmp_path / "pipelines")
    given = argparse.Namespace(
        name=name, folder=folder, requests=None, labels=None, label=None, yes=yes, time_zone="UTC"
    )
    return scaffold.run(settings, given)


def test_without_a_terminal_nothing_is_asked_and_nothing_written(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigurationError, match="--yes"):
        asked(tmp_path, folder, yes=False)
    assert not list((tmp_path / "pipelines").iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path, folder):
    own = tmp_path / "pipelines" / "ads"
    own.mkdir(parents=True)
    (own / "features.sql").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        asked(tmp_path, folder)
    assert (own / "features.sql").read_text() == "mine"


@pytest.mark.parametrize("name", ["Ads", "9ads", "../ads", "a-b", ""])
def test_a_name_that_cannot_be_is_refused(tmp_path, folder, name):
    with pytest.raises(ConfigurationError, match="not a pipeline's name"):
        asked(tmp_path, folder, name=name)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(NightshiftError):
        asked(tmp_path, tmp_path / "none")
    assert not list((tmp_path / "pipelines").iterdir())
