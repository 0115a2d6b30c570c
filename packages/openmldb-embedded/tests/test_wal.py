"""The log: what was synced is read back, a torn end is cut off, other damage is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from openmldb_embedded.wal import Log, LogError, log_files, read_file


def _read(folder: Path, *, repair: bool = False) -> list[object]:
    files = log_files(folder)
    return [
        record
        for number, path in files
        for record in read_file(path, last=number == files[-1][0], repair=repair)
    ]


def _written(folder: Path, count: int) -> tuple[Path, list[int]]:
    """A log of one file, and where its records end."""
    log = Log(folder, 0)
    ends = []
    for n in range(count):
        log.sync(log.append({"n": n, "text": "a row {of} text"}))
        ends.append(log.size)
    log.close()
    return folder / "00000000.log", ends


def test_records_come_back_in_order_over_files(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    records: list[object] = [{"n": n, "text": "é\u0000"} for n in range(50)]
    for place, record in enumerate(records):
        log.sync(log.append(record))
        if place % 20 == 19:
            log.rotate()
    log.close()
    assert _read(tmp_path) == records
    assert [number for number, _ in log_files(tmp_path)] == [0, 1, 2]


def test_a_file_cut_anywhere_keeps_its_whole_records(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    ends = []
    for n in range(5):
        log.sync(log.append({"n": n}))
        ends.append(log.size)
    log.close()
    path = tmp_path / "00000000.log"
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        kept = sum(end <= size for end in ends)
        assert _read(tmp_path) == [{"n": n} for n in range(kept)]
        assert path.stat().st_size == (ends[kept - 1] if kept else 0)


def test_a_flipped_bit_before_whole_records_is_told_wherever_it_is(tmp_path: Path) -> None:
    path, ends = _written(tmp_path, 4)
    whole = path.read_bytes()
    for place in range(ends[2]):  # in a length, a checksum or a text, of each record but the last
        record = sum(end <= place for end in ends)
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(LogError, match=f"{3 - record} whole records follow") as told:
                _read(tmp_path)
            assert "--repair" in told.value.message
            assert path.read_bytes() == damaged  # nothing was touched


def test_repair_keeps_aside_what_it_cuts_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, ends = _written(tmp_path, 4)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[ends[0] + 10] ^= 1
    path.write_bytes(damaged)
    assert [record["n"] for record in _read(tmp_path, repair=True)] == [0]  # type: ignore[index]
    assert path.read_bytes() == whole[: ends[0]]
    assert (tmp_path / f"00000000.cut-{ends[0]}").read_bytes() == damaged[ends[0] :]
    assert "2 whole records after the damage are lost" in caplog.text
    # And the log goes on from there
    log = Log(tmp_path, 0)
    log.sync(log.append({"n": 9}))
    log.close()
    assert [record["n"] for record in _read(tmp_path)] == [0, 9]  # type: ignore[index]


def test_a_damaged_end_is_kept_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, ends = _written(tmp_path, 3)
    damaged = bytearray(path.read_bytes())
    damaged[-2] ^= 4
    path.write_bytes(damaged)
    assert len(_read(tmp_path)) == 2
    assert "was cut at byte" in caplog.text
    assert (tmp_path / f"00000000.cut-{ends[1]}").read_bytes() == damaged[ends[1] :]


@pytest.mark.parametrize("zeros", [1, 7, 8, 9, 4096, 1 << 20])
def test_zeros_at_the_end_are_a_torn_end(
    tmp_path: Path, zeros: int, caplog: pytest.LogCaptureFixture
) -> None:
    # What a power cut leaves of a file that had been made longer.
    path, ends = _written(tmp_path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(zeros))
    assert len(_read(tmp_path)) == 3
    assert path.read_bytes() == whole
    # So does a record of which only the beginning came through
    path.write_bytes(whole[: ends[1] + 12] + bytes(zeros))
    assert len(_read(tmp_path)) == 2
    assert path.stat().st_size == ends[1]


def test_zeros_before_whole_records_are_damage(tmp_path: Path) -> None:
    path, ends = _written(tmp_path, 4)
    whole = path.read_bytes()
    path.write_bytes(whole[: ends[0]] + bytes(ends[1] - ends[0]) + whole[ends[1] :])
    with pytest.raises(LogError, match="2 whole records follow"):
        _read(tmp_path)


def test_a_flipped_bit_in_an_earlier_file_is_told(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    log.sync(log.append({"n": 1}))
    log.rotate()
    log.sync(log.append({"n": 2}))
    log.close()
    path = tmp_path / "00000000.log"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(LogError, match="damaged at byte 0"):
        _read(tmp_path)


def test_many_threads_share_their_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    flushes = []

    def slow(handle: int) -> None:
        flushes.append(handle)
        time.sleep(0.005)

    monkeypatch.setattr(os, "fdatasync", slow)
    log = Log(tmp_path, 0)
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
    found = _read(tmp_path)
    assert sorted(map(tuple, found)) == [(a, n) for a in range(8) for n in range(10)]  # type: ignore[arg-type]
    assert len(flushes) < 60


def test_a_full_disk_makes_the_log_refuse_all_that_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    log = Log(tmp_path, 0)

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        number = log.append({"n": 1})
        with pytest.raises(LogError, match="No space left on device"):
            log.sync(number)
    with pytest.raises(LogError, match="only reads"):
        log.append({"n": 2})
