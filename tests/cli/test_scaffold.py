"""`./nightshift new` where nobody can be asked, or a name cannot be."""

import argparse
import datetime as dt
import decimal
import io
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cli import scaffold
from laptop.data import cli as data
from nightshift.check import check_pipeline
from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.settings import Settings
from testing.adclicks import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ads")
    write(root)
    return root


def asked(tmp_path, folder, name="ads", yes=True):
    (tmp_path / "pipelines").mkdir(exist_ok=True)
    settings = Settings(home=tmp_path / "home", project=tmp_path, pipelines=tmp_path / "pipelines")
    given = argparse.Namespace(
        name=name, folder=folder, requests=None, labels=None, label=None, yes=yes, time_zone="UTC"
    )
    return scaffold.run(settings, given)


def test_one_flat_file_of_another_worlds_types_becomes_tables_that_load_and_pass(
    tmp_path, monkeypatch, capsys
):
    count = 1200
    (tmp_path / "from").mkdir()
    table = pa.table(
        {
            "call": pa.array(range(count)),
            "called_at": pa.array([1_790_000_000 + 900 * n for n in range(count)]),
            "customer": [f"c{n % 90}" for n in range(count)],
            "fee": pa.array([decimal.Decimal(n) / 100 for n in range(count)], pa.decimal128(9, 2)),
            "age": pa.array([n % 80 for n in range(count)], pa.int8()),
            "tags": [["x"]] * count,
            "converted": [n % 7 == 0 for n in range(count)],
        }
    )
    pq.write_table(table, tmp_path / "from" / "calls.parquet")
    assert asked(tmp_path, tmp_path / "from", "calls") == 0
    said = capsys.readouterr().out
    assert "label: calls.converted" in said
    assert "calls.called_at: whole numbers, taken for s since 1970" in said
    assert "calls.tags is left out" in said
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_PIPELINES", str(tmp_path / "pipelines"))
    assert data.main(["load", "--pipeline", "calls", "--from", str(tmp_path / "from")]) == 0
    assert capsys.readouterr().err.count("left out of") == 1  # tags, and nothing of the label
    settings = Settings.from_env()
    found = [str(one) for one in check_pipeline(settings, "calls") if "DAG" not in one.message]
    assert found == []
    laid = settings.data / "calls"
    labels, calls = (
        pa.concat_tables(map(pq.read_table, sorted((laid / name).glob("*/*.parquet"))))
        for name in ("calls_label", "calls")
    )
    assert (labels.column_names, labels.num_rows) == (
        ["call", "called_at", "customer", "age", "converted"],
        count,
    )
    assert pc.sum(labels["converted"]).as_py() == -(-count // 7)
    assert calls.column_names == ["call", "called_at", "customer", "fee", "age"]
    first = calls.sort_by("call").slice(0, 1).to_pylist()[0]
    assert first["called_at"] == dt.datetime(2026, 9, 21, 14, 13, 20)


def test_without_a_terminal_nothing_is_asked_and_nothing_written(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigurationError, match="--yes"):
        asked(tmp_path, folder, yes=False)
    assert not list((tmp_path / "pipelines").iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path, folder):
    own = tmp_path / "pipelines" / "ads"
    own.mkdir(parents=True)
    (own / "features.sql").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        asked(tmp_path, folder)
    assert (own / "features.sql").read_text() == "mine"


@pytest.mark.parametrize("name", ["Ads", "9ads", "../ads", "a-b", ""])
def test_a_name_that_cannot_be_is_refused(tmp_path, folder, name):
    with pytest.raises(ConfigurationError, match="not a pipeline's name"):
        asked(tmp_path, folder, name=name)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(NightshiftError):
        asked(tmp_path, tmp_path / "none")
    assert not list((tmp_path / "pipelines").iterdir())
