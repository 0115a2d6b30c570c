"""What the demo decides before it begins."""

import argparse
from pathlib import Path

import pytest

from laptop import commands, demo
from laptop.data import generate, jd, partitions
from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory, jd_folder):
    data = tmp_path_factory.mktemp("jd")
    jd.load(data, jd_folder)
    return data


def test_the_example_request_is_the_days_last_with_its_time_in_milliseconds(laid_out):
    request = demo.example_request(laid_out, "2016-02-01")
    assert request["time"] == request["eventTime"]
    assert request["time1"].startswith("2016-02-01 23:")
    assert request["reqId"] == f"{request['pair_id']}_{request['time1']}"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("HOME", "DATA", "SCHEDULES"):
        monkeypatch.delenv(f"NIGHTSHIFT_{name}", raising=False)
    return Settings(home=tmp_path / "var")


def test_a_given_folder_has_a_home_of_its_own(settings, tmp_path):
    chosen = demo.demo_settings(settings, Path("/somewhere/JD data"))
    assert chosen.home == tmp_path / "var-jd-data"
    assert chosen.data == tmp_path / "var-jd-data" / "data"
    assert demo.demo_settings(settings, None).home == settings.home


def test_a_home_that_holds_the_folder_is_used_and_a_home_that_was_asked_for(
    settings, tmp_path, monkeypatch
):
    source = {"kind": "given", "folder": str(tmp_path / "jd")}
    partitions.claim(Pipeline.load(settings).data, source, replace=False)
    assert demo.demo_settings(settings, tmp_path / "jd").home == settings.home
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(settings.home))
    assert demo.demo_settings(settings, tmp_path / "other").home == settings.home


def test_the_demo_runs_by_hand_only_unless_a_schedule_is_asked_for(settings, monkeypatch):
    assert demo.demo_settings(settings, None).schedules == "off"
    monkeypatch.setenv("NIGHTSHIFT_SCHEDULES", "on")
    asked = Settings.from_env()
    assert demo.demo_settings(asked, None).schedules == "on"


@pytest.mark.parametrize("days", [1, 14, 18, 21])
def test_days_that_leave_nothing_to_learn_from_are_refused_before_any_is_made(tmp_path, days):
    pipeline = Pipeline.load(Settings(home=tmp_path), "jd")
    parser = argparse.ArgumentParser()
    commands._demo_arguments(parser)
    with pytest.raises(ConfigurationError, match=f"--days is {days}, .* need 8"):
        demo._make_data(pipeline, parser.parse_args(["--days", str(days)]))
    assert not pipeline.data.exists()


def test_the_made_worlds_defaults_are_those_of_the_command_line():
    from laptop.data.arguments import DEFAULT_DAYS, MOST_DAYS, make_parser
    from nightshift.data import load as loading

    parser = argparse.ArgumentParser()
    commands._demo_arguments(parser)
    defaults = parser.parse_args([])
    made = generate.Spec()
    assert (defaults.days, defaults.rows_per_day, defaults.seed) == (
        DEFAULT_DAYS,
        made.rows_per_day,
        made.seed,
    )
    asked = make_parser().parse_args(["generate"])
    assert (asked.rows_per_day, asked.seed) == (made.rows_per_day, made.seed)
    assert loading.MOST_DAYS == MOST_DAYS
