"""The proposed files, from the tables of a folder."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nightshift.config.gates import GatesConfig
from nightshift.config.reading import parse
from nightshift.scaffold import render
from nightshift.scaffold import roles as deciding
from nightshift.scaffold import survey as looking
from nightshift.scaffold import write as writing

BEGIN = dt.datetime(2026, 3, 1, 4, tzinfo=dt.timezone.utc)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Searches for 150 hotels: an id whose name does not say so, and an amount beside it."""
    root = tmp_path_factory.mktemp("stays")
    rows = 3000
    at = [BEGIN + dt.timedelta(minutes=13 * n) for n in range(rows)]  # 27 days
    numbers = [7_000_000_000 + n for n in range(150)]
    searches = {
        "search": [f"s{n}" for n in range(rows)],
        "at": pa.array(at, pa.timestamp("us", "UTC")),
        "hotel_no": pa.array([numbers[n % 150] for n in range(rows)], pa.int64()),
        "cents": pa.array([n % 400 for n in range(rows)], pa.int32()),
    }
    hotels = {"hotel_no": pa.array(numbers, pa.int64()), "stars": pa.array([1, 2, 3] * 50)}
    bookings = {
        "search": [f"s{n}" for n in range(0, rows, 9)],
        "booked": pa.array([at[n] for n in range(0, rows, 9)], pa.timestamp("us", "UTC")),
    }
    for name, columns in (
        ("searches", searches), ("bookings", bookings), ("hotels", hotels),
    ):  # fmt: skip
        (root / name).mkdir()
        pq.write_table(pa.table(columns), root / name / "part.parquet")
    return root


@pytest.fixture(scope="module")
def roles(folder):
    return deciding.decide(looking.survey(folder), requests="searches", labels="bookings")


def gates(roles, window):
    text = render.gates_yaml(roles, window, 3000, 334)
    found, problems = parse(GatesConfig, yaml.safe_load(text), source="gates.yaml")
    assert not problems
    return found, text


def test_what_another_table_is_found_by_is_an_id_and_no_amount(roles):
    kinds = {feature.name: feature.kind for feature in render.features(roles)}
    assert kinds["hotel_no"] == "categorical"
    assert kinds["cents"] == "numeric"
    assert kinds["hotel_no_requests_7d"] == "numeric"


def test_counts_of_a_young_history_are_not_taken_for_drift(roles):
    window = writing.window_of(roles, 1)
    found, text = gates(roles, window)
    counts = [f.name for f in render.features(roles) if "_requests_" in f.name]
    assert found.data.drift.except_ == ["request_weekday", *counts]
    assert "hotel_no_requests_7d" in counts
    assert "judge them once there are" in text


def test_weekdays_are_judged_where_whole_weeks_are_compared(roles):
    first, last = dt.date(2026, 1, 1), dt.date(2026, 3, 28)
    for held, names in ((2, ["request_weekday"]), (4, [])):
        found, _ = gates(roles, render.Window(first, last, 30, held, held, 1))
        assert found.data.drift.except_ == names


def test_a_long_history_is_judged_whole(roles):
    window = render.Window(dt.date(2026, 1, 1), dt.date(2026, 3, 28), 30, 4, 4, 1)
    found, text = gates(roles, window)
    assert found.data.drift.except_ == []
    assert "drift" not in text
