"""Parts of the ledger in processes of their own."""

import contextlib

import psutil
import pytest

from nightshift import layout
from nightshift.errors import DataError, OpenMLDBError, RetryableError
from nightshift.live.skew import workers
from tests.nightshift.live.skew.conftest import DAY, START, YESTERDAY


@pytest.fixture
def busy(shop):
    """A day of eight users, each a part of its own."""
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    for n in range(8):
        shop.ask(f"user {n}", START + 5000 + n)
    shop.night()
    return shop


def worker_processes():
    """The workers of this process."""
    found = []
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has ended
            if "nightshift.live.skew.workers" in one.cmdline():
                found.append(one)
    return found


def left_behind(shop):
    return [name for name in shop.client.databases() if "_observe" in name]


def test_a_worker_that_is_killed_ends_the_run_and_leaves_nothing(busy):
    def kill(text):
        if text.startswith("as the store stood"):
            for one in worker_processes():
                one.kill()

    with pytest.raises(RetryableError, match="exit code -9"):
        busy.observe(part=1, said=kill)
    assert not left_behind(busy)
    assert not worker_processes()
    assert busy.observe(part=1)["requests"] == 8


def test_what_a_worker_raises_is_raised_here(busy):
    def damage(text):
        if text.startswith("as the store stood"):
            place = layout.partition(busy.pipeline.data, "visit", DAY)
            (place / "part-0.parquet").write_bytes(b"PAR1 is how it began, PAR1")

    with pytest.raises(DataError, match=r"visit.*part-0\.parquet"):
        busy.observe(part=1, said=damage)
    assert not left_behind(busy)


def test_a_worker_ends_with_its_connection():
    worker = workers.Worker(None, 5.0)
    assert worker._process.poll() is None
    worker._ours.close()
    assert worker._process.wait(20) == 0


def test_an_error_that_would_be_lost_on_the_way_is_told_in_words():
    class Local(Exception):
        pass

    assert workers._sendable(OpenMLDBError("no", 7)).code == 7
    told = workers._sendable(Local("far away"))
    assert type(told) is RuntimeError
    assert "far away" in str(told)
