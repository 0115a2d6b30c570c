"""Names that were changed are told, also where they are again what they were."""

import contextlib
import os
from pathlib import Path

import pytest
from socket_proxy.watching import Watch


@pytest.fixture
def watched(tmp_path):
    (tmp_path / "run").mkdir()
    handle = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    with contextlib.closing(Watch()) as watch:
        watch.add(handle, "run")
        yield tmp_path, watch
    os.close(handle)


def test_a_folder_swapped_for_a_link_and_back_is_told(watched):
    folder, watch = watched
    assert not watch.changed()
    (folder / "run").rename(folder / "aside")
    (folder / "run").symlink_to("/")
    (folder / "run").unlink()
    (folder / "aside").rename(folder / "run")
    assert (folder / "run").is_dir()
    assert watch.changed()


@pytest.mark.parametrize("how", ["remove", "replace", "create_after"])
def test_each_way_to_change_a_name_is_told(watched, how):
    folder, watch = watched
    if how == "replace":
        (folder / "other").mkdir()
        (folder / "other").rename(folder / "run")  # over an empty folder
    else:
        (folder / "run").rmdir()
        if how == "create_after":
            (folder / "run").symlink_to("/")
    assert watch.changed()


def test_what_is_beside_or_below_the_name_is_not_told(watched):
    folder, watch = watched
    (folder / "other").mkdir()
    (folder / "other").rename(folder / "third")
    (folder / "run" / "run").mkdir()
    (folder / "run" / "file").write_text("x")
    assert not watch.changed()


def test_more_changes_than_the_kernel_keeps_count_as_one_of_the_name(watched):
    folder, watch = watched
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip("this machine keeps too many events to fill its list")
    for n in range(most // 2 + 10):
        path = folder / f"n{n % 2}"
        path.touch()
        path.unlink()
    assert watch.changed()


def test_a_folder_that_is_not_there_cannot_be_watched():
    with contextlib.closing(Watch()) as watch, pytest.raises(OSError, match="run"):
        watch.add(99_999, "run")
