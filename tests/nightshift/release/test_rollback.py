"""Which release a rollback goes back to, and why it refuses."""

import pytest

from nightshift import files
from nightshift.errors import ReleaseRejected
from nightshift.registry import leases, pointer
from nightshift.registry.manifest import FeatureStamp, ModelStamp, SpecStamp, Sql
from nightshift.registry.names import sql_hash
from nightshift.registry.store import ReleaseStore
from nightshift.release import rollback
from testing.releases import HASH, put_release

SQL = "SELECT 1 FROM t"


def put(root, ds, **options):
    """A release whose manifest fits its files."""
    staged = put_release(root, ds, 999)
    sha = files.sha256_tree(staged.model)
    spec = files.sha256_file(staged.spec)
    version = int(ds.replace("-", "")) * 1000 + 1
    return put_release(
        root,
        ds,
        model=ModelStamp(name="deepfm", version=version, sha256=sha),
        features=FeatureStamp(
            sql=Sql(sha256=sql_hash(SQL), database="jd", deployment="deepfm_00000000"),
            spec=SpecStamp(sha256=spec, schema_hash=HASH, fields=32),
        ),
        **options,
    )


def go(root, ds, reason="promotion"):
    pointer.switch_live(root, f"{ds}.001", probe=lambda *_: [], promote="force", reason=reason)


@pytest.fixture
def store(tmp_path):
    for day in (7, 8, 9, 10):
        put(tmp_path, f"2016-04-{day:02d}")
    for day in (7, 8, 9):
        go(tmp_path, f"2016-04-{day:02d}")
    return ReleaseStore(tmp_path)


def test_default_is_the_one_that_served_before(store):
    assert rollback.choose(store, None).id == "2016-04-08.001"


def test_two_rollbacks_go_two_back_rather_than_there_and_back_again(store):
    go(store.root, "2016-04-08", "rollback")
    assert rollback.choose(store, None).id == "2016-04-07.001"


def test_after_a_new_promotion_the_rolled_back_one_is_not_the_previous(store):
    go(store.root, "2016-04-08", "rollback")
    go(store.root, "2016-04-10")
    assert rollback.served(store) == ["2016-04-07.001", "2016-04-08.001", "2016-04-10.001"]
    assert rollback.choose(store, None).id == "2016-04-08.001"


def test_an_older_release_forced_in_is_undone(store):
    go(store.root, "2016-04-07")
    assert rollback.choose(store, None).id == "2016-04-09.001"


def test_one_that_failed_its_probe_is_not_gone_back_to(store):
    go(store.root, "2016-04-10")
    go(store.root, "2016-04-09", "probe failed")
    assert rollback.choose(store, None).id == "2016-04-08.001"


def test_a_kept_release_that_never_served_can_be_named(store):
    assert rollback.choose(store, "2016-04-10.001").id == "2016-04-10.001"


def test_the_previous_without_a_model_is_passed_over(store):
    model = store.folder("2016-04-08.001").model
    model.rename(store.root / "gone")
    assert rollback.choose(store, None).id == "2016-04-07.001"
    with pytest.raises(ReleaseRejected, match="retention removed its model"):
        rollback.choose(store, "2016-04-08.001")


def test_refusals_give_their_reasons(store):
    with pytest.raises(ReleaseRejected, match="it is live already"):
        rollback.choose(store, "2016-04-09.001")
    with pytest.raises(ReleaseRejected, match=r"manifest\.json is not there"):
        rollback.choose(store, "2016-04-01.001")
    put(store.root, "2016-04-11", accepted=False)
    with pytest.raises(ReleaseRejected, match="gates rejected it .*AUC is low"):
        rollback.choose(store, "2016-04-11.001")
    (store.folder("2016-04-08.001").model / "more.json").write_text('{"x": 1}')
    with pytest.raises(ReleaseRejected, match="model was changed"):
        rollback.choose(store, "2016-04-08.001")
    store.folder("2016-04-07.001").sql.write_text("SELECT 2 FROM t")
    with pytest.raises(ReleaseRejected, match=r"features\.sql was changed"):
        rollback.choose(store, "2016-04-07.001")


def test_nothing_to_go_back_to(tmp_path):
    put(tmp_path, "2016-04-07")
    go(tmp_path, "2016-04-07")
    with pytest.raises(ReleaseRejected, match="no previous release"):
        rollback.choose(ReleaseStore(tmp_path), None)


def test_a_try_after_one_that_was_killed_at_its_very_end_keeps_to_its_release(tmp_path):
    store = ReleaseStore(tmp_path / "releases")
    for ds in ("2016-04-10", "2016-04-11", "2016-04-12"):
        put(store.root, ds)
        go(store.root, ds)
    leases.renew(
        store, run_token="feedbeef", run_id="rollback", ds="2016-04-11", release_id="2016-04-11.001"
    )
    go(store.root, "2016-04-11", "rollback")
    assert rollback._begun(store, "feedbeef").id == "2016-04-11.001"
    leases.close(store, "feedbeef")
    # Its work is done: choosing again would go back once more, to 2016-04-10.
    assert rollback._begun(store, "feedbeef").id == "2016-04-11.001"
    # A rollback that failed leaves another release live, and its next try chooses anew.
    go(store.root, "2016-04-12")
    assert rollback._begun(store, "feedbeef") is None
