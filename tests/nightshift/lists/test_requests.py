"""A file of ready request rows."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.errors import ConfigurationError
from nightshift.lists import requests, writing
from nightshift.lists.requests import OfRequests

SCHEMA = [("reqId", "string"), ("eventTime", "timestamp"), ("day", "date"), ("seen", "int32")]
MS = 1_700_000_000_000


def of(folder, path):
    return OfRequests(SCHEMA, path, "reqId", folder / "spool.arrow")


def table(count):
    return pa.table(
        {
            "seen": pa.array([None if n % 3 == 0 else n for n in range(count)], pa.int64()),
            "eventTime": pa.array([MS + n for n in range(count)], pa.timestamp("ms")),
            "reqId": [f"r{n}" for n in range(count)],
            "day": [dt.date(2024, 3, 1 + n % 9) for n in range(count)],
        }
    )


def test_rows_in_the_files_order_whatever_the_order_of_its_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "CHUNK", 4)
    pq.write_table(table(11), tmp_path / "rows.parquet", row_group_size=3)
    pairs = of(tmp_path, tmp_path / "rows.parquet")
    assert (pairs.users, pairs.items) == (11, 1)
    for n in (0, 5, 10, 2):
        seen = None if n % 3 == 0 else n
        assert pairs.rows(n, 0, 1) == [[f"r{n}", MS + n, f"2024-3-{1 + n % 9}", seen]]


def test_the_list_names_requests_and_ranks_nothing(tmp_path):
    pq.write_table(table(3), tmp_path / "rows.parquet")
    part = writing.Part()
    for n, score in enumerate((0.25, 0.5, 0.125)):
        part.add(n, np.array([score], np.float32), None)
    made = part.table(of(tmp_path, tmp_path / "rows.parquet"), "2024-03-04.001")
    assert made.to_pydict() == {
        "request": ["r0", "r1", "r2"],
        "score": [0.25, 0.5, 0.125],
        "release": ["2024-03-04.001"] * 3,
    }


def test_csv_is_read_by_the_request_tables_types(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"reqId,eventTime,day,seen\n007,{MS},2024-03-01,\n008,{MS + 1},,5\n")
    pairs = of(tmp_path, path)
    assert pairs.rows(0, 0, 1) == [["007", MS, "2024-3-1", None]]
    assert pairs.rows(1, 0, 1) == [["008", MS + 1, None, 5]]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rows.csv", "reqId,eventTime,day\nr1,1,\n", "has no column seen"),
        ("rows.csv", "reqId,eventTime,day,seen,more\nr1,1,,1,1\n", "more is not a column"),
        ("rows.csv", "reqId,eventTime,day,seen\nr1,1,,many\n", "cannot be read"),
        ("rows.csv", "reqId,eventTime,day,seen\n", "no rows"),
        ("rows.json", "{}", "name a .csv or .parquet file"),
        ("rows.parquet", "not parquet", "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_says_why(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        of(tmp_path, tmp_path / name)
