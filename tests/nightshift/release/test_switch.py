"""The switch: what goes live, what comes back, what is taken down and what is spared."""

from __future__ import annotations

import datetime as dt
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nightshift import layout
from nightshift.errors import ContractError, ReleaseRejected
from nightshift.registry import history, leases, pointer
from nightshift.registry.manifest import FeatureStamp, SpecStamp, Sql
from nightshift.registry.store import moment_of
from nightshift.release import candidate, rollback, steps, switch
from nightshift.serving import pair
from nightshift.triton import TritonControl
from testing.releases import HASH, put_release

from .conftest import BLOCK_ROWS, FIRST, MOST_IDS, Nobody, another, finish, live, make_live, predict


def test_a_newer_night_goes_live_and_is_rolled_back(nights, monkeypatch):
    plan = another(nights, "second night")
    card = json.loads((Path(plan["run_dir"]) / "model" / "model_card.json").read_text())
    assert (
        card["hyperparameters"]["block_rows"]
        == BLOCK_ROWS
        < card["dataset"]["splits"]["train"]["rows"] / 16
    )
    assert max(card["table_sizes"]) == 1 + MOST_IDS
    release = nights.house.candidate(plan)["release_id"]
    steps.gate(nights.house.of(plan), "data")
    nights.house.gates(plan, release)
    # Ids that were not admitted are unknown offline and online alike.
    found = json.loads((Path(plan["run_dir"]) / "reports" / "consistency.json").read_text())
    assert found["compared"] > 0
    assert found["mismatch_count"] == found["score_mismatch_count"] == 0
    report = steps.switch_over(nights.house.of(plan), release)
    assert report["switched"], report
    assert predict(nights)["release"] == release
    finish(nights, plan, release)
    store = nights.pipeline.store
    with TritonControl.of(nights.settings) as control:
        assert not control.ready(nights.pipeline.model, 20261108001)  # retired, and kept

    def killed(*_, **__):
        raise KeyboardInterrupt

    # Killed right after its switch, its second try neither refuses nor goes back once more.
    with monkeypatch.context() as patch:
        patch.setattr("nightshift.serving.probe.answers_by", killed)
        with pytest.raises(KeyboardInterrupt):
            rollback.roll_back(None, nights.pipeline, run_id="rollback 1")
    assert live(nights) == f"{FIRST}.001"
    back = rollback.roll_back(None, nights.pipeline, run_id="rollback 1")
    assert back["live"] == f"{FIRST}.001"
    assert leases.read_all(store)[layout.run_token("rollback 1")].closed
    with pytest.raises(ReleaseRejected, match="it is live already"):
        rollback.roll_back(f"{FIRST}.001", nights.pipeline, run_id="rollback 2")
    assert predict(nights)["release"] == f"{FIRST}.001"
    rollback.retire_rolled_back(nights.pipeline)
    assert {r.release_id: r.state for r in history.rows(nights.pipeline.releases)}[
        release
    ] == "kept"


def test_a_probe_that_is_not_answered_brings_the_old_release_back(nights, monkeypatch):
    plan = another(nights, "no probe")
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    candidate.judge(nights.house.of(plan), release, ["candidate"])

    def unanswered(*_, **__):
        raise ContractError("the predict server did not follow")

    monkeypatch.setattr("nightshift.serving.probe.answers_by", unanswered)
    with pytest.raises(ContractError, match=rf"failed the probe.*{FIRST}\.001 serves"):
        steps.switch_over(nights.house.of(plan), release)
    assert predict(nights)["release"] == f"{FIRST}.001"
    finish(nights, plan, release)
    (row,) = [r for r in history.rows(nights.pipeline.releases) if r.release_id == release]
    assert (row.state, row.why) == ("rejected", "probe: the predict server did not follow")


