"""Retention never takes what is live, kept or at work."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.pipeline import Pipeline
from nightshift.registry import leases, pointer, retention
from nightshift.registry.retention import Known
from nightshift.settings import Settings
from nightshift.triton import repository as model_repository
from testing.releases import put_release


@st.composite
def histories(draw):
    count = draw(st.integers(0, 12))
    releases = []
    for n in range(count):
        day = draw(st.integers(1, 28))
        version = 20160400000 + day * 1000 + n + 1
        releases.append(
            Known(
                release_id=f"2016-04-{day:02d}.{n + 1:03d}",
                ds=f"2016-04-{day:02d}",
                version=version,
                accepted=draw(st.booleans()),
                has_model=draw(st.booleans()),
                last_live=draw(st.none() | st.integers(1, 99)),
                run_token=f"{n:08x}",
                broken=draw(st.integers(0, 9)) == 0,
            )
        )
    live = draw(st.none() | st.sampled_from([r.release_id for r in releases])) if releases else None
    names = [r.release_id for r in releases]
    return {
        "releases": releases,
        "live": live,
        "keep": draw(st.integers(0, 4)),
        "protected": draw(st.sets(st.sampled_from(names))) if names else set(),
        "versions": sorted({r.version for r in releases} | {20160331001, 20160331002}),
        "protected_versions": draw(st.sets(st.just(20160331002))),
        "runs": [(r.run_token, Path("/runs") / r.ds / r.run_token) for r in releases]
        + [("feedbeef", Path("/runs/2016-03-31/feedbeef"))],
        "protected_runs": draw(st.sets(st.just("feedbeef"))),
    }


@given(histories())
@settings(deadline=None)
def test_never_takes_what_is_live_kept_broken_or_at_work(history):
    removal = retention.plan(**history)
    of = {r.release_id: r for r in history["releases"]}
    stays = {*removal.kept, *history["protected"], *([history["live"]] if history["live"] else [])}
    stays |= {r.release_id for r in history["releases"] if r.broken}
    assert not stays & set(removal.releases)
    assert not {of[name].version for name in stays} & set(removal.versions)
    assert not history["protected_versions"] & set(removal.versions)
    tokens = {of[name].run_token for name in stays} | history["protected_runs"]
    assert not {path.name for path in removal.runs} & tokens


@given(histories())
@settings(deadline=None)
def test_takes_everything_else_and_nothing_the_second_time(history):
    removal = retention.plan(**history)
    of = {r.release_id: r for r in history["releases"]}
    stays = {*removal.kept, *history["protected"], *([history["live"]] if history["live"] else [])}
    for release in history["releases"]:
        if release.has_model and not release.broken and release.release_id not in stays:
            assert release.release_id in removal.releases
    assert 20160331001 in removal.versions
    left = [
        r if r.release_id not in removal.releases else Known(**{**vars(r), "has_model": False})
        for r in history["releases"]
    ]
    again = retention.plan(
        **{
            **history,
            "releases": left,
            "versions": [v for v in history["versions"] if v not in removal.versions],
            "runs": [item for item in history["runs"] if item[1] not in removal.runs],
        }
    )
    assert (again.releases, again.versions, again.runs) == ((), (), ())
    assert again.kept == removal.kept
    assert all(of[name].accepted for name in again.kept)


@given(histories())
@settings(deadline=None)
def test_keeps_the_last_served_first_and_no_more_than_asked(history):
    removal = retention.plan(**history)
    of = {r.release_id: r for r in history["releases"]}
    served = [of[name] for name in removal.kept if of[name].last_live is not None]
    assert len(served) <= history["keep"]
    assert len(removal.kept) <= 2 * history["keep"]
    left_out = [
        r.last_live
        for r in history["releases"]
        if r.last_live is not None
        and r.accepted
        and r.has_model
        and not r.broken
        and r.release_id not in (*removal.kept, history["live"])
    ]
    if served and left_out:
        assert min(r.last_live for r in served) >= max(left_out)


def house(tmp_path, keep=1):
    chosen = Pipeline.load(Settings(home=tmp_path, installation="test00"))
    chosen = chosen.with_config(keep_releases=keep)
    return chosen, chosen.store


def test_on_disk_the_live_and_the_previous_stay(tmp_path):
    chosen, store = house(tmp_path)
    for day in ("07", "08", "09", "10"):
        folder = put_release(chosen.releases, f"2016-04-{day}")
        version = model_repository.version_folder(
            chosen.model_repo, "jd_test00", folder.manifest().model.version
        )
        version.mkdir(parents=True)
        folder.judged.mkdir()  # of a refit, the model that was judged
        if day != "07":
            pointer.switch_live(chosen.releases, folder.id, probe=lambda *_: [])
    put_release(chosen.releases, "2016-04-11", accepted=False)
    (chosen.runs / "2016-04-08" / "abcdabcd").mkdir(parents=True)
    leases.renew(store, run_token="abcdabcd", run_id="r", ds="2016-04-08", ttl_s=-retention.RUN_GRACE_S)  # fmt: skip
    retention.run(chosen)
    restorable = [f.id for f in store.releases() if f.model.is_dir()]
    # The live one, the one before, and the newest that never served.
    assert restorable == ["2016-04-07.001", "2016-04-09.001", "2016-04-10.001"]
    assert [f.id for f in store.releases() if f.judged.is_dir()] == restorable
    assert model_repository.versions(chosen.model_repo, "jd_test00") == [
        20160407001,
        20160409001,
        20160410001,
    ]
    assert [f.id for f in store.releases()][-1] == "2016-04-11.001"  # its record stays
    assert not (chosen.runs / "2016-04-08").exists()
    assert leases.read_all(store) == {}


def test_a_run_at_work_keeps_its_candidate_version_and_folder(tmp_path):
    chosen, store = house(tmp_path, keep=0)
    put_release(chosen.releases, "2016-04-10", accepted=None)
    model_repository.version_folder(chosen.model_repo, "jd_test00", 20160410001).mkdir(parents=True)
    run = chosen.runs / "2016-04-10" / "abcdabcd"
    run.mkdir(parents=True)
    leases.renew(
        store,
        run_token="abcdabcd",
        run_id="r",
        ds="2016-04-10",
        release_id="2016-04-10.001",
        versions=[20160410001],
    )
    retention.run(chosen)
    assert store.folder("2016-04-10.001").model.is_dir()
    assert model_repository.versions(chosen.model_repo, "jd_test00") == [20160410001]
    assert run.is_dir()
    leases.close(store, "abcdabcd")
    retention.run(chosen)
    assert not store.folder("2016-04-10.001").model.is_dir()
    assert model_repository.versions(chosen.model_repo, "jd_test00") == []
    assert run.is_dir()  # a run without a release rests, to be looked into


def test_what_goes_live_while_retention_waits_stays(tmp_path):
    chosen, store = house(tmp_path, keep=0)
    for day in ("09", "10"):
        put_release(chosen.releases, f"2016-04-{day}")
    pointer.switch_live(chosen.releases, "2016-04-09.001", probe=lambda *_: [])
    with ThreadPoolExecutor(1) as pool:

        def probe(*_):
            # Under the switch lock: retention waits, or comes later on a slow machine.
            waiting.append(pool.submit(retention.run, chosen))
            time.sleep(0.2)
            return []

        waiting = []
        pointer.switch_live(chosen.releases, "2016-04-10.001", probe=probe)
        report = waiting[0].result(180)
    assert report["removed_releases"] == ["2016-04-09.001"]
    assert store.folder("2016-04-10.001").model.is_dir()
