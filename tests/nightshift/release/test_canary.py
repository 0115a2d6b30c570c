"""A candidate that answers a share of the users first."""

import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest

from nightshift import files
from nightshift.config.live import CanaryConfig
from nightshift.errors import ConfigurationError, ReleaseRejected
from nightshift.live.folders import hiding_key, live_folder
from nightshift.live.share import position
from nightshift.night import servers
from nightshift.registry import history, pointer
from nightshift.registry.store import moment_of
from nightshift.release import canary, steps, switch
from testing.releases import put_release

from .conftest import LIVE, Nobody, ask, fork, loaded, logged, make_live


def test_a_canary_has_its_users_until_it_is_promoted(nights, watched, requests):
    new = fork(nights, 802)
    with servers(watched.settings) as both:
        canary.begin(both, watched, new, actor="test")
        switch.retire(both, watched, run_token=None)
    assert loaded(watched, new) == (True, True)
    assert history_of(watched)[new].why.startswith("canary since")
    key = hiding_key(live_folder(watched.settings, watched.name))
    seen = Counter()
    for row in requests[:40]:
        answer = ask(watched, [row])
        mine = position(row["user_id"], new, key) < 0.5
        assert answer["release"] == (new if mine else LIVE)
        assert answer["receipt"]["release"] == answer["release"]
        version = watched.store.folder(answer["release"]).manifest().model.version
        assert answer["model_version"] == version
        seen[answer["release"]] += 1
    assert set(seen) == {new, LIVE}
    logged(watched, new, "canary", seen[new])
    with pytest.raises(canary.ConfigurationError, match="user_id"):
        canary.check_column(watched, "no_such_column")
    assert canary.due(watched, dt.datetime.now(dt.timezone.utc)) is None
    later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=2)
    assert canary.due(watched, later) == new
    assert canary.promote_due(watched, actor="test")["live"] == new
    live = pointer.read_live(watched.releases)
    assert (live.release_id, live.canary) == (new, None)
    assert live.shadow.pair.release_id == LIVE
    assert {ask(watched, [row])["release"] for row in requests[:10]} == {new}


def history_of(pipeline):
    return {row.release_id: row for row in history.rows(pipeline.releases)}


def test_a_night_makes_its_candidate_a_canary(nights, watched):
    live = pointer.read_live(watched.releases)
    night = replace(nights.house.of(nights.second), pipeline=watched)
    made = steps.make_candidate(night)
    release = made["release_id"]
    folder = watched.store.folder(release)
    files.write_json(folder.verdict_path, {"accepted": True, "reasons": [], "warnings": []})
    value = steps.switch_over(night, release)
    assert (value["switched"], value["canary"], value["live"]) == (False, True, live.release_id)
    found = pointer.read_live(watched.releases)
    assert found.canary.pair.release_id == release
    assert folder.verdict()["note"].startswith("a canary for 1 hours: 0.5 of the users by user_id")
    assert pointer.end_canary(watched.releases, release, reason="the test is over")


def with_canary(pipeline, **canary):
    live = pipeline.config.live.model_copy(update={"canary": CanaryConfig(**canary)})
    return pipeline.with_config(live=live)


def test_a_canary_needs_a_share_and_a_column_of_the_request_table(pipeline):
    folder = put_release(pipeline.releases, "2026-11-10")
    with pytest.raises(ConfigurationError, match="no part live.canary"):
        canary.begin(Nobody(), pipeline, folder.id)
    with pytest.raises(ConfigurationError, match="live.canary.column is nobody.*user_id"):
        canary.begin(Nobody(), pipeline, folder.id, share=0.1, column="nobody")


def test_a_release_that_was_rejected_or_is_live_is_no_canary(pipeline):
    live = make_live(pipeline, "2026-11-09")
    rejected = put_release(pipeline.releases, "2026-11-10", accepted=False)
    for release in (live, rejected.id):
        with pytest.raises(ReleaseRejected, match="cannot be a canary"):
            canary.begin(Nobody(), pipeline, release, share=0.1, column="user_id")


def test_a_night_switches_where_no_canary_is_wanted_or_nothing_is_live(pipeline):
    wanted = with_canary(pipeline, column="user_id", share=0.1, hours=12)
    folder = put_release(pipeline.releases, "2026-11-10", champion=None)
    assert canary.instead_of_switch(Nobody(), wanted, folder.id, actor="x") is None
    live = make_live(pipeline, "2026-11-09")
    assert canary.instead_of_switch(Nobody(), pipeline, folder.id, actor="x") is None
    assert canary.instead_of_switch(Nobody(), wanted, live, actor="x") is None
    # A date that is not newer: the switch says so.
    older = put_release(pipeline.releases, "2026-11-08")
    assert canary.instead_of_switch(Nobody(), wanted, older.id, actor="x") is None


def test_a_candidate_that_was_compared_with_another_release_is_none(pipeline):
    wanted = with_canary(pipeline, column="user_id", share=0.1, hours=12)
    live = make_live(pipeline, "2026-11-09")
    candidate = put_release(pipeline.releases, "2026-11-10")  # compared with 2026-04-09.001
    with pytest.raises(ReleaseRejected, match=f"compared it with.*and {live} is live now"):
        canary.instead_of_switch(Nobody(), wanted, candidate.id, actor="x")


def test_without_a_canary_there_is_nothing_to_promote_and_none_is_due(pipeline):
    wanted = with_canary(pipeline, column="user_id", share=0.1, hours=12)
    later = dt.datetime(2100, 1, 1, tzinfo=dt.timezone.utc)
    assert canary.due(wanted, later) is None
    make_live(pipeline, "2026-11-09")
    assert canary.due(wanted, later) is None
    with pytest.raises(ReleaseRejected, match="no canary to promote"):
        canary.promote(Nobody(), pipeline, requests=lambda columns: [])


def test_a_canary_is_due_when_its_hours_are_over(pipeline):
    wanted = with_canary(pipeline, column="user_id", share=0.1, hours=12)
    make_live(pipeline, "2026-11-09")
    folder = put_release(pipeline.releases, "2026-11-10")
    begun = pointer.begin_canary(
        pipeline.releases, folder.id, share=0.1, column="user_id", probe=lambda *_: []
    )
    since = moment_of(begun.canary.since)
    assert canary.due(wanted, since + dt.timedelta(hours=11.9)) is None
    assert canary.due(wanted, since + dt.timedelta(hours=12)) == folder.id
    assert canary.due(pipeline, since + dt.timedelta(hours=99)) is None  # begun by hand
