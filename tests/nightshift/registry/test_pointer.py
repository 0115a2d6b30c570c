import datetime as dt
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nightshift.errors import ConfigurationError, ContractError, LockHeld, ReleaseRejected
from nightshift.registry import pointer, retention
from nightshift.registry.history import rows
from nightshift.registry.store import ReleaseStore
from testing.releases import manifest, put_release


def ready(folder, manifest):
    return []


def switch(root, release_id, **options):
    return pointer.switch_live(root, release_id, **{"probe": ready, **options})


def test_no_release_yet(tmp_path):
    assert pointer.read_live(tmp_path) is None


def test_first_switch_gives_the_predict_server_what_it_needs(tmp_path):
    folder = put_release(tmp_path, "2016-04-10")
    live = switch(tmp_path, folder.id)
    content = json.loads((tmp_path / "live.json").read_text())
    assert content["release_id"] == "2016-04-10.001"
    assert content["database"] == "jd_test00"
    assert content["deployment"] == "jd_test00_00000000"
    assert content["model"] == "jd_test00"
    assert content["model_version"] == 20160410001
    assert content["family"] == "ctr"
    assert content["feature_spec"] == str(folder.spec)
    assert content["spec_hash"] == manifest().feature_spec.schema_hash
    assert pointer.read_live(tmp_path) == live


@pytest.mark.parametrize(
    ("features", "family"),
    [
        ({}, "ctr"),
        (dict.fromkeys(("database", "deployment", "feature_spec", "spec_hash")), "tensor"),
    ],
)
def test_a_pointer_of_before_families_were_recorded_reads(tmp_path, features, family):
    folder = put_release(tmp_path, "2016-04-10")
    switch(tmp_path, folder.id)
    path = tmp_path / "live.json"
    content = json.loads(path.read_text())
    del content["family"]
    path.write_text(json.dumps(content | features))
    assert pointer.read_live(tmp_path).family == family


def test_newer_date_takes_over_older_and_same_date_do_not(tmp_path):
    for ds in ("2016-04-09", "2016-04-10", "2016-04-11"):
        put_release(tmp_path, ds)
    put_release(tmp_path, "2016-04-10", 2)
    switch(tmp_path, "2016-04-10.001")
    for refused in ("2016-04-09.001", "2016-04-10.002"):
        with pytest.raises(ReleaseRejected, match="not newer than 2016-04-10"):
            switch(tmp_path, refused)
    assert pointer.read_live(tmp_path).release_id == "2016-04-10.001"
    assert switch(tmp_path, "2016-04-11.001").previous == "2016-04-10.001"
    assert switch(tmp_path, "2016-04-09.001", promote="force").sequence == 3


def test_switching_to_the_live_release_changes_nothing(tmp_path):
    put_release(tmp_path, "2016-04-10")
    switch(tmp_path, "2016-04-10.001")
    before = (tmp_path / "live.json").stat().st_mtime_ns
    switch(tmp_path, "2016-04-10.001")
    assert (tmp_path / "live.json").stat().st_mtime_ns == before
    assert len(list(ReleaseStore(tmp_path).events())) == 1


def test_pair_that_is_not_ready_is_refused_with_its_reasons(tmp_path):
    put_release(tmp_path, "2016-04-10")
    put_release(tmp_path, "2016-04-11")
    switch(tmp_path, "2016-04-10.001")
    with pytest.raises(ReleaseRejected, match=r"2016-04-10\.001 keeps serving.*deepfm/20160411001"):
        switch(tmp_path, "2016-04-11.001", probe=lambda *_: ["deepfm/20160411001 is not loaded"])
    assert pointer.read_live(tmp_path).release_id == "2016-04-10.001"


@pytest.mark.parametrize("accepted", [False, None])
def test_unjudged_and_rejected_releases_are_refused(tmp_path, accepted):
    put_release(tmp_path, "2016-04-10", accepted=accepted)
    with pytest.raises(ReleaseRejected, match="does not say accepted"):
        switch(tmp_path, "2016-04-10.001", promote="force")
    assert pointer.read_live(tmp_path) is None


def test_tampered_manifest_is_refused(tmp_path):
    folder = put_release(tmp_path, "2016-04-10")
    text = folder.manifest_path.read_text().replace('"auc": 0.75', '"auc": 0.95')
    folder.manifest_path.write_text(text)
    with pytest.raises(ContractError, match="was changed"):
        switch(tmp_path, folder.id)


def test_broken_pointer_stops_a_night_and_force_mends_it(tmp_path):
    put_release(tmp_path, "2016-04-10")
    put_release(tmp_path, "2016-04-11")
    switch(tmp_path, "2016-04-10.001")
    (tmp_path / "live.json").write_text("{")
    with pytest.raises(ContractError, match=r"live\.json"):
        switch(tmp_path, "2016-04-11.001")
    assert switch(tmp_path, "2016-04-10.001", promote="force").sequence == 2


