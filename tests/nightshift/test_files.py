"""Files are whole or absent, whatever happens to their writer."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nightshift import files
from nightshift.errors import ContractError, LockHeld


def test_a_failed_write_leaves_the_old_file_and_no_leftover(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    files.write_json(target, {"old": 1})

    def broken(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", broken)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(target, {"new": 1})
    assert files.read_json(target) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_json_is_canonical_and_refuses_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="NaN|nan"):
        files.write_json(tmp_path / "b.json", float("nan"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not there"),
        (b"{", "not JSON"),
        (b" " * 101, "at most 100"),
        (b"9" * 5000, "at most 100"),
    ],
)
def test_reading_names_the_file_and_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ContractError, match=message) as error:
        files.read_json(path, max_bytes=100)
    assert str(path) in str(error.value)


def test_reading_what_is_no_file_or_no_sound_json_ends(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait forever
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ContractError, match="is not a file"):
            files.read_json(path)
    for content in (b"[" * 100_000, b"9" * 5000, b"\xff"):
        (tmp_path / "odd.json").write_bytes(content)
        with pytest.raises(ContractError, match="not JSON"):
            files.read_json(tmp_path / "odd.json")


SPECIAL = {
    "link": lambda path: path.symlink_to("weights"),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "folder": lambda path: path.symlink_to("/etc"),
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_plain_file_is_neither_read_nor_copied(tmp_path, make):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights").write_bytes(b"1")
    files.copy_tree(folder, tmp_path / "copied")
    make(folder / "deep" / "x")
    for links in (False, True) if make is not SPECIAL["link"] else (False,):
        with pytest.raises(ContractError, match=r"cannot be read: (it is|No such device)"):
            files.read_plain(folder / "deep" / "x", max_bytes=10, links=links)
    with pytest.raises(ContractError, match=r"deep/x is a (link|pipe|socket)"):
        files.copy_tree(folder, tmp_path / "copied")
    assert os.listdir(tmp_path / "copied" / "deep") == ["weights"]


def test_a_plain_file_is_read_within_its_bound(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        files.read_plain(path, max_bytes=10)
    path.write_bytes(b"x" * 10)
    assert files.read_plain(path, max_bytes=10) == b"x" * 10
    (tmp_path / "link").symlink_to("a")
    assert files.read_plain(tmp_path / "link", max_bytes=10, links=True) == b"x" * 10
    with pytest.raises(ContractError, match="more than 9 bytes"):
        files.read_plain(path, max_bytes=9)


def test_a_private_file_is_its_owners_alone(tmp_path):
    old = os.umask(0)
    try:
        files.write_private(tmp_path / "a", b"one")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.write_private(tmp_path / "a", b"two", replace=False)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_staged_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), files.staged_dir(target) as staged:
        (staged / "half").write_text("x")
        assert not target.exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.staged_dir(target) as staged:
        (staged / "sub").mkdir()
        (staged / "sub" / "whole").write_text("x")
    assert (target / "sub" / "whole").read_text() == "x"


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(FileExistsError), files.staged_dir(target):
        pass
    assert (target / "old").exists()
    with files.staged_dir(target, replace=True) as staged:
        (staged / "new").touch()
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["out"]


def test_the_tree_checksum_sees_names_and_contents(tmp_path):
    def tree(name, **content):
        root = tmp_path / name
        root.mkdir()
        for key, value in content.items():
            (root / key).write_text(value)
        return files.sha256_tree(root)

    same = tree("a", x="1", y="2"), tree("b", x="1", y="2")
    assert same[0] == same[1]
    assert tree("c", x="2", y="1") != same[0]
    assert tree("d", x="1", z="2") != same[0]


def test_sweeping_takes_old_leftovers_only(tmp_path):
    old, young, real = tmp_path / ".tmp-old", tmp_path / ".tmp-young", tmp_path / "real"
    for folder in (old, young, real):
        folder.mkdir()
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    os.utime(real, (long_ago, long_ago))
    assert files.sweep_staging(tmp_path, older_than_s=3600) == [old]
    assert young.exists()
    assert real.exists()


def test_a_lock_is_named_while_held_and_freed_by_a_kill(tmp_path):
    lock = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from nightshift.files import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeld, match=f"pid {holder.pid}"), files.locked(lock, timeout_s=0.2):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with files.locked(lock, timeout_s=5):
        pass


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_json_cannot_hold_is_refused(tmp_path, number):
    path = tmp_path / "value.json"
    path.write_text(f'{{"auc": {number}}}')
    with pytest.raises(ContractError, match="not a finite number"):
        files.read_json(path)


def test_no_line_is_lost_while_the_file_is_rewritten(tmp_path):
    path = tmp_path / "log" / "lines.jsonl"
    seen = []

    def rewrite(lines):
        seen.append(len(lines))
        return [line for line in lines if line[:1] != b"x"]

    def write(writer):
        for number in range(40):
            files.append_line(path, f"{writer}-{number}".encode())
            files.append_line(path, b"x")

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(write, writer) for writer in "abcd"]
        while not all(one.done() for one in writers):
            files.rewrite_lines(path, rewrite)
        for one in writers:
            one.result()
    files.rewrite_lines(path, rewrite)
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{w}-{n}" for w in "abcd" for n in range(40))
    for writer in "abcd":  # in their order
        assert [x for x in lines if x[0] == writer] == [f"{writer}-{n}" for n in range(40)]


def test_a_line_after_a_torn_one_begins_anew_and_nothing_to_rewrite_is_left_alone(tmp_path):
    path = tmp_path / "lines"
    assert files.rewrite_lines(path, list) == 0
    assert not path.exists()
    path.write_bytes(b"whole\ntor")
    files.append_line(path, b"next")
    assert path.read_bytes() == b"whole\ntor\nnext\n"
    before = path.stat().st_ino
    assert files.rewrite_lines(path, list) == 0
    assert path.stat().st_ino == before
    assert files.rewrite_lines(path, lambda lines: lines[:1]) == 2
    assert path.read_bytes() == b"whole\n"
    assert list(tmp_path.iterdir()) == [path]
