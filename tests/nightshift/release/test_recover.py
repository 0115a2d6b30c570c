"""What recovery takes for its own among the databases of runs."""

from nightshift.registry import leases
from nightshift.registry.manifest import Run
from nightshift.registry.store import ReleaseStore
from nightshift.release import recover
from testing.releases import put_release


def test_a_run_database_of_an_earlier_version_is_adopted_by_its_run(tmp_path):
    store = ReleaseStore(tmp_path / "releases")
    old = put_release(
        store.root,
        "2026-03-01",
        run=Run(id="manual__2026-03-01", token="feedbeef"),
        installation=None,
        pipeline=None,
        signature=None,
        format=1,
    )
    put_release(store.root, "2026-03-03")  # of format 2: its runs' databases have owners
    leases.renew(store, run_token="0123abcd", run_id="a later run", ds="2026-03-02", ttl_s=-1)
    database = old.manifest().sql.database
    names = [
        f"{database}_20260301_feedbeef",
        f"{database}_20260302_0123abcd_check",
        f"{database}_20260302_ffffffff",
        f"{database}_20260302_ffffffff_check",
        f"other_{database}_20260301_feedbeef",
        database,
    ]
    adopted, strangers = recover._legacy_workspaces(store, names)
    assert adopted == names[:2]
    assert strangers == names[2:4]
    assert names[2] in recover._how_to_drop(names[2])


def test_without_releases_of_an_earlier_version_nothing_is_adopted(tmp_path):
    store = ReleaseStore(tmp_path / "releases")
    put_release(store.root, "2026-03-03", run=Run(id="r", token="feedbeef"))
    assert recover._legacy_workspaces(store, ["jd_test00_20260303_feedbeef"]) == ([], [])
