"""The log: what was synced is read back, a torn end is cut off, other damage is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from openmldb_embedded.wal import Log, LogError, log_files, read_file


def _read(folder: Path) -> list[object]:
    files = log_files(folder)
    return [
        record for number, path in files for record in read_file(path, last=number == files[-1][0])
    ]


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
