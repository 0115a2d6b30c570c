"""When a list is written, when it is there already, and how its pairs are cut into calls.

Lists of a served release, after a kill too, are in `tests/nightshift/release/test_steps.py`.
"""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from nightshift import files
from nightshift.errors import ConfigurationError, LockHeld, NightshiftError
from nightshift.lists import job
from nightshift.lists.pairs import Pairs
from nightshift.pipeline import Pipeline
from nightshift.registry import leases, pointer
from nightshift.settings import Settings
from testing.releases import put_release

RELEASE = "2016-04-10.001"


@pytest.fixture
def pipeline(tmp_path):
    """One with a live release whose servers are away: nothing can be scored."""
    settings = Settings(home=tmp_path / "home", installation="test00", openmldb_port=1)
    made = Pipeline.load(settings, "jd")
    folder = put_release(made.releases, "2016-04-10")
    pointer.switch_live(made.releases, folder.id, probe=lambda *_: [], promote="force")
    return made


@pytest.fixture
def asked(tmp_path):
    for name, text in (("users", "user_id\nu1\n"), ("items", "sku_id\ns1\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    return job.Request(
        tmp_path / "lists", None, str(tmp_path / "users.csv"), str(tmp_path / "items.csv")
    )


def written(asked, **changes):
    """A finished list of the live release, as an earlier call left it."""
    folder = asked.out / "ds=2016-04-10"
    folder.mkdir(parents=True, exist_ok=True)
    summary = {"job": {"release": RELEASE}, "release": RELEASE, "rows": 1, **changes}
    files.write_json(folder / job.SUMMARY, summary)
    return folder


def test_without_a_live_release_there_is_no_list(tmp_path, asked):
    pipeline = Pipeline.load(Settings(home=tmp_path / "empty"), "jd")
    with pytest.raises(ConfigurationError, match="pipeline jd has no live release with features"):
        job.run(pipeline, asked)
    assert not asked.out.exists()


def test_another_list_of_the_date_is_not_overwritten_unasked(pipeline, asked):
    folder = written(asked)
    told = f"is there, made by release {RELEASE}; .* give --replace"
    with pytest.raises(ConfigurationError, match=told):
        job.run(pipeline, asked)
    (folder / job.SUMMARY).unlink()
    (folder / "part-00000.parquet").write_text("somebody's")
    with pytest.raises(ConfigurationError, match=r"has no _list\.json"):
        job.run(pipeline, asked)
    assert (folder / "part-00000.parquet").read_text() == "somebody's"


def test_a_date_is_a_date(pipeline, asked):
    with pytest.raises(ConfigurationError, match="--ds"):
        job.run(pipeline, replace(asked, ds="../../etc"))
    assert not asked.out.exists()


def test_two_do_not_write_one_list(pipeline, asked):
    with files.locked(asked.out / ".ds=2016-04-10.lock"), pytest.raises(LockHeld):
        job.run(pipeline, asked)


def test_a_call_that_fails_leaves_no_list_and_no_lease(pipeline, asked):
    with pytest.raises(NightshiftError):
        job.run(pipeline, asked)
    assert not (asked.out / "ds=2016-04-10").exists()
    assert leases.active(pipeline.store) == []


class Numbered(Pairs):
    """Each row says whose it is."""

    def __init__(self, users, items):
        self.users, self.items = users, items

    def rows(self, user, first, last):
        return [[user, item] for item in range(first, last)]


@pytest.mark.parametrize(("users", "items"), [(1, 1), (3, 4), (2, 10), (7, 3), (1, 25), (4, 5)])
def test_every_pair_is_asked_once_in_full_calls_and_comes_back_to_its_user(
    monkeypatch, users, items
):
    monkeypatch.setattr(job, "CALL_ROWS", 5)
    calls = list(job._calls(Numbered(users, items), 0, users))
    assert [row for rows, _ in calls for row in rows] == [
        [user, item] for user in range(users) for item in range(items)
    ]
    assert all(len(rows) == 5 for rows, _ in calls[:-1]) and 0 < len(calls[-1][0]) <= 5
    done, counts, found = {}, {}, {}
    for rows, owners in calls:
        future = Future()
        future.set_result(np.array([1000 * user + item for user, item in rows], np.float32))
        for user, scores in job._take((future, owners), done, counts, items):
            assert user not in found
            found[user] = scores.tolist()
    assert found == {user: [1000.0 * user + item for item in range(items)] for user in range(users)}
    assert (done, counts) == ({}, {})
