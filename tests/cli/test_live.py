"""What the commands about live traffic refuse, and what they say where there is nothing to say."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli import live
from nightshift import layout
from nightshift.errors import ConfigurationError, DataError, PartitionMissing, ServiceUnavailable
from nightshift.live.log import RequestLog
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.shop import pipelines
from tests.cli.conftest import run
from tests.nightshift.live.conftest import answer, context, write
from tests.nightshift.live.test_forget import FILES
from tests.nightshift.openmldb.test_reconcile import DAY

AT_US = layout.day_start_ms(DAY) * 1000


@pytest.fixture
def shop(tmp_path, monkeypatch, closed_port):
    """A pipeline with one request of one day, and no server."""
    folder = pipelines(tmp_path, "shop", FILES)
    for name, value in {
        "HOME": tmp_path, "PIPELINES": folder, "PIPELINE": "shop",
        "OPENMLDB_PORT": closed_port, "PREDICT_PORT": closed_port,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"NIGHTSHIFT_{name}", str(value))
    made = Pipeline.load(Settings.from_env(), "shop")
    place = layout.partition(made.data, "visit", DAY)
    place.mkdir(parents=True)
    at = pa.array([layout.day_start_ms(DAY) + 5000], pa.timestamp("ms"))
    columns = {"id": ["v1"], "at": at, "who": ["ann"], "page": ["p"]}
    pq.write_table(pa.table(columns), place / "part-0.parquet")
    return made


def test_an_answer_is_shown_without_a_server_where_windows_are_left_out(shop, capsys):
    request = (("id", "string"), ("at", "timestamp"), ("who", "string"))
    asked = answer(1, AT_US, receipt="20260228T16-abc-1")
    write(RequestLog.of(shop).folder, "w", [context(request=request), asked])
    assert run(live.COMMANDS, "explain", "20260228T16-abc-1", "--no-windows", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["request"] == {"id": "q1.0", "at": 1000, "who": "u1"}
    with pytest.raises(DataError, match="has no answer"):
        run(live.COMMANDS, "explain", "20260228T16-abc-2", "--no-windows")


@pytest.mark.parametrize("key", ["ann", "who=", "=ann"])
def test_forget_takes_a_column_and_a_value(shop, key):
    with pytest.raises(ConfigurationError, match=f"--key {key}: write it as COLUMN=VALUE"):
        run(live.COMMANDS, "forget", "--key", key, "--yes")


def test_forget_removes_nothing_while_the_store_cannot_be_asked(shop):
    with pytest.raises(ServiceUnavailable):
        run(live.COMMANDS, "forget", "--key", "who=ann", "--yes")
    assert pq.read_table(layout.partition(shop.data, "visit", DAY))["who"].to_pylist() == ["ann"]


@pytest.mark.parametrize("late", ["0.1", "2:60", "0.1:-5", "some:60", "0.1:soon"])
def test_late_events_are_a_share_and_seconds(shop, late):
    with pytest.raises(ConfigurationError, match=f"--late {late}: write it as SHARE:SECONDS"):
        run(live.COMMANDS, "stream", "--day", str(DAY), "--late", late)


def test_a_day_to_play_is_a_date_that_has_partitions(shop):
    with pytest.raises(ConfigurationError, match="--day"):
        run(live.COMMANDS, "stream", "--day", "today")
    with pytest.raises(PartitionMissing):
        run(live.COMMANDS, "stream", "--day", "2020-01-01")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "observe needs --from"),
        (["--from", "yesterday"], "--from"),
        (["--from", "2026-03-01", "--to", "x"], "--to"),
        (["--from", "2026-03-01", "--sample", "0"], "--sample is 0; give at least 1"),
    ],
)
def test_observe_needs_days_and_a_sample_that_can_be(shop, words, told):
    with pytest.raises(ConfigurationError, match=told):
        run(live.COMMANDS, "observe", *words)
