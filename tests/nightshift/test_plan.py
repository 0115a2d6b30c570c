"""The plan of a night: dates, partitions, names."""

import datetime as dt
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nightshift import layout
from nightshift.errors import ConfigurationError, DataError, PartitionMissing
from nightshift.pipeline import Pipeline
from nightshift.plan import check_params, make_plan, resolve_date
from nightshift.settings import PROJECT, Settings
from nightshift.zones import Zone

TABLES = Pipeline.load(Settings()).features.tables
LOOKBACK = {"flattenRequest": 2, "action": 0, "bo_action": 3, "bo_comment": 1}


def with_lookback(pipeline, lookback):
    """The pipeline with other `lookback_days` in its specification."""
    spec = pipeline.features.spec_file
    content = yaml.safe_load(spec.read_text())
    spec.write_text(yaml.safe_dump({**content, "lookback_days": lookback}))
    return Pipeline.load(pipeline.settings)


@pytest.fixture
def pipeline(tmp_path):
    for folder in ("include", "pipelines"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    query = tmp_path / "include" / "sql" / "features.sql"
    # Frames as short as these tests' histories.
    query.write_text(re.sub(r"\b\d+d PRECEDING", "1d PRECEDING", query.read_text()))
    settings = Settings(project=tmp_path, home=tmp_path / "home", installation="test00")
    return with_lookback(Pipeline.load(settings), LOOKBACK)


def lay(pipeline, table, days):
    for day in days:
        folder = layout.partition(pipeline.data, table, day)
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [1]}), folder / "part-0.parquet")


@pytest.fixture
def full(pipeline):
    days = layout.days_back(dt.date(2026, 11, 10), 10)
    for table in TABLES.events:
        lay(pipeline, table, days)
    for table in TABLES.snapshots:
        (pipeline.data / table).mkdir(parents=True)
        pq.write_table(pa.table({"x": [1]}), pipeline.data / table / "part-0.parquet")
    return pipeline


def plan(pipeline, ds="2026-11-10", **more):
    return make_plan(pipeline, ds=ds, run_id="manual__1", **more)


def test_each_table_reads_its_window_and_its_lookback(full):
    got = plan(full, train_days=3)
    assert got["first_day"] == "2026-11-08"
    assert got["partitions"]["flattenRequest"] == [f"2026-11-{d:02}" for d in range(6, 11)]
    assert got["partitions"]["action"] == ["2026-11-08", "2026-11-09", "2026-11-10"]
    assert got["partitions"]["bo_action"][0] == "2026-11-05"
    assert got["sources"]["action"].endswith(
        "/action/ds={2026-11-08,2026-11-09,2026-11-10}/*.parquet"
    )
    assert got["missing"] == {}


def test_history_may_begin_within_the_lookback(full):
    got = plan(full, ds="2026-11-03", train_days=3)
    assert got["partitions"]["bo_action"] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert got["missing"] == {}


def test_a_gap_is_named_with_its_table_and_date(full):
    layout.partition(full.data, "bo_action", dt.date(2026, 11, 6)).joinpath(
        "part-0.parquet"
    ).unlink()
    with pytest.raises(PartitionMissing, match=r"bo_action: 2026-11-06"):
        plan(full, train_days=3)
    assert plan(full, train_days=3, allow_missing=True)["missing"] == {"bo_action": ["2026-11-06"]}


def test_a_training_window_before_the_first_partition_is_an_error(full):
    with pytest.raises(PartitionMissing, match="and 5 more"):
        plan(full, train_days=20)


def test_a_table_without_any_partition_is_an_error_even_when_missing_ones_may_be_left_out(
    pipeline,
):
    with pytest.raises(PartitionMissing, match="at least one partition"):
        plan(pipeline, train_days=3, allow_missing=True)


def test_two_runs_of_a_date_share_no_folder_and_no_database(full):
    first, second = (
        make_plan(full, ds="2026-11-10", run_id=run_id, train_days=3)
        for run_id in ("manual__1", "manual__2")
    )
    assert first["run_dir"] != second["run_dir"]
    assert first["workspace"] != second["workspace"]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({"param": "2026-01-02", "partition_key": "2026-01-03"}, "2026-01-02"),
        ({"partition_key": "2026-01-03"}, "2026-01-03"),
        ({"logical_date": dt.datetime(2026, 1, 1, 9, tzinfo=dt.timezone.utc)}, "2025-12-31"),
    ],
)
def test_the_date_comes_from_the_form_then_the_partition_then_the_day_before(given, want):
    args = {"param": None, "partition_key": None, "logical_date": None} | given
    assert resolve_date(**args) == want