HOLD = """
import pathlib, sys, time
from nightshift import files
with files.locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_lock_of_a_live_holder_holds_and_of_a_dead_one_does_not(tmp_path):
    put_release(tmp_path, "2016-04-10")
    lock = str(ReleaseStore(tmp_path).lock_path)
    command = [sys.executable, "-c", HOLD, lock]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(LockHeld, match=f"pid {holder.pid}"):
                switch(tmp_path, "2016-04-10.001", timeout_s=0.2)
        finally:
            holder.kill()
    assert switch(tmp_path, "2016-04-10.001", timeout_s=5).release_id == "2016-04-10.001"


def test_switches_at_once_come_one_after_another(tmp_path):
    names = [put_release(tmp_path, f"2016-04-{day:02d}").id for day in range(1, 13)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: switch(tmp_path, name, promote="force"), names))
    events = list(ReleaseStore(tmp_path).events())
    assert [event["sequence"] for event in events] == list(range(1, 13))
    assert [event["previous"] for event in events[1:]] == [e["release_id"] for e in events[:-1]]
    assert pointer.read_live(tmp_path).release_id == events[-1]["release_id"]


def test_a_release_judged_against_another_champion_is_refused(tmp_path):
    for ds in ("2016-04-09", "2016-04-10", "2016-04-11"):
        put_release(tmp_path, ds)
    switch(tmp_path, "2016-04-10.001")
    with pytest.raises(ReleaseRejected, match=r"compared it with 2016-04-09\.001.*10\.001 is live"):
        switch(tmp_path, "2016-04-11.001", champion="2016-04-09.001")
    assert switch(tmp_path, "2016-04-11.001", champion="2016-04-10.001").sequence == 2


def test_a_first_release_that_failed_is_withdrawn(tmp_path):
    put_release(tmp_path, "2016-04-10")
    switch(tmp_path, "2016-04-10.001")
    pointer.withdraw(tmp_path, "2016-04-09.001")
    assert pointer.read_live(tmp_path) is not None
    pointer.withdraw(tmp_path, "2016-04-10.001")
    assert pointer.read_live(tmp_path) is None
    assert switch(tmp_path, "2016-04-10.001").sequence == 2


def test_kill_between_pointer_and_log_is_made_good(tmp_path, monkeypatch):
    put_release(tmp_path, "2016-04-10")

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ReleaseStore, "log", killed)
        with pytest.raises(KeyboardInterrupt):
            switch(tmp_path, "2016-04-10.001")
    assert pointer.read_live(tmp_path).release_id == "2016-04-10.001"
    pointer.complete_log(tmp_path)
    pointer.complete_log(tmp_path)
    (event,) = ReleaseStore(tmp_path).events()
    assert (event["release_id"], event["sequence"]) == ("2016-04-10.001", 1)


# A pointer that was lost is never taken for "nothing serves".


def test_lost_pointer_is_found_again_from_the_log(tmp_path):
    for ds in ("2016-04-08", "2016-04-09", "2016-04-10"):
        put_release(tmp_path, ds)
        switch(tmp_path, f"{ds}.001")
    # By a rollback an older one serves
    switch(tmp_path, "2016-04-09.001", promote="force", reason="rollback")
    before = pointer.read_live(tmp_path)
    store = ReleaseStore(tmp_path)
    store.live_path.unlink()
    assert pointer.read_live(tmp_path) == before
    assert not store.live_path.exists()  # reading writes nothing

    # And the next to clean up puts it back, once
    pointer.complete_log(tmp_path)
    pointer.complete_log(tmp_path)
    assert json.loads(store.live_path.read_text())["release_id"] == "2016-04-09.001"
    assert [e["event"] for e in store.events()].count("restored") == 1
    assert pointer.read_live(tmp_path) == before


def test_switch_after_a_loss_knows_what_served(tmp_path):
    for ds in ("2016-04-09", "2016-04-10"):
        put_release(tmp_path, ds)
    switch(tmp_path, "2016-04-10.001")
    ReleaseStore(tmp_path).live_path.unlink()
    with pytest.raises(ReleaseRejected, match="not newer"):
        switch(tmp_path, "2016-04-09.001")
    with pytest.raises(ReleaseRejected, match="compared it with nothing"):
        switch(tmp_path, "2016-04-09.001", promote="force", champion=None)
    after = switch(tmp_path, "2016-04-09.001", promote="force")
    assert (after.sequence, after.previous) == (2, "2016-04-10.001")


def test_retention_keeps_what_a_lost_pointer_named(tmp_path):
    for day in range(1, 8):
        put_release(tmp_path, f"2016-04-0{day}")
        switch(tmp_path, f"2016-04-0{day}.001")
    switch(tmp_path, "2016-04-02.001", promote="force", reason="rollback")
    store = ReleaseStore(tmp_path)
    store.live_path.unlink()
    live = pointer.read_live(tmp_path)
    removal = retention.plan(retention.known(store), live=live.release_id, keep=2)
    assert removal.live == "2016-04-02.001"
    assert "2016-04-02.001" not in removal.releases


def test_lost_pointer_to_a_release_that_is_gone_stops_and_says_so(tmp_path):
    folder = put_release(tmp_path, "2016-04-10")
    put_release(tmp_path, "2016-04-11")
    switch(tmp_path, "2016-04-10.001")
    ReleaseStore(tmp_path).live_path.unlink()
    folder.manifest_path.unlink()
    for attempt in (pointer.read_live, pointer.complete_log):
        with pytest.raises(ContractError, match=r"is lost, and 2016-04-10.001") as error:
            attempt(tmp_path)
        assert "rollback" in str(error.value)
    with pytest.raises(ContractError):
        switch(tmp_path, "2016-04-11.001")
    assert switch(tmp_path, "2016-04-11.001", promote="force").sequence == 2


def test_withdrawn_release_is_not_taken_for_a_lost_one(tmp_path):
    put_release(tmp_path, "2016-04-10")
    switch(tmp_path, "2016-04-10.001")
    pointer.withdraw(tmp_path, "2016-04-10.001")
    assert pointer.read_live(tmp_path) is None
    pointer.complete_log(tmp_path)
    assert pointer.read_live(tmp_path) is None


def test_kill_in_the_middle_of_a_withdrawal_is_made_good(tmp_path, monkeypatch):
    put_release(tmp_path, "2016-04-10")
    switch(tmp_path, "2016-04-10.001")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pointer, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            pointer.withdraw(tmp_path, "2016-04-10.001")
    pointer.complete_log(tmp_path)
    assert pointer.read_live(tmp_path) is None
    # And it can serve again
    assert switch(tmp_path, "2016-04-10.001").sequence == 2
    pointer.complete_log(tmp_path)
    assert pointer.read_live(tmp_path).sequence == 2


def test_torn_log_line_costs_only_itself(tmp_path):
    store = ReleaseStore(tmp_path)
    store.log("one")
    with store.history_path.open("a") as file:
        file.write('{"event": "tw')
    store.log("three")
    assert [event["event"] for event in store.events()] == ["one", "three"]


def test_history_tells_every_state(tmp_path):
    put_release(tmp_path, "2016-04-07")
    put_release(tmp_path, "2016-04-08")
    put_release(tmp_path, "2016-04-09", accepted=False)
    put_release(tmp_path, "2016-04-10")
    put_release(tmp_path, "2016-04-11", accepted=None)
    for ds in ("2016-04-07", "2016-04-08", "2016-04-10"):
        switch(tmp_path, f"{ds}.001")
    retired = ReleaseStore(tmp_path).folder("2016-04-07.001")
    retired.model.rename(tmp_path / "elsewhere")
    ReleaseStore(tmp_path).log("removed", release_id=retired.id)
    ReleaseStore(tmp_path).log(
        "rejected", ds="2016-04-12", release_id=None, reasons=["data: 3 rows"]
    )
    found = {row.ds: row for row in rows(tmp_path)}
    assert {ds: row.state for ds, row in found.items()} == {
        "2016-04-07": "retired",
        "2016-04-08": "kept",
        "2016-04-09": "rejected",
        "2016-04-10": "live",
        "2016-04-11": "candidate",
        "2016-04-12": "rejected",
    }
    assert found["2016-04-09"].why == "quality: AUC is low"
    assert found["2016-04-12"].why == "data: 3 rows"
    assert found["2016-04-10"].auc == 0.75


def test_history_survives_a_broken_manifest(tmp_path):
    folder = put_release(tmp_path, "2016-04-10")
    folder.manifest_path.write_text("{}")
    (row,) = rows(tmp_path)
    assert (row.state, row.release_id) == ("broken", folder.id)
    assert "manifest.json" in row.why


@pytest.fixture
def two(tmp_path):
    for ds in ("2016-04-09", "2016-04-10", "2016-04-11"):
        put_release(tmp_path, ds)
    switch(tmp_path, "2016-04-09.001")
    switch(tmp_path, "2016-04-10.001", warm_s=3600)
    return tmp_path


def test_the_pair_before_stays_warm_for_its_time(two):
    live = pointer.read_live(two)
    assert live.shadow.pair.deployment == "jd_test00_00000000"
    assert live.shadow.pair.model_version == 20160409001
    at = dt.datetime.now(dt.timezone.utc)
    assert [p.release_id for p in live.warm(at)] == ["2016-04-09.001"]
    assert live.warm(at + dt.timedelta(hours=1, seconds=2)) == []
    assert pointer.end_shadow(two) is None
    assert switch(two, "2016-04-11.001").shadow is None  # nobody asked for one
    switch(two, "2016-04-10.001", promote="force", warm_s=0.001)
    time.sleep(1.01)
    assert pointer.end_shadow(two).release_id == "2016-04-11.001"
    assert pointer.read_live(two).shadow is None


def canary(root, release, share=0.1, column="user_id"):
    return pointer.begin_canary(root, release, share=share, column=column, probe=ready)


def test_a_canary_has_a_share_until_it_ends(two):
    live = pointer.read_live(two)
    made = canary(two, "2016-04-11.001")
    assert made == pointer.read_live(two)
    assert (made.release_id, made.sequence, made.shadow) == (
        live.release_id, live.sequence, live.shadow,
    )  # fmt: skip
    assert made.beside(made.canary.pair).names == made.canary.pair
    grown = canary(two, "2016-04-11.001", share=0.3)
    assert (grown.canary.share, grown.canary.since) == (0.3, made.canary.since)
    assert {row.release_id: row.why for row in rows(two)}["2016-04-11.001"].startswith(
        "canary since"
    )
    assert not pointer.end_canary(two, "2016-04-09.001", reason="another")
    assert pointer.end_canary(two, "2016-04-11.001", reason="withdrawal: it is worse")
    assert pointer.read_live(two) == live
    assert "it is worse" in {row.release_id: row.why for row in rows(two)}["2016-04-11.001"]
    assert not pointer.end_canary(two, "2016-04-11.001", reason="again")


@pytest.mark.parametrize(
    ("release", "share", "says"),
    [
        ("2016-04-10.001", 0.1, "it is live"),
        ("2016-04-11.001", 0.0, "share"),
        ("2016-04-11.001", 1.0, "share"),
        ("2016-04-08.001", 0.1, "does not say accepted"),
    ],
)
def test_what_cannot_be_a_canary_is_refused_and_nothing_changes(two, release, share, says):
    put_release(two, "2016-04-08", accepted=False)
    before = (two / "live.json").read_bytes()
    with pytest.raises((ReleaseRejected, ConfigurationError), match=says):
        canary(two, release, share)
    assert (two / "live.json").read_bytes() == before


def test_a_switch_ends_the_canary_and_promotes_it_if_it_is_the_one(two):
    canary(two, "2016-04-11.001")
    made = switch(two, "2016-04-11.001", warm_s=3600)
    assert (made.canary, made.shadow.pair.release_id) == (None, "2016-04-10.001")
    canary(two, "2016-04-10.001")
    assert switch(two, "2016-04-09.001", promote="force").canary is None
    ended = [e for e in ReleaseStore(two).events() if e["event"] == "canary ended"]
    assert [(e["release_id"], e["reason"]) for e in ended] == [
        ("2016-04-10.001", "2016-04-09.001 became live")
    ]


def test_a_pointer_from_before_there_were_canaries_is_read(two):
    value = json.loads((two / "live.json").read_text())
    del value["shadow"], value["canary"]
    (two / "live.json").write_text(json.dumps(value))
    live = pointer.read_live(two)
    assert (live.release_id, live.shadow, live.canary) == ("2016-04-10.001", None, None)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("canary", {"share": 2.0}),
        ("canary", {"share": True}),
        ("canary", {"pair": None}),
        ("canary", {"since": "soon"}),
        ("shadow", {"until": "2016-04-10T00:00:00"}),
        ("shadow", {"pair": {}}),
    ],
)
def test_a_broken_part_is_told(two, part, change):
    canary(two, "2016-04-11.001")
    value = json.loads((two / "live.json").read_text())
    value[part] |= change
    (two / "live.json").write_text(json.dumps(value))
    with pytest.raises(ContractError, match="is not a live pointer"):
        pointer.read_live(two)


def test_the_end_of_a_canary_that_was_killed_after_its_line_is_logged_once(two):
    canary(two, "2016-04-11.001")
    store = ReleaseStore(two)
    store.log("canary ended", release_id="2016-04-11.001", reason="withdrawal: worse")
    assert pointer.end_canary(two, "2016-04-11.001", reason="withdrawal: worse")
    assert pointer.read_live(two).canary is None
    canary(two, "2016-04-11.001")  # another canary of it ends for itself
    assert pointer.end_canary(two, "2016-04-11.001", reason="withdrawal: again")
    ended = [e["reason"] for e in store.events() if e["event"] == "canary ended"]
    assert ended == ["withdrawal: worse", "withdrawal: again"]
