"""Failures of upkeep: one message an incident, another after it has worked."""

import pytest

from nightshift import watch
from nightshift.notify import incidents
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path, web):
    (tmp_path / "targets").write_text(f"upkeep=json://127.0.0.1:{web.port}/\n")
    return Settings(home=tmp_path, notify_file=str(tmp_path / "targets"))


def test_a_failure_is_told_once_until_it_has_worked(settings, web):
    told = [watch.upkeep_failed(settings, "records", f"disk, night {n}") for n in range(3)]
    assert told == [True, False, False]
    ((_, _, body),) = web.got
    assert body["title"] == "Nightshift: upkeep failed: records"
    assert "disk, night 0" in body["message"] and "nightshift_upkeep" in body["message"]
    assert watch.upkeep_worked(settings, "records")
    assert not watch.upkeep_worked(settings, "records")
    assert watch.upkeep_failed(settings, "records", "again")
    assert len(web.got) == 2


def test_each_task_is_an_incident_of_its_own_and_the_run_is_none_of_theirs(settings, web):
    assert watch.upkeep_failed(settings, "records", "one")
    assert watch.upkeep_failed(settings, "database", "")
    assert not watch.upkeep_failed(settings, watch.RUN, "task_failure")
    assert [body["title"][-8:] for _, _, body in web.got] == [" records", "database"]
    assert "no reason is known" in web.got[1][2]["message"]
    for task in ("records", "database"):
        watch.upkeep_worked(settings, task)
    # Ended from outside, after its tasks had worked.
    assert watch.upkeep_failed(settings, watch.RUN, "timed_out")
    assert "timed_out" in web.got[2][2]["message"]


def test_what_could_not_be_told_is_told_later(settings, web):
    targets = settings.home / "targets"
    good = targets.read_text()
    targets.write_text("json://127.0.0.1:1/\n")
    assert watch.upkeep_failed(settings, "records", "one")
    assert web.got == []
    targets.write_text(good)
    incidents.deliver_pending(settings)
    incidents.deliver_pending(settings)
    assert len(web.got) == 1
