"""The loader: every row of the tutorial's files, on its day."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from laptop.data import jd, partitions
from laptop.data.schemas import EVENT_TIME, SCHEMAS
from nightshift import layout
from nightshift.errors import ConfigurationError, DataError


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory, jd_folder):
    data = tmp_path_factory.mktemp("jd")
    rows = jd.load(data, jd_folder).rows
    return data, rows


def test_no_row_is_lost_or_changed(laid_out, jd_folder):
    data, rows = laid_out
    assert rows["flattenRequest"] == 13_916
    for table, schema in SCHEMAS.items():
        name = "flattenRequest_clean" if table == "flattenRequest" else table
        theirs = pads.dataset(jd_folder / name, format="parquet").to_table().cast(schema)
        ours = pads.dataset(data / table, format="parquet").to_table()
        keys = [(column, "ascending") for column in schema.names]
        assert ours.sort_by(keys).equals(theirs.sort_by(keys)), table


def test_partitions_are_days_of_utc8(laid_out):
    data, _ = laid_out
    for table, column in EVENT_TIME.items():
        for folder in (data / table).glob("ds=*"):
            for file in folder.glob("*.parquet"):
                times = pq.read_table(file)[column].to_pandas() + np.timedelta64(8, "h")
                assert set(times.dt.strftime("%Y-%m-%d")) <= {folder.name[3:]}
    # 2016-01-31T16:00:32Z is past midnight in UTC+8.
    day = pq.read_table(layout.partition(data, "action", dt.date(2016, 2, 1)))
    assert "259723_73515_2016-02-01 00:00:32" in day["reqId"].to_pylist()


def test_every_day_between_first_and_last_has_a_partition_in_every_table(laid_out):
    data, _ = laid_out
    days = partitions.days_present(data)
    assert (days[0], days[-1], len(days)) == (dt.date(2016, 1, 31), dt.date(2016, 4, 15), 76)


def test_the_last_full_day_is_the_last_with_user_actions(laid_out):
    assert jd.last_full_day(laid_out[0]) == dt.date(2016, 4, 10)


@pytest.mark.slow
def test_loading_again_changes_nothing(laid_out, jd_folder):
    data, rows = laid_out
    assert jd.load(data, jd_folder).rows == rows
    assert pads.dataset(data / "bo_action", format="parquet").count_rows() == 89_187
    assert not list(data.glob(".tmp-*"))


def copy_of(jd_folder, tmp_path, table, change):
    source = tmp_path / "source"
    for folder in jd_folder.iterdir():
        (source / folder.name).mkdir(parents=True)
        for file in folder.iterdir():
            rows = pq.read_table(file)
            if folder.name == table:
                rows = change(rows)
            pq.write_table(rows, source / folder.name / file.name)
    return source


def test_a_missing_column_is_named_before_anything_is_written(jd_folder, tmp_path):
    source = copy_of(jd_folder, tmp_path, "bo_user", lambda rows: rows.drop(["sex"]))
    with pytest.raises(DataError, match=r"bo_user.*column sex: the file has no such column"):
        jd.load(tmp_path / "data", source)
    assert not list((tmp_path / "data").rglob("*.parquet"))


def test_a_column_that_does_not_fit_is_named_and_leaves_no_partition(jd_folder, tmp_path):
    def spoil(rows: pa.Table) -> pa.Table:
        n = rows.schema.get_field_index("time")
        return rows.set_column(n, "time", pa.array(["soon"] * rows.num_rows))

    source = copy_of(jd_folder, tmp_path, "bo_action", spoil)
    with pytest.raises(DataError, match="column time: bo_action.time is int64"):
        jd.load(tmp_path / "data", source)
    assert not list((tmp_path / "data").rglob("*.parquet"))


def test_a_missing_table_says_where_it_was_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="flattenRequest_clean, flattenRequest"):
        jd.load(tmp_path / "data", tmp_path / "empty")


def test_tables_of_unknown_origin_are_not_mixed_in(jd_folder, tmp_path):
    (tmp_path / "data" / "bo_user").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"unknown origin.*--replace"):
        jd.load(tmp_path / "data", jd_folder)
