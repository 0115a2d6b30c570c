"""A look at an installation: what is told of nights, promised hours and disks."""

import datetime as dt
from dataclasses import replace

import pytest

from nightshift import files, watch
from nightshift.errors import ContractError
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.receivers import mail_server
from tests.nightshift.watch.conftest import NOW, roomy, titles


def test_a_full_disk_is_told_once_until_it_has_room_again(settings, web):
    for free in (50, 9, 8, 11, 9, 13, 5):
        watch.look(settings, usage=lambda _, free=free: (100, free))
    assert [title.count("nearly full") for title in titles(web)] == [1, 1]


def test_a_full_disk_of_a_home_that_is_made_later_is_told_once(settings, web):
    fresh = Settings.from_env({**settings.to_env(), "NIGHTSHIFT_HOME": str(settings.home / "new")})
    for _ in range(2):
        watch.look(fresh, usage=lambda _: (100, 5))
        fresh.data.mkdir(parents=True, exist_ok=True)
    assert [title for title in titles(web) if "nearly full" in title] == [
        f"Nightshift: the disk of {fresh.home} is nearly full: 0.0 GiB free"
    ]


def test_a_broken_pipeline_is_told_and_the_others_are_still_looked_at(settings, web):
    other = settings.pipelines / "other"
    other.mkdir()
    (other / "pipeline.yaml").write_text("version: 1\nfamly: ctr\n")
    pipeline = Pipeline.load(settings)
    pipeline.store.log("rejected", release_id=None, ds="2016-04-10", run_id="r", reasons=["x"])
    watch.look(settings, usage=roomy)
    assert sorted(titles(web)) == [
        "Nightshift: jd: night of 2016-04-10 was rejected",
        "Nightshift: other: the pipeline's folder is broken, it has no nights",
    ]


def test_each_look_leaves_a_heartbeat_and_calls_the_monitor(settings, web):
    with pytest.raises(ContractError):
        watch.heartbeat_age_s(settings)
    watched = Settings.from_env(
        {**settings.to_env(), "NIGHTSHIFT_HEARTBEAT_URL": f"http://127.0.0.1:{web.port}/ping"}
    )
    watch.look(watched, airflow=True, now=NOW, usage=roomy)
    assert [(method, path) for method, path, _ in web.got] == [("GET", "/ping")]
    later = NOW + dt.timedelta(seconds=300)
    assert 299 <= watch.heartbeat_age_s(settings, now=later) <= 301
    web.status = 500
    problems = watch.look(watched, airflow=True, now=NOW, usage=roomy).problems
    assert "NIGHTSHIFT_HEARTBEAT_URL" in problems[0]
    for odd in ("2026-11-20", "", "soon"):
        files.write_json(settings.home / "heartbeat.json", {"at": odd})
        with pytest.raises(ContractError, match="holds no time"):
            watch.heartbeat_age_s(settings)


def test_a_watcher_outside_of_airflow_tells_that_airflow_is_down(settings, web):
    inside = replace(settings, notify="later")
    pipeline = Pipeline.load(inside)
    pipeline.store.log("rejected", release_id=None, ds="2016-04-10", run_id="r", reasons=["x"])
    watch.look(inside, airflow=True, now=NOW, usage=roomy)
    assert titles(web) == []  # it has no way out
    watch.look(settings, now=NOW, usage=roomy)
    assert titles(web) == ["Nightshift: jd: night of 2016-04-10 was rejected"]
    late = NOW + dt.timedelta(minutes=20)
    for _ in range(2):
        watch.look(settings, now=late, usage=roomy)
    assert titles(web)[1:] == ["Nightshift: Airflow is down: it has not looked for a while"]
    watch.look(inside, airflow=True, now=late, usage=roomy)
    assert watch.look(settings, now=late, usage=roomy).open == []


def test_an_e_mail_too(settings, tmp_path):
    pipeline = Pipeline.load(settings)
    pipeline.store.log("rejected", release_id=None, ds="2016-04-10", run_id="r", reasons=["a < b"])
    with mail_server() as mail:
        (tmp_path / "targets").write_text(
            f"mailto://127.0.0.1:{mail.port}?from=n@s.example&to=you@team.example\n"
        )
        watch.look(settings, usage=roomy)
        watch.look(settings, usage=roomy)
    (message,) = mail.got
    assert "was rejected" in message["Subject"]
