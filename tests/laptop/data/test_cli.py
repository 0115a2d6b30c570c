"""`./nightshift data`, each command on a home of its own."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from laptop.data import cli
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture
def data(tmp_path, monkeypatch, capsys):
    """Run a command: its exit code, and what it printed to each stream."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_INSTALLATION", "test00")

    def run(*words):
        code = cli.main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


SMALL = ("generate", "--days", "2", "--rows-per-day", "20", "--end", "2026-03-02")


def test_made_tables_are_listed_checked_and_kept(data, tmp_path):
    code, out, _ = data(*SMALL)
    assert code == 0 and "partition(s) written" in out
    code, out, _ = data("list")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[2:]}
    assert rows["flattenRequest"] == ["40", "2", "2026-03-01", "to", "2026-03-02"]
    assert rows["bo_user"][1:] == ["-", "snapshot"]
    code, out, _ = data(*SMALL)
    assert code == 0 and out.splitlines()[-1].startswith("0 partition(s) written")
    # Another seed's rows do not come beside these.
    code, _, err = data(*SMALL, "--seed", "7")
    assert code == 1 and "--replace" in err


def test_check_fails_where_a_night_would(data):
    code, _, err = data("check")
    assert code == 1 and "holds no partition" in err
    data(*SMALL)
    code, out, _ = data("check", "--ds", "2026-03-02")
    assert code == 1
    # The training window of 30 days begins on 2026-02-01.
    assert "FAIL  partitions missing under" in out
    assert "flattenRequest: 2026-02-01, 2026-02-02" in out
    assert out.splitlines()[-1] == "2026-03-02: fail"
    code, out, _ = data("check", "--ds", "2026-03-02", "--json")
    assert code == 1 and json.loads(out)["status"] == "fail"
    code, _, err = data("check", "--ds", "2020-01-01")
    assert code == 1 and "is before the first partition" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["generate", "--end", "today"], "--end"),
        (["load", "--from", "/no/such/folder"], "/no/such/folder"),
        (["load", "--pipeline", "jdd", "--from", "/"], "did you mean 'jd'"),
        (["criteo", "--generate", "10", "--days", "0"], "--days is 0"),
        (["reload", "--table", "bo_user", "--ds", "x"], "--ds"),
    ],
)
def test_what_cannot_be_done_is_one_line(data, words, told):
    code, _, err = data(*words)
    assert code == 1 and told in err
    assert err.startswith("nightshift: ") and "Traceback" not in err


def test_files_of_ones_own_are_laid_out_by_day_and_what_is_left_out_is_named(data, tmp_path):
    pipeline = Pipeline.load(Settings.from_env(), "jd")
    assert data(*SMALL)[0] == 0
    given = tmp_path / "given"
    for table in pipeline.features.tables.names:
        (given / table).mkdir(parents=True)
        rows = [pq.ParquetFile(path).read() for path in (pipeline.data / table).rglob("*.parquet")]
        whole = pa.concat_tables(rows)
        if table == "bo_user":
            whole = whole.append_column("secret", pa.array(["x"] * len(whole)))
        pq.write_table(whole, given / table / "a.parquet")
    words = ("load", "--from", str(given), "--replace")
    code, _, err = data(*words, "--extra-columns", "refuse")
    assert code == 1 and "secret" in err
    code, out, err = data(*words)
    assert code == 0, err
    assert "left out of bo_user, which has no such columns: secret" in err
    assert "64 days (2025-12-29 to 2026-03-02)" in out  # as far back as comments go
