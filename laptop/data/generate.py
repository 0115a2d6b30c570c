"""Make JD-shaped tables of any size with a signal in them that the feature query can see.

Who orders depends on the user (level, sex and age), on the product (brand, attributes, bad
comments), on how well the two fit, on the day of the week, and on what the user did with the
product before the request. An intent that nobody sees drives those actions and, in part, the
order itself, so that no model can be perfect.

Each day is drawn from (seed, date) alone: more days, before or after, change nothing in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from laptop.data import partitions
from laptop.data.schemas import SCHEMAS
from nightshift import layout
from nightshift.data import reading
from nightshift.errors import ConfigurationError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

POSITIVE_RATE = 0.025
"""Share of requests that end in an order."""

HISTORY_DAYS = 14
"""Days of actions before the first day, so that its windows are as full as later ones."""

COMMENT_DAYS = 64
"""Days of comments before the first day, likewise."""

_ACTION_REACH_DAYS = 7
"""Actions lie at most so long before the request they belong to."""

_AGES = ("-1", "15岁以下", "16-25岁", "26-35岁", "36-45岁", "46-55岁", "56岁以上")
_AGE_SHARE = (0.11, 0.01, 0.10, 0.45, 0.26, 0.05, 0.02)
_SEX_SHARE = (0.45, 0.08, 0.47)
_LEVEL_SHARE = (0.03, 0.08, 0.20, 0.30, 0.39)
_A_VALUES = (("-1", "1", "2", "3"), ("-1", "1", "2"), ("-1", "1", "2"))
_A_SHARE = ((0.05, 0.35, 0.10, 0.50), (0.08, 0.62, 0.30), (0.10, 0.40, 0.50))
_CATEGORIES = ("4", "5", "6", "7", "8", "9", "10", "11")
_CATEGORY_SHARE = (0.21, 0.12, 0.14, 0.09, 0.32, 0.09, 0.02, 0.01)
_BRANDS = 32
_TASTES = 8
_FAVOURITES = 4
_MODELS = ("0", "216", "217", "218", "26", "27", "211", "24", "29")
_BROWSE, _CART, _UNCART, _ORDER, _FOLLOW, _CLICK = "1", "2", "3", "4", "5", "6"
_DAY_S = 86_400
_UTC8_S = 8 * 3600


@dataclass(frozen=True)
class Spec:
    """What tells one made world from another."""

    seed: int = 20161
    rows_per_day: int = 800

    def __post_init__(self) -> None:
        if not 1 <= self.rows_per_day <= 5_000_000:
            raise ConfigurationError(
                f"rows per day is {self.rows_per_day}; it must be 1 to 5,000,000"
            )
        if self.seed < 0:
            raise ConfigurationError(f"the seed is {self.seed}; it must not be negative")

    def source(self) -> dict[str, Any]:
        """As `partitions.claim` wants it."""
        return {
            "kind": "generated",
            "version": 1,
            "seed": self.seed,
            "rows_per_day": self.rows_per_day,
        }


class World:
    """The users and products of a `Spec`, and the days that happen to them."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.num_users = max(200, 4 * spec.rows_per_day)
        self.num_products = int(np.clip(spec.rows_per_day // 4, 60, 4000))
        self._make_users()
        self._make_products()
        rng = self._rng(2)
        self.fit = rng.normal(0.0, 1.0, (_TASTES, _BRANDS))
        self.favourites = rng.integers(0, self.num_products, (self.num_users, _FAVOURITES))
        self._sessions: dict[dt.date, Sessions] = {}
        self.intercept = self._calibrate()

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.spec.seed, self.spec.rows_per_day, *stream])

    def _make_users(self) -> None:
        rng, n = self._rng(0), self.num_users
        self.user_id = _texts(200_001 + np.arange(n))
        self.age = rng.choice(len(_AGES), n, p=_AGE_SHARE)
        self.sex = rng.choice(3, n, p=_SEX_SHARE)
        self.level = rng.choice(5, n, p=_LEVEL_SHARE)
        # Mostly what age and sex suggest, so that a model can guess it for a user not seen yet.
        suggested = (self.age * 3 + self.sex) % _TASTES
        self.taste = np.where(rng.random(n) < 0.75, suggested, rng.integers(0, _TASTES, n))
        self.tendency = (
            0.45 * (self.level - 2.5)
            + np.array([-0.4, 0.1, 0.3])[self.sex]
            + rng.normal(0.0, 0.3, n)
        )
        weight = rng.lognormal(0.0, 0.8, n)
        self.user_cumulative = np.cumsum(weight / weight.sum())
        registered = np.datetime64("2004-06-15") + rng.integers(0, 4200, n)
        self.registered_us = (
            registered.astype("datetime64[us]").astype(np.int64) + 16 * 3600 * 10**6
        )

    def _make_products(self) -> None:
        rng, n = self._rng(1), self.num_products
        self.sku_id = _texts(np.sort(rng.choice(170_000, n, replace=False)) + 1)
        share = 1.0 / np.arange(1, _BRANDS + 1)
        self.brand = rng.choice(_BRANDS, n, p=share / share.sum())
        self.brand_id = _texts(np.sort(rng.choice(900, _BRANDS, replace=False)) + 1)
        self.attributes = [rng.choice(len(s), n, p=s) for s in _A_SHARE]
        self.category = rng.choice(len(_CATEGORIES), n, p=_CATEGORY_SHARE)
        self.quality = (
            rng.normal(0.0, 0.5, _BRANDS)[self.brand]
            + np.array([-0.6, 0.4, 0.0, -0.1])[self.attributes[0]]
            + rng.normal(0.0, 0.5, n)
        )
        weight = rng.lognormal(0.4 * self.quality, 1.0)
        self.popularity = weight / weight.mean()
        self.product_cumulative = np.cumsum(weight / weight.sum())
        self.bad_rate = _sigmoid(-3.3 - 1.1 * self.quality + rng.normal(0.0, 0.3, n))

    def log_odds(self, user: Ints, product: Ints, favourite: npt.NDArray[np.bool_]) -> Floats:
        """What user, product and their fit say of an order, without the intercept."""
        odds: Floats = (
            0.8 * self.tendency[user]
            + 0.9 * self.quality[product]
            + 0.8 * self.fit[self.taste[user], self.brand[product]]
            + 0.6 * favourite
        )
        return odds

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """`n` users, the product each asks for, and whether it is one of the user's own few."""
        user = np.searchsorted(self.user_cumulative, rng.random(n)).clip(max=self.num_users - 1)
        product = np.searchsorted(self.product_cumulative, rng.random(n))
        product = product.clip(max=self.num_products - 1)
        favourite = rng.random(n) < 0.4
        chosen = self.favourites[user, rng.integers(0, _FAVOURITES, n)]
        return user, np.where(favourite, chosen, product), favourite

    def _calibrate(self) -> float:
        """The intercept at which a large sample of requests has `POSITIVE_RATE`."""
        rng = self._rng(3)
        user, product, favourite = self.draw(rng, 20_000)
        odds = self.log_odds(user, product, favourite) + _INTENT * rng.normal(size=20_000)
        low, high = -30.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            if _sigmoid(odds + middle).mean() < POSITIVE_RATE:
                low = middle
            else:
                high = middle
        return low

    def sessions(self, day: dt.date) -> Sessions:
        """The requests of one day with what led to them; the last few days are remembered."""
        if day not in self._sessions:
            for old in [d for d in self._sessions if d < day - dt.timedelta(days=1)]:
                del self._sessions[old]
            self._sessions[day] = Sessions(self, day, self._rng(4, day.toordinal()))
        return self._sessions[day]

    # Tables

    def requests(self, day: dt.date) -> pa.Table:
        """One partition of `flattenRequest`, in the order of time."""
        s = self.sessions(day)
        rows = pa.array(s.user), pa.array(s.product)
        user, sku = self.user_id.take(rows[0]), self.sku_id.take(rows[1])
        number = 10_000_000 * (day.toordinal() % 100_000) + np.arange(len(s.user))
        return _table(
            "flattenRequest",
            s.request_id,
            _timestamps(s.time_us),
            _texts(number),
            pc.binary_join_element_wise(user, sku, "_"),
            user,
            sku,
            pa.array(s.time_us // 1000),
            pa.array(np.ones(len(s.user), np.int32)),
            s.local_time,
        )

    def labels(self, day: dt.date) -> pa.Table:
        """One partition of `action`: whether each request ended in an order."""
        s = self.sessions(day)
        time = _timestamps(s.time_us)
        return _table("action", s.request_id, time, time, pa.array(s.label))

    def actions(self, day: dt.date) -> pa.Table:
        """One partition of `bo_action`: what users did on this day before requests to come."""
        parts = [self.sessions(day + dt.timedelta(days=n)) for n in range(_ACTION_REACH_DAYS + 1)]
        first = _midnight_us(day)
        user: list[Ints] = []
        product: list[Ints] = []
        time: list[Ints] = []
        kind: list[npt.NDArray[Any]] = []
        model: list[npt.NDArray[Any]] = []
        for s in parts:
            here = (s.action_us >= first) & (s.action_us < first + _DAY_S * 10**6)
            owner = s.action_of[here]
            user.append(s.user[owner])
            product.append(s.product[owner])
            time.append(s.action_us[here])
            kind.append(s.action_type[here])
            model.append(s.action_model[here])
        order = np.argsort(np.concatenate(time), kind="stable")
        who = pa.array(np.concatenate(user)[order])
        what = np.concatenate(product)[order]
        when = np.concatenate(time)[order]
        return _table(
            "bo_action",
            _timestamps(when),
            pc.binary_join_element_wise(
                self.user_id.take(who), self.sku_id.take(pa.array(what)), "_"
            ),
            pa.array(when // 1000),
            pa.array(np.concatenate(model)[order], pa.string()),
            pa.array(np.concatenate(kind)[order], pa.string()),
            pa.array(np.array(_CATEGORIES)[self.category[what]], pa.string()),
            self.brand_id.take(pa.array(self.brand[what])),
        )

    def comments(self, day: dt.date) -> pa.Table:
        """One partition of `bo_comment`: a weekly count, on Mondays; other days are empty."""
        if day.weekday() != 0:
            return SCHEMAS["bo_comment"].empty_table()
        rng = self._rng(5, day.toordinal())
        shown = np.flatnonzero(rng.random(self.num_products) < 0.9)
        level = np.log1p(12 * self.popularity[shown]) + rng.normal(0.0, 0.3, len(shown))
        number = np.clip(np.round(level), 0, 4).astype(np.int32)
        rate = self.bad_rate[shown] * rng.lognormal(0.0, 0.25, len(shown))
        rate = np.where((number == 0) | (rng.random(len(shown)) < 0.15), 0.0, rate).clip(0.0, 1.0)
        rate = np.round(rate, 4).astype(np.float32)
        midnight = np.full(len(shown), _midnight_us(day))
        return _table(
            "bo_comment",
            _timestamps(midnight),
            pa.array(midnight // 1000),
            self.sku_id.take(pa.array(shown)),
            pa.array(number),
            pa.array(np.where(rate > 0, "1", "0"), pa.string()),
            pa.array(rate),
        )

    def users(self) -> pa.Table:
        """The snapshot `bo_user`."""
        return _table(
            "bo_user",
            _timestamps(self.registered_us),
            self.user_id,
            pa.array(np.array(_AGES)[self.age], pa.string()),
            _texts(self.sex),
            _texts(self.level + 1),
            pa.array(self.registered_us // 1000),
        )

    def products(self) -> pa.Table:
        """The snapshot `bo_product`."""
        made = int(np.datetime64("2015-12-31T16:00:00", "us").astype(np.int64))
        attributes = [
            pa.array(np.array(values)[drawn], pa.string())
            for values, drawn in zip(_A_VALUES, self.attributes, strict=True)
        ]
        return _table(
            "bo_product",
            _timestamps(np.full(self.num_products, made)),
            self.sku_id,
            *attributes,
            pa.array(np.array(_CATEGORIES)[self.category], pa.string()),
            self.brand_id.take(pa.array(self.brand)),
        )


_INTENT = 1.7
"""Weight of the hidden intent in the log odds of an order."""


class Sessions:
    """One day's requests and the actions before them."""

    def __init__(self, world: World, day: dt.date, rng: np.random.Generator) -> None:
        n = world.spec.rows_per_day
        user, product, favourite = world.draw(rng, n)
        second = _seconds_of_day(rng, n)
        # A request's id is user, product and second: no two may share all three.
        for _ in range(100):
            key = (user * world.num_products + product) * _DAY_S + second
            _, first = np.unique(key, return_index=True)
            again = np.setdiff1d(np.arange(n), first, assume_unique=True)
            if not len(again):
                break
            second[again] = _seconds_of_day(rng, len(again))
        order = np.argsort(second, kind="stable")
        self.user, self.product = user[order], product[order]
        favourite, second = favourite[order], second[order]
        self.time_us = _midnight_us(day) + second * 10**6

        intent = rng.normal(size=n)
        log_odds = (
            world.intercept
            + world.log_odds(self.user, self.product, favourite)
            + _INTENT * intent
            + (0.3 if day.weekday() >= 5 else 0.0)
        )
        self.label = (rng.random(n) < _sigmoid(log_odds)).astype(np.int32)
        self._act(intent, rng)

        local = (self.time_us + partitions.UTC8_US).astype("datetime64[us]").astype("datetime64[s]")
        text = pa.array(np.char.replace(np.datetime_as_string(local), "T", " "), pa.string())
        self.local_time = text
        self.request_id = pc.binary_join_element_wise(
            world.user_id.take(pa.array(self.user)),
            world.sku_id.take(pa.array(self.product)),
            text,
            "_",
        )

    def _act(self, intent: Floats, rng: np.random.Generator) -> None:
        number = rng.poisson(np.exp(1.1 + 0.45 * intent)).clip(max=60)
        self.action_of = np.repeat(np.arange(len(intent)), number)
        m = len(self.action_of)
        hours = np.where(rng.random(m) < 0.6, rng.exponential(1.0, m), rng.exponential(40.0, m))
        reach = _ACTION_REACH_DAYS * 24 - 1
        delay_s = (hours * 3600).astype(np.int64).clip(1, reach * 3600)
        self.action_us = self.time_us[self.action_of] - delay_s * 10**6
        keen = _sigmoid(1.6 * (intent[self.action_of] - 1.0))
        draw = rng.random(m)
        self.action_type = np.select(
            [
                draw < 0.30 * keen,
                draw < 0.30 * keen + 0.04 * (1 - keen),
                draw < 0.30 * keen + 0.04 * (1 - keen) + 0.03 * keen,
                draw < 0.30 * keen + 0.04 * (1 - keen) + 0.03 * keen + 0.005,
                draw < 0.55,
            ],
            [_CART, _UNCART, _FOLLOW, _ORDER, _BROWSE],
            _CLICK,
        )
        model = rng.choice(_MODELS, m, p=_shares(len(_MODELS)))
        self.action_model = np.where(
            (self.action_type == _CLICK) | (rng.random(m) < 0.2), model, ""
        )


def generate(
    data: Path,
    spec: Spec,
    *,
    end: dt.date,
    days: int,
    replace: bool = False,
    said: Callable[[str], None] = lambda text: None,
) -> int:
    """Write the tables of `days` days that end with `end`; partitions that are there stay.

    Args:
        data: folder of the source tables.
        spec: the world to draw from.
        end: last day with requests.
        days: how many days have requests.
        replace: remove another source's tables first.
        said: told what is being written.

    Returns:
        how many partitions were written.

    Raises:
        ConfigurationError: `days` is below 1, or the folder holds another source.
    """
    if days < 1:
        raise ConfigurationError(f"days is {days}; it must be at least 1")
    partitions.claim(data, spec.source(), replace=replace)
    world = World(spec)
    written = 0
    if not reading.parquet_files(data / "bo_user"):
        partitions.write_snapshot(data, "bo_user", world.users())
    if not reading.parquet_files(data / "bo_product"):
        partitions.write_snapshot(data, "bo_product", world.products())
    tables: tuple[tuple[str, int, Callable[[dt.date], pa.Table]], ...] = (
        ("bo_comment", COMMENT_DAYS, world.comments),
        ("bo_action", HISTORY_DAYS, world.actions),
        ("flattenRequest", 0, world.requests),
        ("action", 0, world.labels),
    )
    # Day by day, so that the memory needed does not grow with the number of days.
    for day in layout.days_back(end, days + COMMENT_DAYS):
        for table, before, make in tables:
            wanted = day > end - dt.timedelta(days=days + before)
            if wanted and not layout.present(data, table, [day]):
                partitions.write_partition(data, table, day, make(day))
                written += 1
        said(f"{day}")
    return written


def _table(name: str, *columns: pa.Array) -> pa.Table:
    return pa.Table.from_arrays(
        [c.cast(f.type) for c, f in zip(columns, SCHEMAS[name], strict=True)], schema=SCHEMAS[name]
    )


def _texts(values: Ints) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _timestamps(us: Ints) -> pa.Array:
    return pa.array(us.astype("datetime64[us]"))


def _midnight_us(day: dt.date) -> int:
    """Start of a day in UTC+8, in microseconds of UTC."""
    return ((day - dt.date(1970, 1, 1)).days * _DAY_S - _UTC8_S) * 10**6


def _seconds_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Few requests at night, most in the evening."""
    return (rng.beta(3.0, 1.6, n) * _DAY_S).astype(np.int64).clip(0, _DAY_S - 1)


def _sigmoid(x: Any) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _shares(n: int) -> Floats:
    weight = 1.0 / np.arange(1, n + 1)
    return np.asarray(weight / weight.sum())
