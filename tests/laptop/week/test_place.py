"""A home of its own: made anew, and never somebody else's."""

import socket

import pytest

from laptop.week import place
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("HOME", "DATA", "PREDICT_PORT"):
        monkeypatch.delenv(f"NIGHTSHIFT_{name}", raising=False)
    return Settings(home=tmp_path / "var")


def test_the_home_is_beside_the_usual_one_and_empty_at_each_run(settings, tmp_path):
    first = place.settle(settings)
    assert first.home == tmp_path / "var-week"
    assert (first.data, first.schedules) == (tmp_path / "var-week" / "data", "off")
    (first.home / "left").write_text("of an earlier run")
    assert not (place.settle(settings).home / "left").exists()


def test_a_home_that_holds_something_else_is_left_alone(settings, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "precious").write_text("")
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "own"))
    with pytest.raises(ConfigurationError, match="in use"):
        place.settle(Settings.from_env())
    assert (tmp_path / "own" / "precious").exists()


def test_a_port_that_is_taken_is_moved_unless_it_was_chosen(settings, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        moved = place._free_ports(Settings(home=settings.home, predict_port=port))
        assert moved.predict_port != port
        monkeypatch.setenv("NIGHTSHIFT_PREDICT_PORT", str(port))
        assert place.settle(settings).predict_port == port
