"""Following a pointer: a new release is taken up whole, or the old one goes on."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from predict_server import live

from nightshift.errors import ContractError
from nightshift.registry import pointer
from testing.releases import put_release


class Family:
    """Reads and prepares at once; `refuses` names releases that cannot be made ready."""

    def __init__(self):
        self.refuses = set()
        self.hold = None

    def read(self, found, releases):
        if self.hold is not None:
            self.hold.wait()
        return releases

    async def prepare(self, found, read, context):
        if found.release_id in self.refuses:
            raise ContractError(f"{found.release_id} is broken")
        return SimpleNamespace(pointer=found, names=lambda: {"release": found.release_id})


@pytest.fixture
def family():
    return Family()


@pytest.fixture
def follower(tmp_path, family, monkeypatch):
    monkeypatch.setattr(live, "WAIT_S", 600.0)  # however slow the machine is
    metrics = SimpleNamespace(took_up=lambda names: None, refused=SimpleNamespace(inc=lambda: None))
    context = SimpleNamespace(settings=SimpleNamespace(predict_timeout_s=600.0), metrics=metrics)
    return live.Follower(tmp_path, lambda _: family, context)


def switch(root, ds):
    folder = put_release(root, ds)
    pointer.switch_live(root, folder.id, probe=lambda *_: [])
    return folder.id


async def test_nothing_is_live_until_a_pointer_is_there(tmp_path, follower):
    assert await follower.live() is None
    assert "no release is live yet" in follower.problem
    first = switch(tmp_path, "2026-03-01")
    assert (await follower.live()).pointer.release_id == first
    assert follower.problem is None


async def test_a_release_that_cannot_be_made_ready_leaves_the_old_one(tmp_path, follower, family):
    first = switch(tmp_path, "2026-03-01")
    await follower.live()
    family.refuses.add("2026-03-02.001")
    second = switch(tmp_path, "2026-03-02")
    assert (await follower.live()).pointer.release_id == first
    assert follower.problem == f"{second} is broken"
    family.refuses.clear()
    third = switch(tmp_path, "2026-03-03")
    assert (await follower.live()).pointer.release_id == third
    assert follower.problem is None


async def test_a_release_whose_files_do_not_answer_is_told_and_the_old_one_goes_on(
    tmp_path, follower, family
):
    first = switch(tmp_path, "2026-03-01")
    await follower.live()
    family.hold = threading.Event()  # a network drive that is away
    follower._timeout_s = 0.2
    try:
        switch(tmp_path, "2026-03-02")
        assert (await follower.live()).pointer.release_id == first
        assert "not ready within 0.2 s" in follower.problem
    finally:
        family.hold.set()
    follower._timeout_s = 600.0
    third = switch(tmp_path, "2026-03-03")
    assert (await follower.live()).pointer.release_id == third


@pytest.mark.parametrize("content", ["", "{broken", "[]"])
async def test_a_broken_pointer_is_told_and_the_old_release_answers(tmp_path, follower, content):
    first = switch(tmp_path, "2026-03-01")
    await follower.live()
    (tmp_path / "live.json").write_text(content)
    assert (await follower.live()).pointer.release_id == first
    assert "live.json" in follower.problem
    (tmp_path / "live.json").unlink()
    await follower.retry()
    assert (await follower.live()).pointer.release_id == first
    assert "the release that answered goes on" in follower.problem


async def test_many_requests_wait_for_one_attempt(tmp_path, follower, family):
    switch(tmp_path, "2026-03-01")
    family.hold = threading.Event()
    asked = [asyncio.create_task(follower.live()) for _ in range(20)]
    await asyncio.sleep(0)
    family.hold.set()
    found = await asyncio.gather(*asked)
    assert len({id(release) for release in found}) == 1
    assert found[0] is not None


async def test_a_request_that_is_given_up_ends_nobody_elses_wait(tmp_path, follower, family):
    switch(tmp_path, "2026-03-01")
    family.hold = threading.Event()
    one, other = (asyncio.create_task(follower.live()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    family.hold.set()
    assert (await other).pointer.release_id == "2026-03-01.001"
