"""The list of releases: what it says of a night, and how it is laid out."""

import pytest

from nightshift import files, layout
from nightshift.layout import RunFolder
from nightshift.night import Night
from nightshift.pipeline import Pipeline
from nightshift.registry import history, leases, pointer
from nightshift.registry.store import ReleaseStore
from nightshift.release import candidate, recover, steps
from nightshift.settings import Settings
from testing.releases import put_release

RUN = "manual__2016-04-11"
LONG = (
    "quality: AUC is not shown (too few rows, or too uncertain a difference) to be as good as "
    "the live release 2016-04-10.001's: difference -0.0210, 90% interval [-0.0512, +0.0071]"
)


@pytest.fixture
def night(tmp_path):
    """A night, its store, a live release, and an accepted candidate of a run whose lease is open."""
    pipeline = Pipeline.load(Settings(home=tmp_path, installation="test00"))
    store = pipeline.store
    put_release(store.root, "2016-04-10")
    pointer.switch_live(store.root, "2016-04-10.001", probe=lambda *_: [])
    folder = put_release(store.root, "2016-04-11")
    run = RunFolder.of(pipeline.runs, "2016-04-11", RUN)
    run.root.mkdir(parents=True)
    leases.renew(
        store, run_token=layout.run_token(RUN), run_id=RUN, ds="2016-04-11", release_id=folder.id
    )
    plan = {"ds": "2016-04-11", "run_id": RUN, "run_dir": str(run.root), "workspace": "jd_x"}
    return Night(pipeline, plan), store


def why(store, release):
    (row,) = [row for row in history.rows(store.root) if row.release_id == release]
    return row.state, row.why


def test_a_release_whose_night_goes_on_is_a_candidate_still(night):
    _, store = night
    assert why(store, "2016-04-11.001") == (
        "candidate", "the gates let it through, and its night goes on",
    )  # fmt: skip
    leases.close(store, layout.run_token(RUN))
    assert why(store, "2016-04-11.001") == ("kept", "never live")


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("ann", "not approved by ann"),
        (None, "nobody approved it within 12:00:00"),
    ],
)
def test_an_approval_that_was_refused_or_never_given(night, by, said):
    """No server is there, and the night is written down all the same."""
    night, store = night
    answer = {"approved": False, "by": by}
    steps.finish(night, release="2016-04-11.001", approval=answer)
    assert why(store, "2016-04-11.001") == ("kept", said)
    assert why(store, "2016-04-10.001")[0] == "live"
    assert leases.active(store) == []


def test_an_approval_that_was_given_leaves_no_note(night):
    night, store = night
    answer = {"approved": True, "by": "ann"}
    steps.finish(night, release="2016-04-11.001", approval=answer)
    assert why(store, "2016-04-11.001") == ("kept", "never live")


def test_a_switch_that_failed_is_told_of_a_kept_release(night):
    night, store = night
    steps.finish(night, release="2016-04-11.001", failures=["task switch failed"])
    assert why(store, "2016-04-11.001") == ("kept", "task switch failed")
    verdict = store.folder("2016-04-11.001").verdict()
    assert verdict["accepted"]


@pytest.mark.parametrize(
    "damaged", ['{"half', "", "[]", "7", '{"sequence": "x"}', "[" * 10**5, None]
)
def test_a_damaged_pointer_is_told_at_the_release_that_served(night, damaged):
    _, store = night
    store.live_path.unlink()
    if damaged is None:
        store.live_path.mkdir()
    else:
        store.live_path.write_text(damaged)
    state, said = why(store, "2016-04-10.001")
    assert state == "kept"
    assert str(store.live_path) in said
    assert "rollback DAG" in said
    assert "live.json" not in why(store, "2016-04-11.001")[1]


def test_a_night_that_died_before_its_candidate_is_told_once(tmp_path):
    store = ReleaseStore(tmp_path)
    leases.renew(store, run_token="0123abcd", run_id="died", ds="2016-04-11", ttl_s=-1)
    leases.renew(store, run_token="0123abce", run_id="at work", ds="2016-04-12")
    recover._judge_the_dead(store)
    recover._judge_the_dead(store)
    (row,) = history.rows(tmp_path)
    assert (row.ds, row.state) == ("2016-04-11", "rejected")
    assert row.why == "its run ended before there was a candidate"
    assert [lease.run_id for lease in leases.active(store)] == ["at work"]


def test_a_night_without_its_partitions_is_told_once(tmp_path):
    store = ReleaseStore(tmp_path)
    for _ in range(2):
        candidate.log_rejection(store, ds="2016-04-11", run_id="r", reasons=["plan: no data"])
    (row,) = history.rows(tmp_path)
    assert (row.release_id, row.ds, row.why) == ("", "2016-04-11", "plan: no data")


def test_long_reasons_are_folded_in_their_column_on_a_terminal_only(tmp_path):
    put_release(tmp_path, "2016-04-10")
    files.write_json(
        ReleaseStore(tmp_path).folder("2016-04-10.001").verdict_path,
        {"accepted": False, "reasons": [LONG]},
    )
    put_release(tmp_path, "2016-04-11")
    found = history.rows(tmp_path)
    head, *lines = history.table(found, width=100).splitlines()
    assert max(map(len, lines)) <= 100
    column = head.index("why")
    assert " ".join(line[column:] for line in lines[:-1]) == LONG
    assert all(line[:column].isspace() for line in lines[1:-1])
    assert lines[-1][column:] == "never live"
    assert len(history.table(found).splitlines()) == 3
    assert LONG in history.table(found)


def test_a_terminal_narrower_than_the_table_still_shows_reasons(tmp_path):
    put_release(tmp_path, "2016-04-10", accepted=False)
    assert "quality: AUC is low" in history.table(history.rows(tmp_path), width=20)
