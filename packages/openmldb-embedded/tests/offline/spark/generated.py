"""Tables and statements by a seed, without what OpenMLDB leaves undefined.

Times are unique over all tables, LAST JOINs are ordered by them, and every statement selects the
row's id first, so that two engines can only differ in what they mean.

Two things on which OpenMLDB's own two engines differ are left out, too (docs/offline_engines.md):
NULL keys of a join, and operators that the batch engine 0.9.0 does not know in a WHERE.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

from openmldb_embedded.columns import Batch
from openmldb_sql.types import SqlType

FIELDS = [
    ("id", SqlType.INT64),
    ("k", SqlType.STRING),
    ("g", SqlType.INT32),
    ("ts", SqlType.TIMESTAMP),
    ("i16", SqlType.INT16),
    ("i32", SqlType.INT32),
    ("i64", SqlType.INT64),
    ("f", SqlType.FLOAT),
    ("d", SqlType.DOUBLE),
    ("s", SqlType.STRING),
    ("b", SqlType.BOOL),
    ("dt", SqlType.DATE),
]
VALUES: dict[str, list[Any]] = {
    "k": ["a", "b", "c", None],
    "g": [0, 1, 2, None],
    "i16": [-3, 0, 1, 2, 7, None],
    "i32": [-(2**31), 2**31 - 1, 0, 1, 2, 3, None],
    "i64": [-(2**40), 0, 1, 5, 9, None],
    "f": [0.1, 0.5, 1.5, -2.25, 3.1, None],
    "d": [0.1, 1e9, -0.3, 2.5, None],
    "s": ["", "x", "y", "zz", "ünï", "k1:v1,k2:v2", None],
    "b": [True, False, None],
    "dt": [dt.date(1999, 12, 31), dt.date(2024, 2, 29), dt.date(2021, 7, 1), None],
}
AGGREGATES = [
    "count(*)", "count(i32)", "sum(i16)", "sum(i32)", "sum(i64)", "sum(f)", "sum(d)", "avg(i32)",
    "avg(f)", "avg(d)", "min(s)", "max(s)", "min(d)", "max(dt)", "min(ts)", "max(f)", "min(i16)",
    "distinct_count(s)", "distinct_count(i16)", "distinct_count(dt)", "top1_ratio(s)",
    "top1_ratio(i32)", "topn_frequency(s, 2)", "topn_frequency(i16, 3)", "count_where(i32, b)",
    "sum_where(d, i32 > 0)", "avg_where(i16, i16 < 3)", "max_where(i32, b)", "min_where(f, f > 1)",
    "first_value(s)", "first_value(i32)", "lag(s, 1)", "lag(i32, 2)", "sum_cate(i16, s)",
    "avg_cate(d, i32)", "count_cate(i64, k)", "count_cate_where(i32, b, s)", "max_cate(f, dt)",
    "top_n_key_sum_cate_where(i16, b, s, 2)", "sum(i32 + i16)", "max(case when b then d end)",
    "median(d)", "stddev(d)", "drawdown(d)", "ew_avg(d, 0.5)", "variance(i16)",
]  # fmt: skip
SCALARS = [
    "i32 + i16", "i64 - i32", "d * f", "d / i16", "i32 % 3", "i64 div 2", "-d", "abs(i32)",
    "round(d)", "floor(d)", "ceil(f)", "sqrt(abs(d))", "pow(f, 2)", "ln(abs(d) + 1)", "cos(d)",
    "truncate(d)", "i16 & 3", "i32 | 1", "i32 > i16 and b", "b or i32 = 1", "not b", "s = k",
    "s != 'x'", "d between 0 and 3", "i32 in (1, 2, 3)", "isnull(s)", "ifnull(i32, 7)",
    "if_null(s, 'none')", "nvl(d, 1.5)", "nvl2(s, i16, i16)", "coalesce(f, 0.5)",
    "case when b then s else k end", "case i16 when 1 then 'one' when 2 then 'two' end",
    "concat(s, '-', k)", "upper(k)", "lower(k)", "substr(s, 1, 2)",
    "char_length(s)", "strcmp(s, k)", "s like 'z%'", "reverse(k)", "replace(s, 'x', 'yy')",
    "year(ts)", "month(dt)", "dayofmonth(dt)", "dayofweek(ts)", "dayofyear(dt)", "weekofyear(dt)",
    "hour(ts)", "minute(ts)", "second(ts)", "day(ts)", "date(ts)", "timestamp(dt)", "bigint(ts)",
    "date_format(ts, '%Y-%m-%d %H:%M:%S')", "datediff(dt, date('2020-01-01'))", "string(i64)",
    "double(i32)", "float(d)", "int(i16)", "smallint(i16)", "bigint(f)", "bool(i32)", "string(d)",
    "string(f)", "string(ts)", "string(dt)", "cast(i32 as string)", "int('12')", "double('1.5')",
    "log10(abs(i64) + 1)", "exp(i16)", "sin(f)", "i32 ^ i16", "i64 * 3", "unix_timestamp(ts)",
]  # fmt: skip
CONDITIONS = [
    "i32 > 0", "b", "s != 'x'", "i16 < 3 and d > 0", "isnull(f)", "k = 'a' or g = 1", "id > 50",
]  # fmt: skip


def tables(seed: int) -> dict[str, Batch]:
    """Three tables of one schema; ids and times are unique over all of them."""
    pick = random.Random(seed)
    sizes = {"t": 40, "u": 30, "v": 20}
    numbers = list(range(sum(sizes.values())))
    moments = [1_600_000_000_000 + 250 * n for n in pick.sample(range(300), len(numbers))]
    found = {}
    for name, size in sizes.items():
        rows = []
        for _ in range(size):
            number = numbers.pop(0)
            row = {"id": number, "ts": moments[number]}
            row.update({column: pick.choice(values) for column, values in VALUES.items()})
            if name == "v":  # the left side of joins
                row.update(k=pick.choice("abc"), g=pick.choice([0, 1, 2]))
            rows.append(tuple(row[column] for column, _ in FIELDS))
        found[name] = Batch.from_rows(FIELDS, rows)
    return found


class Statements:
    """Statements by a seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def one(self) -> str:
        """The next statement."""
        shape = self.pick.choice(
            [self.scalar, self.window, self.window, self.window, self.join, self.grouped, self.both]
        )
        return shape()

    def scalar(self) -> str:
        """Functions and operators over a row."""
        items = self.pick.sample(SCALARS, 4)
        where = self.pick.choice(["", f" where {self.pick.choice(CONDITIONS)}"])
        listed = ", ".join(f"{item} as x{n}" for n, item in enumerate(items))
        return f"select id, {listed} from {self.pick.choice('tuv')}{where}"

    def frame(self) -> str:
        """A window's frame and its attributes."""
        pick = self.pick.choice
        if pick([True, False]):
            start = pick(["UNBOUNDED", "0", "1", "2", "5"])
            end = pick(["CURRENT ROW", "0 PRECEDING", "1 PRECEDING"])
            if start == "0":
                end = "CURRENT ROW"
            text = f"ROWS BETWEEN {start} PRECEDING AND {end}"
        else:
            start = pick(["UNBOUNDED", "500", "3s", "10s OPEN", "1m"])
            end = pick(["CURRENT ROW", "0s PRECEDING", "250 PRECEDING"])
            text = f"ROWS_RANGE BETWEEN {start} PRECEDING AND {end}"
            text += pick(["", "", " MAXSIZE 2", " MAXSIZE 5"])
        return text + pick(["", "", " EXCLUDE CURRENT_TIME", " EXCLUDE CURRENT_ROW"])

    def window(self, source: str = "t") -> str:
        """Aggregates over a window, with or without other tables in it."""
        pick = self.pick.choice
        union = pick(["", "", "UNION u ", "UNION (select * from u) ", "UNION u, v "])
        instance = pick([" INSTANCE_NOT_IN_WINDOW", ""]) if union else ""
        items = self.pick.sample(AGGREGATES, self.pick.randint(1, 4))
        items = [item for item in items if not item.startswith("lag")] or ["lag(s, 1)"]
        listed = ", ".join(f"{item} over w as x{n}" for n, item in enumerate(items))
        return (
            f"select id, {listed} from {source} window w as ({union}PARTITION BY "
            f"{pick(['k', 'g', 'k, g'])} ORDER BY ts {self.frame()}{instance})"
        )

    def join(self) -> str:
        """A LAST JOIN, ordered."""
        pick = self.pick.choice
        more = pick(["", " and u.ts < t.ts", " and u.i32 > 0", " and t.b"])
        right = pick(["u", "(select * from u where i16 > 0) as u"])
        key = self.pick.choice("kg")
        return (
            f"select t.id, u.id as uid, u.s as us, u.d + t.d as x from v as t last join {right} "
            f"order by u.ts on t.{key} = u.{key}{more}"
        )

    def grouped(self) -> str:
        """GROUP BY."""
        key = self.pick.choice("kg")
        items = self.pick.sample(
            ["count(*)", "sum(i64)", "max(d)", "min(s)", "avg(i16)", "count(b)", "max(ts)"], 3
        )
        listed = ", ".join(f"{item} as x{n}" for n, item in enumerate(items))
        return f"select {key}, {listed} from {self.pick.choice('tuv')} group by {key}"

    def both(self) -> str:
        """A window joined to a window by the id."""
        first = self.window()
        second = self.window("(select * from t)").replace("select id,", "select id as rid,", 1)
        for n in range(6):
            second = second.replace(f" as x{n}", f" as y{n}")
        return f"select * from ({first}) as a last join ({second}) as b on a.id = b.rid"
