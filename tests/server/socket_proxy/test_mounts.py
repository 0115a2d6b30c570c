"""Which folders may be mounted, on a real file system."""

import pytest
from socket_proxy import mounts
from socket_proxy.errors import Refused
from socket_proxy.policy import Policy


@pytest.fixture
def home(tmp_path):
    for name in ("home/runs/jd/2026-03-01/0123abcd", "home/releases/jd", "project/include", "else"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def policy(home):
    return Policy.from_env(
        {
            "NIGHTSHIFT_HOME": str(home),
            "NIGHTSHIFT_PROJECT": str(home.parent / "project"),
            "NIGHTSHIFT_TASK_IMAGE_TRAIN": "train:1",
            "NIGHTSHIFT_TASK_USER": "10001:10001",
        }
    )


def test_a_run_is_written_to_and_the_rest_is_read(home, policy):
    run = str(home / "runs/jd/2026-03-01/0123abcd")
    mounts.check(run, read_only=False, policy=policy)
    mounts.check(run, read_only=True, policy=policy)
    mounts.check(str(home / "releases/jd"), read_only=True, policy=policy)
    with pytest.raises(Refused, match="written to"):
        mounts.check(str(home / "releases/jd"), read_only=False, policy=policy)


@pytest.mark.parametrize("path", ["/etc", "/", "{home}/secrets", "{home}/runs/../../else", "runs"])
def test_any_other_folder_is_refused(home, policy, path):
    with pytest.raises(Refused):
        mounts.check(path.format(home=home), read_only=True, policy=policy)


@pytest.mark.parametrize("place", ["runs/jd/2026-03-01/0123abcd", "runs/jd", "runs"])
def test_a_link_anywhere_on_the_way_is_refused(home, policy, place):
    run = home / "runs/jd/2026-03-01/0123abcd"
    moved = home.parent / "moved"
    (home / place).rename(moved)
    (home / place).symlink_to(moved)
    with pytest.raises(Refused, match="no link"):
        mounts.check(str(run), read_only=True, policy=policy)


def test_a_folder_that_is_not_there_or_is_a_file_is_refused(home, policy):
    absent = home / "runs/jd/2026-03-02/0123abcd"
    with pytest.raises(Refused, match="must be a folder"):
        mounts.check(str(absent), read_only=True, policy=policy)
    absent.parent.mkdir()
    absent.write_text("a file")
    with pytest.raises(Refused, match="must be a folder"):
        mounts.check(str(absent), read_only=True, policy=policy)


def test_the_home_itself_may_be_reached_by_a_link(home, policy):
    moved = home.parent / "disk"
    home.rename(moved)
    home.symlink_to(moved)
    mounts.check(str(home / "releases/jd"), read_only=True, policy=policy)
