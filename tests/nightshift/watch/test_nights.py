"""What is told of nights, of releases that went back, and of promised hours."""

import datetime as dt

import pytest

from nightshift import watch
from nightshift.monitoring import act
from nightshift.notify import incidents
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.registry.store import ReleaseStore
from nightshift.watch import nights
from testing.releases import put_release
from tests.nightshift.watch.conftest import roomy, titles


def test_a_rejected_night_is_told_once_with_its_reasons_and_what_serves(settings, web):
    root = Pipeline.load(settings).releases
    live = put_release(root, "2016-04-09")
    pointer.switch_live(root, live.id, probe=lambda *_: [])
    ReleaseStore(root).log(
        "rejected", release_id=None, ds="2016-04-10", run_id="r1",
        reasons=["data: no rows", "data: 3 days are empty"],
    )  # fmt: skip
    for _ in range(2):
        seen = watch.look(settings, usage=roomy)
    assert seen.problems == []
    assert titles(web) == ["Nightshift: jd: night of 2016-04-10 was rejected"]
    text = web.got[0][2]["message"]
    assert "data: 3 days are empty" in text
    assert "2016-04-09.001" in text


def test_a_release_that_the_gates_rejected_is_told_under_its_night(settings, web):
    root = Pipeline.load(settings).releases
    refused = put_release(root, "2016-04-10", accepted=False)
    ReleaseStore(root).log("rejected", release_id=refused.id, reasons=["quality: AUC 0.4"])
    watch.look(settings, usage=roomy)
    # Airflow then reports the failed run: it is the same incident.
    watch.tell_failed_run(
        Pipeline.load(settings),
        run_id=refused.manifest().run.id,
        ds="2016-04-10",
        failed=["quality"],
    )
    assert titles(web) == ["Nightshift: jd: night of 2016-04-10 was rejected"]


def test_a_run_that_wrote_nothing_down_is_told_with_what_its_task_died_of(settings, web):
    pipeline = Pipeline.load(settings)
    watch.note_failure(pipeline, "r1", "plan", "OpenMLDB does not answer")
    watch.tell_failed_run(pipeline, run_id="r1", ds="2016-04-10", failed=["plan"])
    watch.tell_failed_run(pipeline, run_id="r1", ds="2016-04-10", failed=["plan"])
    assert titles(web) == ["Nightshift: jd: night of 2016-04-10 failed"]
    assert "task plan failed: OpenMLDB does not answer" in web.got[0][2]["message"]


def test_a_store_that_could_not_be_reconciled_is_called_so(settings, web):
    pipeline = Pipeline.load(settings)
    watch.note_failure(pipeline, "r1", "load_online", "day 2016-04-01 differs")
    reasons = watch.night_failed(pipeline, "r1", ["load_online"])
    pipeline.store.log("rejected", release_id=None, ds="2016-04-10", run_id="r1", reasons=reasons)
    watch.look(settings, usage=roomy)
    assert titles(web) == [
        "Nightshift: jd: online store and partitions do not agree, night of 2016-04-10"
    ]
    assert "day 2016-04-01 differs" in web.got[0][2]["message"]


def test_a_withdrawal_is_told_and_a_persons_rollback_is_not(settings, web):
    root = Pipeline.load(settings).releases
    for ds in ("2016-04-09", "2016-04-10"):
        pointer.switch_live(root, put_release(root, ds).id, probe=lambda *_: [])
    pointer.switch_live(
        root, "2016-04-09.001", probe=lambda *_: [], promote="force", reason="rollback"
    )
    watch.look(settings, usage=roomy)
    assert titles(web) == []
    pointer.switch_live(
        root, "2016-04-10.001", probe=lambda *_: [], promote="force",
        reason="withdrawal: features are constant",
    )  # fmt: skip
    watch.look(settings, usage=roomy)
    assert titles(web) == [
        "Nightshift: jd: release 2016-04-09.001 was withdrawn, 2016-04-10.001 serves again"
    ]
    assert "features are constant" in web.got[0][2]["message"]


def test_a_canarys_withdrawal_is_told_by_the_log_where_nobody_told_it(settings, web):
    pipeline = Pipeline.load(settings)
    root = pipeline.releases
    pointer.switch_live(root, put_release(root, "2016-04-09").id, probe=lambda *_: [])
    new = put_release(root, "2016-04-10").id
    for reason in ("a person ended it", "withdrawal: features are constant"):
        pointer.begin_canary(root, new, share=0.1, column="user_id", probe=lambda *_: [])
        pointer.end_canary(root, new, reason=reason)
    watch.look(settings, usage=roomy)
    told = f"Nightshift: jd: canary {new} was withdrawn, the live release serves all"
    assert titles(web) == [told]
    assert "features are constant" in web.got[0][2]["message"]
    incident = act.canary_withdrawn(pipeline, new, "features are constant")
    assert not incidents.report(settings, incident)  # it is the one that monitoring tells
    watch.look(settings, usage=roomy)
    assert titles(web) == [told]


def promise(settings, hour):
    with (settings.pipelines / "jd" / "pipeline.yaml").open("a") as file:
        file.write(f'live_by: "{hour}"\n')


def test_a_release_that_is_late_is_told_and_one_that_is_live_is_not(settings, web):
    promise(settings, "06:00")
    root = Pipeline.load(settings).releases
    pointer.switch_live(root, put_release(root, "2026-11-18").id, probe=lambda *_: [])

    def at(day, hour):
        return dt.datetime(2026, 11, day, hour, 1, tzinfo=dt.timezone.utc)

    watch.look(settings, now=at(20, 5), usage=roomy)  # yesterday's promise: 2026-11-18 is live
    assert titles(web) == []
    watch.look(settings, now=at(20, 6), usage=roomy)
    watch.look(settings, now=at(20, 23), usage=roomy)
    assert titles(web) == ["Nightshift: jd: the release of 2026-11-19 is not live by 06:00 UTC"]
    pointer.switch_live(root, put_release(root, "2026-11-19").id, probe=lambda *_: [])
    watch.look(settings, now=at(21, 5), usage=roomy)
    assert len(titles(web)) == 1


def test_a_promise_is_kept_in_the_zone_of_the_schedule(settings):
    there = Pipeline.load(settings).with_config(
        schedule="0 2 * * *", live_by="06:00", time_zone="+08:00"
    )
    at = dt.datetime(2026, 11, 19, 22, 0, tzinfo=dt.timezone.utc)  # 06:00 on the 20th there
    assert nights.expected_date(there, at) == "2026-11-19"
    assert nights.expected_date(there, at - dt.timedelta(minutes=1)) == "2026-11-18"


@pytest.mark.parametrize(
    ("schedule", "now", "expected"),
    [
        ("0 2 * * *", "2026-11-20T06:00:00", "2026-11-19"),
        ("0 2 * * *", "2026-11-20T05:59:00", "2026-11-18"),
        ("0 2 * * 1", "2026-11-20T07:00:00", "2026-11-09"),  # Monday's run, Monday before
        ("30 23 * * *", "2026-11-20T07:00:00", "2026-11-18"),
        ("off", "2026-11-20T07:00:00", None),
    ],
)
def test_what_is_promised_follows_the_schedule(settings, schedule, now, expected):
    pipeline = Pipeline.load(settings).with_config(schedule=schedule, live_by="06:00")
    at = dt.datetime.fromisoformat(now + "+00:00")
    assert nights.expected_date(pipeline, at) == expected
    assert nights.expected_date(pipeline.with_settings(schedules="off"), at) is None
