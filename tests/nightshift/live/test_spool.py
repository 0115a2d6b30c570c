"""Spool files: whole frames come back, whatever was cut off behind them."""

import fcntl
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import LockHeld
from nightshift.live import spool
from nightshift.live.spool import Answer, Context, Spool

CONTEXT = Context(
    0, "2026-01-01.001", "d", "m", 1, (("id", "string"),), (("n", "int64"),), None, (), ()
)


def answer(number, scores=b"\x00\x00\x00?"):
    raw = msgspec.Raw(spool.packed([[f"r{number}"]]))
    return Answer(0, f"a-{number}", "predict", "live", 5, 4, "h", "f", "{}", None, scores, raw, raw)


def written(path, count):
    file = Spool(path)
    file.append(spool.frame(CONTEXT))
    for number in range(count):
        file.append(spool.frame(answer(number)))
    return file


def receipts(path):
    return [one.receipt for one in spool.frames(path) if isinstance(one, Answer)]


def test_what_was_appended_comes_back(tmp_path):
    file = written(tmp_path / "w1", 3)
    assert receipts(file.path) == ["a-0", "a-1", "a-2"]
    first, one, *_ = spool.frames(file.path)
    assert first == CONTEXT
    assert one.rows == [["r0"]]
    assert one.scores_as_floats() == [0.5]
    file.close()


@given(st.data())
def test_a_file_cut_anywhere_gives_the_frames_before_the_cut(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("spool")
    frames = [spool.frame(CONTEXT), *(spool.frame(answer(n)) for n in range(3))]
    cut = data.draw(st.integers(0, sum(map(len, frames))))
    path = folder / "w.done"
    path.write_bytes(b"".join(frames)[:cut])
    ends = [sum(map(len, frames[: n + 1])) for n in range(4)]
    assert len(list(spool.frames(path))) == sum(end <= cut for end in ends)


def test_a_damaged_frame_ends_the_file(tmp_path):
    first, second = spool.frame(answer(0)), bytearray(spool.frame(answer(1)))
    second[-1] ^= 1
    path = tmp_path / "w.done"
    path.write_bytes(first + second + first)
    assert receipts(path) == ["a-0"]


def test_a_closed_file_is_done_and_an_empty_one_goes(tmp_path):
    empty = Spool(tmp_path / "empty")
    empty.close()
    full = written(tmp_path / "full", 1)
    full.close()
    full.close()
    assert spool.paths(tmp_path) == [tmp_path / "full.done"]


def test_a_file_that_was_closed_or_compacted_meanwhile_is_read_as_it_is(tmp_path):
    file = written(tmp_path / "w", 2)
    open_path = file.path
    file.close()
    assert receipts(open_path) == ["a-0", "a-1"]
    open_path.with_suffix(".done").unlink()
    assert receipts(open_path) == []


def test_a_file_that_is_being_written_is_not_adopted(tmp_path):
    file = written(tmp_path / "alive", 1)
    dead = tmp_path / "dead.open"
    dead.write_bytes(spool.frame(answer(7)))
    spool.adopt(tmp_path)
    assert spool.paths(tmp_path) == [file.path, tmp_path / "dead.done"]
    assert receipts(tmp_path / "dead.done") == ["a-7"]
    file.close()


def test_a_file_is_not_adopted_before_its_writer_has_locked_it(tmp_path, monkeypatch):
    lock = fcntl.flock

    def late(file, how):
        monkeypatch.undo()
        spool.adopt(tmp_path)  # as another process may, just now
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    file = written(tmp_path / "w", 1)
    assert spool.paths(tmp_path) == [file.path]
    assert receipts(file.path) == ["a-0"]
    file.close()


def test_what_a_writer_left_before_its_first_frame_goes_after_a_while(tmp_path):
    old, young = tmp_path / "old.new", tmp_path / "young.new"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    spool.adopt(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_a_failed_append_leaves_whole_frames_only(tmp_path, monkeypatch):
    file = written(tmp_path / "w", 1)
    write = os.write

    def full(fd, data):
        monkeypatch.setattr(os, "write", refuse)
        return write(fd, data[:5])

    def refuse(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        file.append(spool.frame(answer(1)))
    monkeypatch.undo()
    file.append(spool.frame(answer(2)))
    assert receipts(file.path) == ["a-0", "a-2"]
    assert file.size == file.path.stat().st_size
    file.close()


def test_a_worker_is_asked_to_roll_by_files_opened_before(tmp_path):
    assert not spool.asked_to_roll(tmp_path, 0.0)
    spool.roll(tmp_path / "nowhere")
    spool.roll(tmp_path)
    moment = (tmp_path / "roll").stat().st_mtime
    assert spool.asked_to_roll(tmp_path, moment - 1)
    assert not spool.asked_to_roll(tmp_path, moment + 1)


def test_rolling_gives_up_on_a_worker_that_does_not_close(tmp_path):
    file = written(tmp_path / "w", 1)
    with pytest.raises(LockHeld, match=r"w\.open is still written"):
        spool.roll(tmp_path, timeout_s=0.0)
    file.close()
    spool.roll(tmp_path, timeout_s=0.0)