def test_a_retire_that_waits_for_a_switch_spares_what_it_made_live(nights):
    plan = another(nights, "switched meanwhile")
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    candidate.judge(nights.house.of(plan), release, ["candidate"])
    steps.gate(nights.house.of(plan), "rehearsal", release)
    store = nights.pipeline.store
    leases.close(store, layout.run_token("switched meanwhile"))
    folder = store.folder(release)
    with (
        ThreadPoolExecutor(1) as pool,
        nights.house.client() as client,
        TritonControl.of(nights.settings) as control,
    ):

        def probe(*_):
            # Under the switch lock: the other run's retire waits, or comes later.
            waiting.append(pool.submit(rollback.retire_rolled_back, nights.pipeline))
            time.sleep(0.5)
            return []

        waiting = []
        pointer.switch_live(store.root, release, probe=probe, promote="force")
        report = waiting[0].result(120)
        assert pair.problems(client, control, folder, folder.manifest()) == []
    assert report["live"] == release
    assert report["versions_unpinned"] == [20261108001]
    assert predict(nights)["release"] == release
    rollback.roll_back(None, nights.pipeline, run_id="rollback 3")
    rollback.retire_rolled_back(nights.pipeline)
    assert live(nights) == f"{FIRST}.001"
    finish(nights, plan, release)


def test_a_release_that_is_not_newer_asks_no_server(pipeline):
    now_live = make_live(pipeline, "2026-11-09")
    older = put_release(pipeline.releases, "2026-11-08")
    value = switch.switch(Nobody(), pipeline, older.id, requests=lambda columns: [])
    assert (value["switched"], value["live"]) == (False, now_live)
    assert "not newer" in value["why"]


def test_a_broken_pointer_counts_as_none_only_where_it_is_to_be_repaired(pipeline):
    assert switch.live_or_none(pipeline.store, force=False) is None
    now_live = make_live(pipeline, "2026-11-09")
    assert switch.live_or_none(pipeline.store, force=False).release_id == now_live
    (pipeline.releases / "live.json").write_text("{")
    with pytest.raises(ContractError, match="live.json"):
        switch.live_or_none(pipeline.store, force=False)
    assert switch.live_or_none(pipeline.store, force=True) is None


def test_the_grace_time_counts_from_the_switch(pipeline, monkeypatch):
    make_live(pipeline, "2026-11-09")
    found = pointer.read_live(pipeline.releases)
    switched = moment_of(found.switched_at)

    def left(after_s):
        class Clock(dt.datetime):
            @classmethod
            def now(cls, zone=None):
                return switched + dt.timedelta(seconds=after_s)

        monkeypatch.setattr(switch.dt, "datetime", Clock)
        return switch._grace_left(found, 30.0)

    assert left(0) == pytest.approx(30)
    assert left(12) == pytest.approx(18)
    assert left(100) == pytest.approx(-70)
    assert left(-3600) == pytest.approx(30)  # a clock that was set back


def sql_of(database, deployment):
    sql = Sql(sha256=HASH, database=database, deployment=deployment)
    return FeatureStamp(sql=sql, spec=SpecStamp(sha256=HASH, schema_hash=HASH, fields=32))


class Databases:
    """Databases with deployments, of which some are dropped."""

    def __init__(self, **there):
        self.there = there

    def databases(self):
        return list(self.there)

    def deployments(self, database):
        return list(self.there[database])

    def drop(self, client, database, name):
        self.there[database].remove(name)


def test_only_deployments_of_the_pipelines_own_go(pipeline, monkeypatch):
    owner, database = pipeline.owner, pipeline.database
    serving, leased, old = (f"{owner}_{digit * 8}" for digit in "abc")
    make_live(pipeline, "2026-11-01", features=sql_of("before_owners", "deepfm_11111111"))
    put_release(pipeline.releases, "2026-11-02", features=sql_of("before_owners", "deepfm_2222"))
    make_live(pipeline, "2026-11-09", features=sql_of(database, serving))
    client = Databases(
        **{
            database: [serving, leased, old, "ads_test00_cccccccc", f"{owner}_not_a_hash"],
            # Made before names had owners: only what a pointer of ours named is ours.
            "before_owners": ["deepfm_11111111", "deepfm_2222", "deepfm_33333333"],
            "another": [old],
        }
    )
    monkeypatch.setattr(switch.online, "drop_deployment", client.drop)
    live = pointer.read_live(pipeline.releases)
    dropped = switch._drop_deployments(client, pipeline, {leased}, live)
    assert sorted(dropped) == sorted([old, "deepfm_11111111"])
    assert client.there == {
        database: [serving, leased, "ads_test00_cccccccc", f"{owner}_not_a_hash"],
        "before_owners": ["deepfm_2222", "deepfm_33333333"],
        "another": [old],
    }
