"""One export for all dates of an experiment: which dates, when it is the same, and that it is kept."""

import dataclasses
import datetime as dt
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import files, layout
from nightshift.data import reading
from nightshift.errors import NightshiftError, PartitionMissing
from nightshift.experiment import features
from nightshift.openmldb import OpenMLDBClient
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing import shop

DAYS = [dt.date(2026, 3, day) for day in (1, 2, 3, 4)]


def put(pipeline, table, day, **columns):
    folder = layout.partition(pipeline.data, table, day) if day else pipeline.data / table
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "part-0.parquet")


def stamps(day, count):
    start = layout.day_start_ms(day)
    return pa.array([start + 1000 * n for n in range(count)], pa.timestamp("ms"))


@pytest.fixture
def pipeline(tmp_path):
    """Four days of visits: one by ann and one by bob each."""
    pipelines = shop.pipelines(tmp_path, "shop")
    settings = Settings(home=tmp_path / "home", pipelines=pipelines, installation="test00")
    return filled(Pipeline.load(settings, "shop"))


def filled(made):
    for day in DAYS:
        both = stamps(day, 2)
        ids = [f"{day}-a", f"{day}-b"]
        put(made, "visit", day, id=ids, at=both, who=["ann", "bob"], page=["p", "q"])
        put(made, "click", day, who=["ann", "ann"], at=both, page=["x", "y"])
        put(made, "comment", day, page=["p", "p"], at=both)
        put(made, "bought", day, id=ids[:1], at=both[:1], n=pa.array([1], pa.int32()))
    put(made, "person", None, who=["ann"], at=stamps(DAYS[0], 1), city=["Rome"])
    return made


def test_dates_go_back_from_the_newest_partition_or_from_the_date_that_is_given(pipeline):
    def dates(*asked):
        return features.past_dates(pipeline, *asked)

    assert dates(1, 1, None) == ["2026-03-04"]
    assert dates(3, 1, None) == ["2026-03-02", "2026-03-03", "2026-03-04"]
    assert dates(2, 7, "2026-02-15") == ["2026-02-08", "2026-02-15"]


def test_without_a_partition_there_is_no_date(pipeline, tmp_path):
    empty = dataclasses.replace(
        pipeline, settings=dataclasses.replace(pipeline.settings, data=tmp_path / "none")
    )
    with pytest.raises(PartitionMissing, match="no partition of visit under .*nightshift data"):
        features.past_dates(empty, 1, 1, None)


def test_one_plan_holds_the_training_windows_of_all_dates(pipeline):
    plan = features.plan_of(pipeline, ["2026-03-03", "2026-03-04"], train_days=2)
    assert (plan["first_day"], plan["ds"]) == ("2026-03-02", "2026-03-04")
    with pytest.raises(PartitionMissing, match="2026-02-27"):
        features.plan_of(pipeline, ["2026-03-03", "2026-03-04"], train_days=5)


def digest(pipeline, dates=("2026-03-03",)):
    return features.digest_of(pipeline, features.plan_of(pipeline, dates, train_days=2))


def test_another_query_table_or_file_is_another_export(pipeline):
    first = digest(pipeline)
    assert digest(pipeline) == first
    assert digest(pipeline, ["2026-03-04"]) != first
    path = layout.partition(pipeline.data, "visit", DAYS[2]) / "part-0.parquet"
    os.utime(path, (1, 1))
    second = digest(pipeline)
    assert second != first
    os.utime(pipeline.data / "person" / "part-0.parquet", (1, 1))
    third = digest(pipeline)
    assert third not in (first, second)
    # A day that the plan does not read changes nothing.
    os.utime(layout.partition(pipeline.data, "visit", DAYS[3]) / "part-0.parquet", (1, 1))
    assert digest(pipeline) == third
    pipeline.features.sql.write_text(pipeline.features.query() + "\n-- changed\n")
    assert digest(Pipeline.load(pipeline.settings, "shop")) != third


@pytest.fixture
def served(pipeline, openmldb_server, serving_home):
    """The pipeline with its data where the embedded server may read it."""
    home = serving_home.home / f"exports_{random.randrange(1 << 40)}"
    settings = dataclasses.replace(
        serving_home, home=home, data=home / "data", pipelines=pipeline.settings.pipelines,
        installation=f"t{random.randrange(1 << 20):05x}", openmldb_settle_s=0.0,
    )  # fmt: skip
    return filled(Pipeline.load(settings, "shop"))


def databases(pipeline):
    with OpenMLDBClient.of(pipeline.settings) as client:
        return {name for name in client.databases() if name.startswith(pipeline.owner)}


def test_an_export_is_made_once_and_leaves_nothing_in_the_store(served):
    plan = features.plan_of(served, ["2026-03-03", "2026-03-04"], train_days=2)
    told = []
    root = served.runs / "exports"
    folder = features.export(served, plan, root, told.append)
    assert told == [*(f"table {n} of 5" for n in range(1, 6)), "the query"]
    rows = {
        row["visit_id"]: row for row in reading.table(reading.parquet_files(folder)).to_pylist()
    }
    # Six visits of three days; the history before the window is read and not a row of its own.
    assert {name[:10] for name in rows} >= {"2026-03-02", "2026-03-03", "2026-03-04"}
    assert (rows["2026-03-04-a"]["city"], rows["2026-03-04-b"]["city"]) == ("Rome", None)
    assert rows["2026-03-04-a"]["bought"] == 1
    assert files.read_json(folder.parent / features.EXPORT)["last_day"] == "2026-03-04"
    assert databases(served) == set()
    away = dataclasses.replace(
        served, settings=dataclasses.replace(served.settings, openmldb_port=1)
    )
    assert features.export(away, plan, root, told.append) == folder
    assert told[-1] == "the query" and len(told) == 6


def test_an_export_that_fails_leaves_no_folder_and_no_database(served):
    # The server calls a job FINISHED for half a second before it says that it failed.
    settings = dataclasses.replace(served.settings, openmldb_settle_s=0.8)
    served = dataclasses.replace(served, settings=settings)
    plan = features.plan_of(served, ["2026-03-04"], train_days=2)
    (layout.partition(served.data, "click", DAYS[3]) / "part-0.parquet").write_bytes(b"no parquet")
    root = served.runs / "exports"
    with pytest.raises(NightshiftError, match="click"):
        features.export(served, plan, root)
    assert [path.name for path in root.iterdir() if path.is_dir()] == []
    assert databases(served) == set()
