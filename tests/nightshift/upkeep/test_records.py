"""Records of long ago go; what serves, is kept or at work stays, and so does its history."""

import datetime as dt

import pytest

from nightshift import upkeep
from nightshift.errors import ContractError
from nightshift.registry import leases, pointer
from nightshift.registry.store import ReleaseFolder
from nightshift.triton import repository
from nightshift.upkeep import records
from tests.nightshift.upkeep.conftest import put

NOW = dt.datetime.now(dt.timezone.utc)
BEFORE = NOW - dt.timedelta(days=60)
OLD = NOW - dt.timedelta(days=90)


def prune(pipeline):
    return records.prune(pipeline, before=BEFORE, now=NOW)


def retire(folder: ReleaseFolder) -> ReleaseFolder:
    repository.put_away(folder.model)
    return folder


def test_only_old_records_without_a_model_go(pipeline):
    old = retire(put(pipeline, "2025-01-01", OLD))
    kept = put(pipeline, "2025-01-02", OLD)
    young = retire(put(pipeline, "2025-01-03", NOW - dt.timedelta(days=5)))
    rejected = retire(put(pipeline, "2025-01-04", NOW - dt.timedelta(days=30), accepted=False))
    work = retire(put(pipeline, "2025-01-05", OLD))
    leases.renew(
        pipeline.store, run_token="0123abcd", run_id="r", ds="2025-01-05", release_id=work.id
    )
    broken = retire(put(pipeline, "2025-01-06", OLD))
    broken.manifest_path.write_text("{}")
    assert prune(pipeline) == {"releases": 1, "cards": 1, "events": 0, "versions": 0}
    assert not old.root.exists()
    for folder in (kept, young, rejected, work, broken):
        assert folder.root.is_dir()
    # The large part of a record goes once monitoring looks back to it no more.
    cards = [f.data_card.exists() for f in (kept, young, rejected, work, broken)]
    assert cards == [True, True, False, True, True]
    assert prune(pipeline)["releases"] == 0


def test_the_log_keeps_what_a_rollback_and_a_lost_pointer_need(pipeline, monkeypatch):
    monkeypatch.setattr("nightshift.registry.store.now", lambda: OLD.strftime("%FT%TZ"))
    gone, first, second = (put(pipeline, f"2025-01-0{n}", OLD) for n in (1, 2, 3))
    for folder in (gone, first, second):
        pointer.switch_live(pipeline.releases, folder.id, probe=lambda *_: [])
    retire(gone)
    pipeline.store.log("rejected", release_id=None, ds="2025-01-04", reasons=["late"])
    with pipeline.store.history_path.open("ab") as file:
        file.write(b'{"event": "swit')  # a writer was killed
    pipeline.store.log("removed", release_id=gone.id)
    assert prune(pipeline)["events"] == 2  # the switch to what is gone, and the torn line
    found = [(e["event"], e.get("release_id")) for e in pipeline.store.events()]
    assert found == [
        ("switched", first.id), ("switched", second.id), ("rejected", None), ("removed", gone.id),
    ]  # fmt: skip
    pipeline.store.live_path.unlink()
    assert pointer.read_live(pipeline.releases).sequence == 3
    # Everything of before the last switch that nothing needs goes, once there is a later one.
    third = put(pipeline, "2025-01-05", OLD)
    pointer.switch_live(pipeline.releases, third.id, probe=lambda *_: [])
    assert prune(pipeline)["events"] == 2
    assert [e["release_id"] for e in pipeline.store.events() if e["event"] == "switched"] == [
        first.id, second.id, third.id,
    ]  # fmt: skip


def test_a_number_is_remembered_as_long_as_anything_bears_it(pipeline):
    repo, model = pipeline.model_repo, pipeline.model
    repository.claim(repo, model, pipeline.owner)
    for ds in ("2025-01-01", "2025-01-02", "2025-01-03", f"{NOW.date()}"):
        repository.allocate_version(repo, model, ds, owner="a")
    repository.version_folder(repo, model, 20250102001).mkdir()
    retire(put(pipeline, "2025-01-03", NOW))
    assert prune(pipeline)["versions"] == 1
    given = [
        repository.allocate_version(repo, model, f"2025-01-0{n}", owner="b") % 1000
        for n in (1, 2, 3)
    ]
    assert given == [1, 2, 2]
    assert repository.allocate_version(repo, model, f"{NOW.date()}", owner="b") % 1000 == 2


def test_a_broken_pointer_removes_nothing_and_is_told(pipeline):
    old = retire(put(pipeline, "2025-01-01", OLD))
    pipeline.store.live_path.write_text("{")
    with pytest.raises(ContractError):
        prune(pipeline)
    found = upkeep.run(pipeline.settings)
    assert len(found["problems"]) == 1
    assert "live.json" in found["problems"][0]
    assert "logs" in found
    assert old.root.is_dir()
