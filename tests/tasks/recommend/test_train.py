"""The task that makes a release's retrieval: partitions in, a folder and a result file out."""

import json
import os
import signal
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.recommend.recommender import Recommender
from tasks.recommend.train import main
from testing.workshop import PROJECT, TASKS_PYTHON

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
TABLES = "version: 1\nevents: {asked: at}\nsnapshots: []\nrequests: {table: asked, id: id}\n"
OPTIONS = {
    "user": "user", "item": "item", "retrievers": ["item_neighbours", "popular"],
    "interactions": {"where": {"stars": {"at_least": 4}}}, "candidates": 5, "neighbours": 5,
}  # fmt: skip


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def words(tmp_path):
    """The command line of a task over four days, in which users like items of their own parity."""
    for day, date in enumerate(DAYS):
        folder = tmp_path / "data" / "asked" / f"ds={date}"
        folder.mkdir(parents=True)
        rows = [(user, item) for user in range(12) for item in range(8) if (user + item) % 2 == 0]
        columns = {
            "id": [f"{date}-{n}" for n in range(len(rows))],
            "at": pa.array([day * 1000 + n for n in range(len(rows))], pa.timestamp("ms")),
            "user": [f"u{user}" for user, _ in rows],
            "item": [f"i{item}" for _, item in rows],
            "stars": [5 if (user + day) % 3 else 1 for user, _ in rows],
        }
        pq.write_table(pa.table(columns), folder / "part-0.parquet")
    (tmp_path / "tables.yaml").write_text(TABLES)

    def of(options=OPTIONS, **changes):
        given = {
            "options": json.dumps(options), "tables": tmp_path / "tables.yaml",
            "data": tmp_path / "data", "ds": DAYS[-1], "last-ms": 1_772_639_999_999, "days": 4,
            "test-days": 1, "out": tmp_path / "out", "result": tmp_path / "result.json",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }  # fmt: skip
        return [word for name, value in given.items() for word in (f"--{name}", str(value))]

    return of


def result(tmp_path):
    return json.loads((tmp_path / "result.json").read_text())


def test_a_retrieval_that_recommends_and_its_figures(words, tmp_path, capsys):
    assert main(words()) == 0
    found = result(tmp_path)
    assert (found["status"], found["users"], found["items"]) == ("ok", 12, 8)
    assert found["interactions"] == 4 * 48
    assert found["held_out"]["first_day"] == "2026-03-04"
    assert found["artefacts"] == {"recommend": str(tmp_path / "out")}
    made = Recommender.load(tmp_path / "out")
    assert sorted(made.users.values.to_pylist()) == sorted(f"u{n}" for n in range(12))
    assert "192 interactions, 12 users, 8 items" in capsys.readouterr().out


def test_it_runs_in_the_tasks_own_environment(words, tmp_path):
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    done = subprocess.run(
        [str(TASKS_PYTHON), "-m", "tasks.recommend.train", *words()],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": f"{PROJECT}/src{os.pathsep}{PROJECT}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert result(tmp_path)["status"] == "ok"
    Recommender.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "changes", "told"),
    [
        ({**OPTIONS, "retriever": ["x"]}, {}, "did you mean 'retrievers'"),
        (OPTIONS, {"ds": "2026-02-30"}, "2026-02-30"),
        (OPTIONS, {"ds": "2020-01-01"}, "no partition"),
        ({**OPTIONS, "user": "usr"}, {}, "usr"),
        ({**OPTIONS, "interactions": {"where": {"stars": 9}}}, {}, "nobody liked anything"),
        (
            {**OPTIONS, "retrievers": ["sql_list"], "sql_list": "best.sql"},
            {},
            "recommend.sql_list is given, and no --list",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_final_and_leaves_no_folder(
    words, tmp_path, options, changes, told
):
    assert main(words(options, **changes)) == 64
    found = result(tmp_path)
    assert (found["status"], found["retryable"]) == ("error", False)
    assert told in found["error"]
    assert not (tmp_path / "out").exists()


def test_a_list_by_sql_is_part_of_it(words, tmp_path, capsys):
    (tmp_path / "list").mkdir()
    rows = {"user": [None, "u1"], "item": ["i7", "nowhere"], "score": [1.0, 2.0]}
    pq.write_table(pa.table(rows), tmp_path / "list" / "part-0.parquet")
    options = {**OPTIONS, "retrievers": ["sql_list"], "sql_list": "best.sql"}
    assert main(words(options, list=tmp_path / "list")) == 0
    assert "the list has 1 rows; left out: 1 unknown items" in capsys.readouterr().out
    assert "sql_list" in json.loads((tmp_path / "out" / "recommend.json").read_text())["retrievers"]


def test_options_that_are_missing_are_named(words, capsys):
    with pytest.raises(SystemExit):
        main(words()[:4])
    assert "--data" in capsys.readouterr().err