@pytest.mark.parametrize(("zone", "want"), [("UTC", "2025-12-31"), ("America/New_York", "2025-12-30"), ("+14:00", "2025-12-31")])  # fmt: skip
def test_the_day_before_is_one_of_the_pipelines_zone(zone, want):
    moment = dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone.utc)
    given = {"param": None, "partition_key": None, "logical_date": moment}
    assert resolve_date(**given, zone=Zone.of(zone)) == want


@pytest.mark.parametrize("bad", ["yesterday", "2026-1-2", "2026-02-30", "20260102"])
def test_a_date_that_is_none_is_refused(bad):
    with pytest.raises(ConfigurationError, match="YYYY-MM-DD"):
        resolve_date(param=bad, partition_key=None, logical_date=None)


def test_a_run_without_any_date_says_what_to_give():
    with pytest.raises(ConfigurationError, match="`ds`"):
        resolve_date(param=None, partition_key=None, logical_date=None)


def test_files_that_do_not_fit_each_other_fail_the_plan(full):
    sql = full.features.sql.parent
    query = (sql / "features.sql").read_text()
    (sql / "features.sql").write_text(query.replace("`bo_user`", "`bo_users`"))
    with pytest.raises(ConfigurationError, match=r"features.sql: table bo_users is not among"):
        plan(full, train_days=3)
    (sql / "features.sql").write_text(query)
    created = (sql / "create_tables.sql").read_text()
    (sql / "create_tables.sql").write_text(created.replace("bo_user(", "bo_users("))
    with pytest.raises(ConfigurationError, match=r"tables.yaml: declares table bo_user,"):
        plan(full, train_days=3)
    full.features.tables_file.unlink()
    with pytest.raises(ConfigurationError, match=r"tables.yaml is not there"):
        plan(Pipeline.load(full.settings), train_days=3)


def test_a_lookback_shorter_than_a_window_is_refused_with_the_days_it_needs(full):
    with pytest.raises(ConfigurationError, match=r"bo_action 0 days, but .* raise it to 1"):
        plan(with_lookback(full, LOOKBACK | {"bo_action": 0}), train_days=3)


def _dated(pipeline, table, day, newest):
    folder = pipeline.data / table / f"ds={day}"
    folder.mkdir(parents=True)
    moment = dt.datetime.fromisoformat(newest)
    rows = pa.table({"ingestionTime": pa.array([moment], pa.timestamp("us"))})
    pq.write_table(rows, folder / "part-0.parquet")


def test_a_backfill_does_not_read_a_snapshot_of_a_later_date(full):
    """A planted later snapshot is passed over; a run older than all of them is refused."""
    shutil.rmtree(full.data / "bo_user")
    _dated(full, "bo_user", "2026-11-08", "2026-11-08T15:00:00")
    _dated(full, "bo_user", "2026-11-10", "2026-11-10T15:00:00")
    assert plan(full, train_days=3)["sources"]["bo_user"].endswith("/ds=2026-11-10/*.parquet")
    old = plan(full, "2026-11-09", train_days=3)
    assert old["sources"]["bo_user"].endswith("/bo_user/ds=2026-11-08/*.parquet")
    with pytest.raises(PartitionMissing, match="bo_user: a snapshot of 2026-11-07 or before"):
        plan(full, "2026-11-07", train_days=3)


def test_a_snapshot_with_a_row_of_a_later_day_is_refused(full):
    shutil.rmtree(full.data / "bo_user")
    # 16:00 UTC is midnight in UTC+8, where the next day begins.
    _dated(full, "bo_user", "2026-11-10", "2026-11-10T16:00:00")
    with pytest.raises(DataError, match="ingestionTime goes to 2026-11-11"):
        plan(full, train_days=3)


def test_a_param_that_there_is_not_is_named_with_the_nearest():
    known = {"ds": None, "train_days": 30}
    check_params(known, {})
    check_params(known, {"ds": "2026-03-10"})
    with pytest.raises(ConfigurationError, match="'train_day'; did you mean 'train_days'"):
        check_params(known, ["ds", "train_day"])
    with pytest.raises(ConfigurationError, match="'foo'; known: ds, train_days"):
        check_params(known, ["foo"])
