"""The log: what was synced is read back, a torn end is cut off, other damage is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from openmldb_embedded.wal import Log, LogError, log_files, newest_file, read_log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "log"
    made.mkdir()
    return made


def _read(folder: Path, *, repair: bool = False) -> list[object]:
    return list(read_log(folder, 0, snapshot=False, repair=repair))


def _written(folder: Path, count: int) -> tuple[Path, list[int]]:
    """A log of one file, and where its title and its records end."""
    log = Log(folder, 0)
    ends = [log.size]
    for n in range(count):
        log.sync(log.append({"n": n, "text": "a row {of} text"}))
        ends.append(log.size)
    log.close()
    return folder / "00000000.log", ends


def test_records_come_back_in_order_over_files(folder: Path) -> None:
    log = Log(folder, 0)
    records: list[object] = [{"n": n, "text": "é\u0000"} for n in range(50)]
    for place, record in enumerate(records):
        log.sync(log.append(record))
        if place % 20 == 19:
            log.rotate()
    log.close()
    assert _read(folder) == records
    assert [number for number, _ in log_files(folder)] == [0, 1, 2]


def test_a_file_cut_anywhere_keeps_its_whole_records(folder: Path) -> None:
    path, ends = _written(folder, 5)
    whole = path.read_bytes()
    for size in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:size])
        kept = sum(end <= size for end in ends[1:])
        assert [record["n"] for record in _read(folder)] == list(range(kept))  # type: ignore[index]
        assert path.stat().st_size == ends[kept]


def test_a_flipped_bit_before_whole_records_is_told_wherever_it_is(folder: Path) -> None:
    path, ends = _written(folder, 4)
    whole = path.read_bytes()
    for place in range(
        ends[0], ends[3]
    ):  # in a length, a checksum or a text, of each record but the last
        record = sum(end <= place for end in ends[1:])
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(LogError, match=f"{3 - record} whole records follow") as told:
                _read(folder)
            assert "--repair" in told.value.message
            assert path.read_bytes() == damaged  # nothing was touched


def test_repair_keeps_aside_what_it_cuts_off(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, ends = _written(folder, 4)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[ends[1] + 10] ^= 1
    path.write_bytes(damaged)
    assert [record["n"] for record in _read(folder, repair=True)] == [0]  # type: ignore[index]
    assert path.read_bytes() == whole[: ends[1]]
    assert (folder / f"00000000.cut-{ends[1]}").read_bytes() == damaged[ends[1] :]
    assert "2 whole records after the damage are lost" in caplog.text
    # And the log goes on from there
    log = Log(folder, 0)
    log.sync(log.append({"n": 9}))
    log.close()
    assert [record["n"] for record in _read(folder)] == [0, 9]  # type: ignore[index]


def test_a_damaged_end_is_kept_aside_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, ends = _written(folder, 3)
    damaged = bytearray(path.read_bytes())
    damaged[-2] ^= 4
    path.write_bytes(damaged)
    assert len(_read(folder)) == 2
    assert "was cut at byte" in caplog.text
    assert (folder / f"00000000.cut-{ends[2]}").read_bytes() == damaged[ends[2] :]


@pytest.mark.parametrize("zeros", [1, 7, 8, 9, 4096, 1 << 20])
def test_zeros_at_the_end_are_a_torn_end(
    folder: Path, zeros: int, caplog: pytest.LogCaptureFixture
) -> None:
    # What a power cut leaves of a file that had been made longer.
    path, ends = _written(folder, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(zeros))
    assert len(_read(folder)) == 3
    assert path.read_bytes() == whole
    # So does a record of which only the beginning came through
    path.write_bytes(whole[: ends[2] + 12] + bytes(zeros))
    assert len(_read(folder)) == 2
    assert path.stat().st_size == ends[2]


def test_zeros_before_whole_records_are_damage(folder: Path) -> None:
    path, ends = _written(folder, 4)
    whole = path.read_bytes()
    path.write_bytes(whole[: ends[1]] + bytes(ends[2] - ends[1]) + whole[ends[2] :])
    with pytest.raises(LogError, match="2 whole records follow"):
        _read(folder)


def test_a_flipped_bit_in_an_earlier_file_is_told(folder: Path) -> None:
    log = Log(folder, 0)
    title = log.size
    log.sync(log.append({"n": 1}))
    log.rotate()
    log.sync(log.append({"n": 2}))
    log.close()
    path = folder / "00000000.log"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(LogError, match=f"damaged at byte {title}"):
        _read(folder)


def _three_files(folder: Path) -> list[Path]:
    log = Log(folder, 0)
    for n in range(3):
        log.sync(log.append({"n": n}))
        if n < 2:
            log.rotate()
    log.close()
    return [path for _, path in log_files(folder)]


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _title_flipped(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[12] ^= 2
    path.write_bytes(damaged)


LOSSES = {"removed": Path.unlink, "emptied": _emptied, "zeroed": _zeroed, "flip": _title_flipped}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_lost_file_is_told(folder: Path, loss: str, which: int) -> None:
    path = _three_files(folder)[which]
    LOSSES[loss](path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(LogError, match=f"{path.name}, which may hold acknowledged") as told:
        _read(folder)
    assert ("--repair" in told.value.message) == (which == 2)
    assert (path.read_bytes() if path.exists() else None) == before  # nothing was touched


@pytest.mark.parametrize("loss", LOSSES)
def test_repair_goes_on_without_the_last_file(
    folder: Path, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = _three_files(folder)[2]
    LOSSES[loss](path)
    assert _read(folder, repair=True) == [{"n": 0}, {"n": 1}]
    assert "going on without it" in caplog.text
    log = Log(folder, newest_file(folder, 0))
    log.sync(log.append({"n": 9}))
    log.close()
    assert _read(folder) == [{"n": 0}, {"n": 1}, {"n": 9}]


def test_a_file_cut_between_two_records_before_another_is_told(folder: Path) -> None:
    log = Log(folder, 0)
    log.sync(log.append({"n": 0}))
    size = log.size
    log.sync(log.append({"n": 1}))
    log.rotate()
    log.close()
    path = folder / "00000000.log"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LogError, match=f"has {size} bytes and had"):
        _read(folder)


def test_files_that_changed_places_are_told(folder: Path) -> None:
    one, two, _ = _three_files(folder)
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    with pytest.raises(LogError, match="was written as file 1"):
        _read(folder)


def test_all_files_gone_is_told_though_the_folder_looks_new(folder: Path) -> None:
    for path in _three_files(folder):
        path.unlink()
    with pytest.raises(LogError, match="missing"):
        _read(folder)


def test_log_after_a_snapshot_must_be_there(folder: Path) -> None:
    # Given a snapshot at the begin of file 2 and nothing that says that it was begun
    with pytest.raises(LogError, match=r"00000002\.log"):
        list(read_log(folder, 2, snapshot=True))


@pytest.mark.parametrize("left", [b"", b"\x20\x00\x00", bytes(40)])
def test_a_file_that_a_crash_left_unannounced_is_gone_over(folder: Path, left: bytes) -> None:
    # Given a kill between the making of a file and its title
    log = Log(folder, 0)
    log.sync(log.append({"n": 0}))
    log.close()
    (folder / "00000001.log").write_bytes(left)
    assert _read(folder) == [{"n": 0}]
    log = Log(folder, newest_file(folder, 0))
    log.sync(log.append({"n": 1}))
    log.rotate()
    log.close()
    assert _read(folder) == [{"n": 0}, {"n": 1}]


def test_a_log_of_before_titles_is_read_and_goes_on(folder: Path) -> None:
    # Given files as they were written before: records alone
    path, ends = _written(folder, 3)
    path.write_bytes(path.read_bytes()[ends[0] :])
    (folder.parent / "log.head").unlink()
    assert len(_read(folder)) == 3
    log = Log(folder, newest_file(folder, 0))
    assert log.number == 1
    log.sync(log.append({"n": 9}))
    log.close()
    assert [record["n"] for record in _read(folder)] == [0, 1, 2, 9]  # type: ignore[index]
    # From then on the old file is guarded by its size, the new one by its title
    _emptied(path)
    with pytest.raises(LogError, match="has 0 bytes and had"):
        _read(folder)


def test_a_lost_head_is_made_anew_and_an_unreadable_one_told(folder: Path) -> None:
    _three_files(folder)
    head = folder.parent / "log.head"
    head.write_bytes(b"")
    with pytest.raises(LogError, match="cannot be read"):
        _read(folder)
    head.unlink()
    assert len(_read(folder)) == 3
    Log(folder, newest_file(folder, 0)).close()
    assert head.is_file()


def test_a_file_that_cannot_be_begun_leaves_the_one_before_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    log = Log(folder, 0)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            log.rotate()
    log.sync(log.append({"n": 0}))
    log.rotate()
    log.sync(log.append({"n": 1}))
    log.close()
    assert _read(folder) == [{"n": 0}, {"n": 1}]


def test_many_threads_share_their_flushes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    flushes = []

    def slow(handle: int) -> None:
        flushes.append(handle)
        time.sleep(0.005)

    monkeypatch.setattr(os, "fdatasync", slow)
    log = Log(folder, 0)
    lock = threading.Lock()

    def work(name: int) -> None:
        for n in range(10):
            with lock:
                number = log.append([name, n])
            log.sync(number)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = _read(folder)
    assert sorted(map(tuple, found)) == [(a, n) for a in range(8) for n in range(10)]  # type: ignore[arg-type]
    assert len(flushes) < 60


def test_a_full_disk_makes_the_log_refuse_all_that_follows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    log = Log(folder, 0)

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        number = log.append({"n": 1})
        with pytest.raises(LogError, match="No space left on device"):
            log.sync(number)
    with pytest.raises(LogError, match="only reads"):
        log.append({"n": 2})


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_log_that_is_no_plain_file_is_refused_and_what_it_leads_to_is_left_alone(tmp_path, kind):
    (tmp_path / "log").mkdir()
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    path = tmp_path / "log" / "00000002.log"
    path.symlink_to(precious) if kind == "link" else path.mkdir()
    with pytest.raises(LogError, match="not a plain file"):
        log_files(tmp_path / "log")
    assert precious.read_text() == "mine"
