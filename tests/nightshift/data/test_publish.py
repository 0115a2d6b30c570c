"""Folders that appear together, also where the process ends amid it."""

import pytest

from nightshift import files
from nightshift.data import publish
from nightshift.errors import LockHeld


class Killed(BaseException):
    """The process ends here."""


def folder(path, content):
    path.mkdir(parents=True)
    (path / "part-0.parquet").write_text(content)
    return path


def tree(data):
    return {
        str(path.relative_to(data)): path.read_text()
        for path in data.rglob("*")
        if path.is_file() and path.name != publish.LOCK
    }


def begin(data):
    folder(data / "click/ds=1", "old 1")
    folder(data / "user", "gone")


def load(data):
    with publish.held(data), publish.staging(data) as stage:
        moves = [
            (folder(stage / "a", "new 1"), data / "click/ds=1"),
            (folder(stage / "b", "new 2"), data / "click/ds=2"),
        ]
        publish.publish(
            data,
            stage,
            moves=moves,
            remove=[data / "user", data / "absent"],
            contents={data / "SOURCE.json": {"from": "x"}},
        )


def whole(data):
    found = tree(data)
    assert files.read_json(data / "SOURCE.json") == {"from": "x"}
    found.pop("SOURCE.json")
    assert found == {
        "click/ds=1/part-0.parquet": "new 1",
        "click/ds=2/part-0.parquet": "new 2",
    }


def test_staged_folders_take_their_places_and_nothing_is_left_behind(tmp_path):
    begin(tmp_path)
    load(tmp_path)
    whole(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"click", "SOURCE.json", publish.LOCK}


def test_a_load_that_fails_before_the_journal_changes_nothing(tmp_path):
    begin(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(RuntimeError), publish.held(tmp_path), publish.staging(tmp_path) as stage:
        folder(stage / "a", "new 1")
        raise RuntimeError
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kill", range(12))
def test_what_was_decided_is_finished_wherever_it_was_cut_off(tmp_path, monkeypatch, kill):
    """Each change after the journal's may be the last one."""
    begin(tmp_path)
    path_of = type(tmp_path)
    rename, unlink = path_of.rename, path_of.unlink
    count = iter(range(1000))

    def cut(change):
        def run(self, *args, **options):
            if (tmp_path / publish.JOURNAL).exists() and next(count) == kill:
                raise Killed
            return change(self, *args, **options)

        return run

    monkeypatch.setattr(path_of, "rename", cut(rename))
    monkeypatch.setattr(path_of, "unlink", cut(unlink))
    try:
        load(tmp_path)
    except Killed:
        monkeypatch.undo()
        assert (tmp_path / publish.JOURNAL).exists()
        with publish.held(tmp_path):
            pass
    whole(tmp_path)
    assert not publish.recover(tmp_path)


def test_two_loads_do_not_meet(tmp_path, monkeypatch):
    locked = files.locked
    monkeypatch.setattr(files, "locked", lambda path, timeout_s: locked(path, timeout_s=0.0))
    with publish.held(tmp_path), pytest.raises(LockHeld), publish.held(tmp_path):
        pass
