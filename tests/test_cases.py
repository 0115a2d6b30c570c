"""Inputs of public bug reports, from ../shared/cases: the right rows, or an early refusal."""

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from laptop.data import cli
from laptop.data.generate import Spec, generate
from nightshift.check import check_pipeline
from nightshift.data import reading
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.settings import Settings
from testing.embedded import ServerProcess

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT.parent / "shared" / "cases"
TASKS_PYTHON = ROOT / ".venv-tasks" / "bin" / "python"

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"{CASES} is not there: the cases are not in the repository"
)


def write(name, *arguments):
    subprocess.run(
        [sys.executable, CASES / f"{name}.py", *map(str, arguments)],
        cwd=CASES, check=True, timeout=120, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_every_case_is_tried_here():
    named = Path(__file__).read_text()
    modules = {"api", "tiny"}  # what the others share
    cases = {path.stem for path in CASES.glob("*.py")} - modules
    assert cases
    assert sorted(name for name in cases if f'"{name}"' not in named) == []


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Put a case to a server of its own: the lines that it prints."""
    folder = tmp_path_factory.mktemp("cases")
    server = ServerProcess(folder / "data", "--root", str(folder)).start()

    def run(name):
        made = folder / name
        made.mkdir()
        said = subprocess.run(
            [sys.executable, CASES / f"{name}.py", f"http://127.0.0.1:{server.port}", made],
            cwd=CASES, check=True, timeout=120, capture_output=True, text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return said.stdout.splitlines()

    yield run
    server.client.close()
    server.end()


def test_a_backslash_outside_quotes_is_a_character(ask):
    said = ask("csv_backslash")
    expected = [line.removeprefix("expected FINISHED ") for line in said[::2]]
    assert len(expected) == 3
    assert [line.split(maxsplit=1)[1] for line in said[1::2]] == [
        f"('FINISHED', '') {rows}" for rows in expected
    ]


def test_a_pattern_never_takes_names_with_an_underscore(ask):
    assert [line.split(" ", 1)[1] for line in ask("glob_takes_underscore")] == [
        "('FINISHED', '') 2"
    ] * 3


def test_far_times_are_right_in_every_kind_of_parquet(ask):
    *seen, expected = ask("int96_far_times")
    rows = expected.removeprefix("expected both times ")
    assert seen == [f"{kind} ('FINISHED', '') {rows}" for kind in ("int64", "int96")]


def test_text_held_as_views_is_text(ask):
    assert ask("parquet_string_view")[-1] == "seen ('FINISHED', '') [['a', 1], [None, 2]]"


def test_functions_of_text_answer_as_openmldbs_do(ask):
    said = ask("sql_text_functions")
    assert len(said) == 5
    assert [line for line in said if "differs" in line] == []


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of the JD tutorial's shape, as `data generate` makes them."""
    home = tmp_path_factory.mktemp("night_tables") / "home"
    spec = Spec(seed=7, rows_per_day=60)
    generate(home / "data" / "jd", spec, end=dt.date(2026, 3, 10), days=35)
    return home


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        ("large_snapshot", 0, ""),
        ("large_newest", 0, ""),
        ("appledouble", 0, ""),
        ("null_time", 1, (r"bo_action, 2026-03-10: 1 of \d+ rows have no ingestionTime \(.*/bo_action/"
         r"ds=2026-03-10/part-0.parquet, column ingestionTime\)")),
    ],
)  # fmt: skip
def test_a_nights_tables_are_right_or_refused_before_it(
    tables, tmp_path, monkeypatch, capsys, kind, code, says
):
    shutil.copytree(tables, tmp_path / "home")
    write("night_tables", kind, tmp_path / "home" / "data" / "jd")
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    assert cli.main(["check", "--ds", "2026-03-10"]) == code
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == code
    assert re.search(says, "".join(failed))
    assert [p for p in check_pipeline(Settings.from_env(), "jd") if p.level == "error"] == []


@pytest.fixture
def load(tmp_path, monkeypatch, capsys):
    """Make a case's files and run `data load` on them in a home of its own."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))

    def run(name, *options):
        write(name, tmp_path / "out")
        code = cli.main(["load", "--from", str(tmp_path / "out"), *options])
        return code, capsys.readouterr().err

    run.data = tmp_path / "home" / "data" / "jd"
    run.source = tmp_path / "out"
    return run


def rows(folder):
    return reading.rows(sorted(folder.rglob("*.parquet")))


@pytest.mark.parametrize("name", ["load_appledouble", "load_hidden_copy"])
def test_hidden_files_are_passed_over(load, name):
    assert load(name)[0] == 0
    assert rows(load.data / "action") == 12


def test_an_empty_file_is_named_in_one_line(load):
    code, said = load("load_zero_byte_file")
    assert code == 1
    (line,) = said.splitlines()
    assert line.startswith(f"nightshift: {load.source}/action/part-1.parquet: the file is empty")
    assert not rows(load.data)


def test_whole_numbers_for_a_time_are_refused_until_said(load):
    code, said = load("load_int_milliseconds")
    assert code == 1
    assert "action/part-0.parquet, column eventTime: action.eventTime is timestamp" in said
    assert "ms: 2026-03-01" in said
    assert not rows(load.data)
    assert load("load_int_milliseconds", "--as", "action.eventTime=ms")[0] == 0
    assert len(list((load.data / "action").glob("ds=*"))) == 3


@pytest.mark.slow
def test_floating_ids_are_refused_or_the_very_digits(load):
    code, said = load("load_float_ids")
    assert code == 1
    assert "column user_id: bo_user.user_id is string" in said
    assert load("load_float_ids", "--as", "bo_user.user_id=whole")[0] == 0
    users = pq.read_table(load.data / "bo_user" / "part-0.parquet")["user_id"].to_pylist()
    assert users == ["20000000001", "20000000002", None]


@pytest.mark.skipif(not TASKS_PYTHON.exists(), reason="./nightshift setup makes .venv-tasks")
def test_far_times_have_one_id_in_every_kind_of_parquet(tmp_path):
    write("preprocess_int96", tmp_path)
    spec = FeatureSpec.load(tmp_path / "spec.yaml")
    expected = encode_rows(spec, ["k", "until"], [["a", 253402214400000], ["a", None]])[:, 1]
    for kind in ("int64", "int96"):
        subprocess.run(
            [
                TASKS_PYTHON, "-m", "tasks.ctr.preprocess", "--features", tmp_path / kind,
                "--spec", tmp_path / "spec.yaml", "--ds", "2026-03-10", "--train-days", "10",
                "--out", tmp_path / f"{kind}_set", "--result", tmp_path / f"{kind}.json",
            ],
            cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": "src:."},
        )  # fmt: skip
        ids = pq.read_table(tmp_path / f"{kind}_set" / "train")["until"].to_pylist()
        assert set(ids) == set(expected.tolist()), kind
