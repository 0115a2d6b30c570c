"""What the workers behind one port know of each other."""

import json
import os

import pytest
from predict_server.crew import FOLDER, Crew

OTHER = {"jd": {"release": "r1", "sequence": 4, "problem": None}}


def test_a_worker_alone_knows_itself(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    crew = Crew.from_env(4)
    assert crew.workers("jd") == {
        "expected": 1,
        "serving": 1,
        "following": [{"pid": os.getpid(), "release": None}],
    }
    crew.tell(OTHER)
    assert crew.workers("jd")["following"] == [{"pid": os.getpid(), **OTHER["jd"]}]


@pytest.fixture
def crew(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return Crew.from_env(3)


def test_all_that_told_are_listed_by_pid_with_what_they_follow(crew, tmp_path):
    (tmp_path / "1.json").write_text(json.dumps({"pid": 1, "pipelines": OTHER}))
    crew.tell({"jd": {"release": "r2"}, "ads": {"release": "a1"}})
    mine = os.getpid()
    assert crew.workers("jd") == {
        "expected": 3,
        "serving": 2,
        "following": [{"pid": 1, **OTHER["jd"]}, {"pid": mine, "release": "r2"}],
    }
    # A pipeline that the other has not found yet.
    assert crew.workers("ads")["following"] == [
        {"pid": 1, "release": None},
        {"pid": mine, "release": "a1"},
    ]


def test_another_worker_reads_what_this_one_told_last(crew, tmp_path):
    crew.tell({"jd": {"release": "r1"}})
    crew.tell({"jd": {"release": "r2"}})
    assert json.loads((tmp_path / f"{os.getpid()}.json").read_text()) == {
        "pid": os.getpid(),
        "pipelines": {"jd": {"release": "r2"}},
    }
    assert len(list(tmp_path.iterdir())) == 1


def test_what_does_not_change_is_not_written_again(crew, tmp_path):
    crew.tell({"jd": {"release": "r1"}})
    (tmp_path / f"{os.getpid()}.json").unlink()
    crew.tell({"jd": {"release": "r1"}})
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_leaves_or_is_half_written_is_not_counted(crew, tmp_path):
    crew.tell({})
    (tmp_path / "2.json").write_text("{")
    assert crew.workers("jd")["serving"] == 1
    crew.leave()
    crew.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["2.json"]
