"""A lease protects what its run makes until the run closes it, or its time is over."""

import pytest

from nightshift import files
from nightshift.registry import leases
from nightshift.registry.store import ReleaseStore

RUN = {"run_id": "manual__1", "ds": "2026-03-01"}


@pytest.fixture
def store(tmp_path):
    return ReleaseStore(tmp_path / "releases")


def test_each_renewal_adds_to_what_is_protected(store):
    leases.renew(store, run_token="aaaa0000", versions=[3], workspace="w", **RUN)
    leases.renew(store, run_token="aaaa0000", release_id="r", deployments=["d"], **RUN)
    lease = leases.renew(store, run_token="aaaa0000", versions=[3, 1], **RUN)
    assert (lease.versions, lease.deployments) == ((1, 3), ("d",))
    assert (lease.release_id, lease.workspace) == ("r", "w")
    assert leases.read_all(store) == {"aaaa0000": lease}


def test_active_are_those_of_other_runs_that_may_be_at_work(store):
    for token, ttl_s in (("aaaa0000", 60), ("bbbb0000", 60), ("cccc0000", -1), ("dddd0000", 60)):
        leases.renew(store, run_token=token, ttl_s=ttl_s, **RUN)
    leases.close(store, "dddd0000")
    assert [x.run_token for x in leases.active(store, but="aaaa0000")] == ["bbbb0000"]


def test_closing_is_done_once_and_a_renewal_opens_again(store):
    leases.close(store, "aaaa0000")
    assert leases.read_all(store) == {}
    leases.renew(store, run_token="aaaa0000", versions=[3], **RUN)
    leases.close(store, "aaaa0000")
    (closed,) = leases.read_all(store).values()
    leases.close(store, "aaaa0000")
    assert leases.read_all(store)["aaaa0000"].expires_at == closed.expires_at
    assert leases.renew(store, run_token="aaaa0000", **RUN).versions == (3,)
    assert [x.run_token for x in leases.active(store)] == ["aaaa0000"]


def test_files_that_are_no_lease_are_passed_over_and_a_forgotten_one_is_gone(store):
    leases.renew(store, run_token="aaaa0000", **RUN)
    for name, text in (("broken", "{"), ("list", "[]"), ("empty", "{}")):
        (store.leases / f"{name}.json").write_text(text)
    assert list(leases.read_all(store)) == ["aaaa0000"]
    leases.forget(store, "aaaa0000")
    leases.forget(store, "aaaa0000")
    assert leases.read_all(store) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": None},
        {"expires_at": "2026"},
        {"run_token": []},
        {"run_token": "../../other"},  # `forget` would remove a file elsewhere
        {"closed": 0},
        {"versions": ["3"]},
        {"deployments": [None]},
        {"workspace": 7},
    ],
)
def test_a_file_that_is_no_lease_is_passed_over(store, change):
    leases.renew(store, run_token="aaaa0000", **RUN)
    leases.renew(store, run_token="bbbb0000", **RUN)
    path = store.leases / "bbbb0000.json"
    files.write_json(path, {**files.read_json(path), **change})
    assert list(leases.read_all(store)) == ["aaaa0000"]
    assert [one.run_token for one in leases.active(store)] == ["aaaa0000"]
