"""One message an incident and target, whatever fails in between."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from nightshift import files
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.settings import Settings

NOW = dt.datetime(2026, 11, 20, 6, 0, tzinfo=dt.timezone.utc)


@pytest.fixture
def settings(tmp_path, web):
    file = tmp_path / "targets"
    file.write_text(f"json://127.0.0.1:{web.port}/all\ndisk=json://127.0.0.1:{web.port}/disk\n")
    return Settings(home=tmp_path, notify_file=str(file))


def incident(key="night:jd:1", **changes):
    return Incident(
        **{"key": key, "title": "it failed", "text": "why", "pipeline": "jd", **changes}
    )


def paths(web):
    return [path.split("?")[0].rstrip("/") for _, path, _ in web.got]


def test_the_same_is_told_once(settings, web):
    assert incidents.report(settings, incident(), now=NOW)
    assert not incidents.report(settings, incident(), now=NOW + dt.timedelta(hours=1))
    incidents.deliver_pending(settings, now=NOW)
    assert paths(web) == ["/all"]
    incidents.report(settings, incident("disk:/"), now=NOW)
    assert sorted(paths(web)) == ["/all", "/all", "/disk"]


def test_many_at_once_are_told_once(settings, web):
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda _: incidents.report(settings, incident(), now=NOW), range(8)))
    assert new.count(True) == 1
    assert paths(web) == ["/all"]


def test_what_could_not_be_sent_is_sent_later_and_not_twice(settings, web):
    web.status = 503
    assert incidents.report(settings, incident("disk:/"), now=NOW)
    assert len(incidents.known(settings, "disk:/").failures) == 2
    web.status = 200
    for hours in (1, 2, 3):
        incidents.deliver_pending(settings, now=NOW + dt.timedelta(hours=hours))
    assert sorted(paths(web)) == ["/all", "/disk"]
    assert incidents.known(settings, "disk:/").failures == {}


def test_a_target_that_is_down_for_days_is_given_up(settings, web):
    web.status = 503
    incidents.report(settings, incident(), now=NOW)
    web.status = 200
    incidents.deliver_pending(settings, now=NOW + dt.timedelta(days=4))
    assert web.got == []


def test_a_lasting_one_comes_again_once_it_was_over(settings, web):
    for _ in range(2):
        assert incidents.report(settings, incident(), lasting=True, now=NOW)
        assert not incidents.report(settings, incident(), lasting=True, now=NOW)
        assert incidents.resolve(settings, "night:jd:1", now=NOW)
        assert not incidents.resolve(settings, "night:jd:1", now=NOW)
    assert paths(web) == ["/all", "/all"]


def test_without_targets_it_is_kept_and_nobody_is_told_of_the_past(tmp_path, settings, web):
    nobody = Settings(home=tmp_path)
    assert incidents.report(nobody, incident(), now=NOW)
    assert incidents.listed(nobody)[0].incident.title == "it failed"
    incidents.deliver_pending(settings, now=NOW)
    assert web.got == []


def test_a_broken_file_of_targets_is_told_once_it_is_mended(tmp_path, settings, web):
    good = (tmp_path / "targets").read_text()
    (tmp_path / "targets").write_text("bogus://x\n")
    assert incidents.report(settings, incident(), now=NOW)
    assert "line 1" in incidents.known(settings, "night:jd:1").failures["channels"]
    (tmp_path / "targets").write_text(good)
    incidents.deliver_pending(settings, now=NOW)
    assert paths(web) == ["/all"]


def test_a_kill_before_the_message_loses_nothing(settings, web, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(incidents, "_send", killed)
        with pytest.raises(KeyboardInterrupt):
            incidents.report(settings, incident(), now=NOW)
    incidents.deliver_pending(settings, now=NOW)
    assert paths(web) == ["/all"]


def test_a_damaged_record_is_told_again_rather_than_never(settings, web):
    incidents.report(settings, incident(), now=NOW)
    (path,) = incidents.folder(settings).glob("*.json")
    path.write_text("{")
    incidents.report(settings, incident(), now=NOW)
    assert paths(web) == ["/all", "/all"]


def test_old_ones_are_forgotten(settings):
    incidents.report(settings, incident(), now=NOW)
    incidents.deliver_pending(settings, now=NOW + dt.timedelta(days=91))
    assert incidents.listed(settings) == []


@pytest.mark.parametrize(
    "change",
    [
        {"closed_at": ""},
        {"closed_at": True},
        {"failures": None},
        {"delivered": {"a": 1}},
        {"opened_at": "yesterday"},
        {"incident": {"key": "x", "title": 7, "text": "y"}},
    ],
)
def test_a_damaged_record_does_not_stop_the_others(settings, web, change):
    web.status = 503
    for key in ("disk:/", "night:jd:1"):
        incidents.report(settings, incident(key), now=NOW)
    path = next(p for p in incidents.folder(settings).glob("*.json") if "disk:" in p.read_text())
    files.write_json(path, {**files.read_json(path), **change})
    web.status = 200
    del web.got[:]
    incidents.deliver_pending(settings, now=NOW)
    assert paths(web) == ["/all"]
    assert incidents.known(settings, "disk:/") is None
    # It is told again rather than never
    assert incidents.report(settings, incident("disk:/"), now=NOW)
