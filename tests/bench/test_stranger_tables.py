"""Real tables as a bench takes them: rows by time, the label as documented and nowhere else."""

import numpy as np
import pyarrow as pa
import pytest

from bench.stranger_tables import TABLES, WINDOWS, crashes, delays, stops

FLIGHTS = 700


def flights():
    """As `flights-3m.parquet` is: not in order, local times, the delay in minutes."""
    rng = np.random.default_rng(3)
    minutes = rng.permutation(181 * 24 * 60)[:FLIGHTS]
    return pa.table(
        {
            "date": np.datetime64("2001-01-01", "ms") + minutes * np.timedelta64(60_000, "ms"),
            # Every delay is that of one flight, so that a label can be traced.
            "delay": np.arange(FLIGHTS) - FLIGHTS // 2,
            "distance": np.arange(FLIGHTS) + 100,
            "origin": [f"O{at % 7}" for at in range(FLIGHTS)],
            "destination": [f"D{at % 5}" for at in range(FLIGHTS)],
        }
    )


def searched():
    """As `MplsStops` is, with a gap in it."""
    return pa.table(
        {
            "date": ["2017-03-02 10:00:00", "2017-01-01 23:30:00", "2017-02-01 00:10:00"],
            "personSearch": ["YES", None, "NO"],
            **{
                name: ["a", None, "c"]
                for name in ("problem", "MDC", "preRace", "race", "gender", "policePrecinct")
            },
            "neighborhood": ["x", "y", "z"],
            "lat": pa.array([44.9, float("nan"), 45.0]),
            "long": pa.array([-93.2, -93.3, -93.1]),
        }
    )


def wrecks():
    """As `nassCDS` is; each weight is that of one person."""
    ids = ("dvcat", "airbag", "seatbelt", "frontal", "sex", "abcat", "occRole", "deploy")
    return pa.table(
        {
            "dead": ["dead" if at % 20 == 0 else "alive" for at in range(400)],
            **{name: [f"{name}{at % 3}" for at in range(400)] for name in ids},
            "weight": np.arange(400.0),
            **{name: np.arange(400) % 50 for name in ("ageOFocc", "yearacc", "yearVeh")},
        }
    )


SOURCES = {"delays": flights, "stops": searched, "crashes": wrecks}


@pytest.mark.parametrize("kind", TABLES)
def test_the_specification_names_every_column_but_the_labels_own(kind):
    table, spec = TABLES[kind](SOURCES[kind](), 100, 1)
    features = {*spec["categorical"], *spec["numeric"]}
    assert {"request_id", "at", "click", *features} == set(table.column_names)
    assert not features & {"delay", "personSearch", "dead"}
    for name in spec["categorical"]:
        assert pa.types.is_string(table.schema.field(name).type) and not table[name].null_count
    for name in spec["numeric"]:
        assert not np.isnan(table[name].drop_null().to_numpy()).any(), "a gap is null"


@pytest.mark.parametrize("kind", ["delays", "stops"])
def test_rows_are_in_the_order_of_time(kind):
    table, _ = TABLES[kind](SOURCES[kind](), 100, 1)
    assert np.all(np.diff(table["at"].to_numpy()) >= np.timedelta64(0))


@pytest.mark.parametrize("kind", TABLES)
def test_a_window_has_more_days_than_it_validates_and_judges(kind):
    assert WINDOWS[kind].days > WINDOWS[kind].valid + WINDOWS[kind].test


def test_a_flight_is_late_from_more_than_15_minutes_on():
    source = flights()
    table, _ = delays(source, 100, 1)
    delay = dict(zip(source["distance"].to_pylist(), source["delay"].to_pylist(), strict=True))
    for distance, click in zip(
        table["distance"].to_pylist(), table["click"].to_pylist(), strict=True
    ):
        assert click == (delay[distance] > 15)
    assert 0 < sum(table["click"].to_pylist()) < len(table)


def test_flights_are_spread_over_the_whole_time_and_another_seed_takes_others():
    source = flights()
    # Each tenth of 700.
    tables = [delays(source, 70, seed)[0] for seed in (1, 2)]
    one, other = (set(table["distance"].to_pylist()) for table in tables)
    assert not one & other
    for table in tables:
        at = table["at"].to_numpy()
        assert 65 <= len(at) <= 70 and at[-1] - at[0] > np.timedelta64(170, "D")


def test_hour_minute_and_day_of_the_week_are_those_of_the_local_clock():
    table, _ = delays(flights(), 100, 1)
    local = table["at"].to_numpy() + np.timedelta64(8, "h")  # the pipeline's days are of UTC+8
    for at, hour, minute, weekday in zip(
        local.tolist(), *(table[c].to_pylist() for c in ("hour", "minute", "weekday")), strict=True
    ):
        assert (int(hour), int(minute)) == (at.hour, at.hour * 60 + at.minute)
        assert int(weekday) == at.weekday()


def test_a_stop_with_a_search_is_a_positive_and_gaps_are_empty_or_null():
    table, _ = stops(searched(), 0, 1)
    assert table["click"].to_pylist() == [0, 0, 1]
    assert table["race"].to_pylist() == ["", "c", "a"] and table["lat"].to_pylist()[0] is None
    assert table["hour"].to_pylist() == ["23", "0", "10"]


def test_people_in_crashes_are_all_there_once_in_an_order_of_the_seeds_own():
    source = wrecks()
    tables = [crashes(source, 0, seed)[0] for seed in (1, 2)]
    one, other = (table["weight"].to_pylist() for table in tables)
    assert one != other and sorted(one) == sorted(other) == source["weight"].to_pylist()
    for table in tables:
        weights, clicks = table["weight"].to_numpy(), table["click"].to_numpy()
        assert np.array_equal(clicks == 1, weights % 20 == 0)
