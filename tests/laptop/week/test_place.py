"""A home of its own: made anew, and never somebody else's."""

import socket

import pytest

from laptop.week import place
from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline
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


def test_the_demos_own_pipeline_has_a_shadow_and_withdraws(settings):
    usual, own = Pipeline.load(settings), Pipeline.load(place.settle(settings))
    own.check_files()
    assert own.folder.parent == own.settings.home / "pipelines"
    assert own.config.live.shadow.hours > 24
    assert own.config.monitor.action == "withdraw"
    # Nothing else differs, and the project's own files do not.
    assert own.config.live.insert_requests == usual.config.live.insert_requests
    assert own.features.create_script() == usual.features.create_script()
    again = Pipeline.load(settings).config
    assert (again.live.shadow.hours, again.monitor.action) == (0, "alert")


def test_gates_are_lenient_for_one_night_only(settings):
    own = Pipeline.load(place.settle(settings))

    def levels():
        quality = Pipeline.load(own.settings).gates["quality"]
        return {quality[rule]["level"] for rule in ("min_auc", "max_logloss_ratio", "versus_live")}

    assert levels() == {"fail"}
    with pytest.raises(RuntimeError), place.lenient_gates(own):
        assert levels() == {"warn"}
        raise RuntimeError("the night ended badly")
    assert levels() == {"fail"}


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
