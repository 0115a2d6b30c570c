"""Functions and operators over the edge values of each type: what a row alone gives.

Left out is what OpenMLDB leaves undefined or its two own engines give otherwise
(docs/offline_engines.md): times and dates beyond their type, the smallest integer ``% -1``, which
ends the process, text cut within a character, and functions that leave their null flag unset
(``add_months``, the case of an empty text).
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
from typing import Any

from openmldb_embedded.columns import Batch
from openmldb_sql.types import SqlType

ROWS = 60
PACK = 40
FIELDS = [
    ("id", SqlType.INT64),
    ("i16", SqlType.INT16),
    ("i32", SqlType.INT32),
    ("i64", SqlType.INT64),
    ("f", SqlType.FLOAT),
    ("d", SqlType.DOUBLE),
    ("s", SqlType.STRING),
    ("b", SqlType.BOOL),
    ("dt", SqlType.DATE),
    ("ts", SqlType.TIMESTAMP),
    ("i16b", SqlType.INT16),
    ("i32b", SqlType.INT32),
    ("i64b", SqlType.INT64),
    ("fb", SqlType.FLOAT),
    ("db", SqlType.DOUBLE),
    ("sb", SqlType.STRING),
    ("n", SqlType.INT32),
    ("word", SqlType.STRING),
    ("ascii", SqlType.STRING),
]
VALUES: dict[str, list[Any]] = {
    "i16": [-32768, 32767, 0, 1, -1, 12, None],
    "i32": [-(2**31), 2**31 - 1, 0, 1, -1, 365, None],
    "i64": [-(2**63), 2**63 - 1, 0, 1, -1, 2**53 + 1, 1590738989001, None],
    "f": [math.nan, math.inf, -math.inf, 0.0, -0.0, 0.1, 3.4028235e38, 1.4e-45, -2.5, None],
    "d": [
        *(math.nan, math.inf, -math.inf, 0.0, -0.0, 0.1, 1.7976931348623157e308, 5e-324),
        *(-2.5, 2.5, 1e15, 123456789.125, None),
    ],
    "s": [
        *("", "a", " ", "ab cd", "Ünï", "北京", "%_", "1", "-1.5", "2020-05-29", "null", "a,b:c"),
        *("2020-05-29 10:11:12", "x\ty", "é", None),
    ],
    "b": [True, False, None],
    "dt": [
        *(dt.date(1900, 1, 1), dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2000, 2, 29)),
        *(dt.date(2024, 12, 31), dt.date(2100, 12, 31), dt.date(9999, 12, 31), None),
    ],
    "ts": [
        *(0, 1, 999, 1590738989001, 253402271999000, 4102444800000, 86399999, 86400000, 57600000),
        None,
    ],
    "n": [1, 2, 3, 10, None],
    "word": ["a", " ", "ab cd", "Ünï", "北京", "é", None],
    "ascii": ["", "a", " ", "ab cd", "%_", "x\ty", None],
}
"""Values of each column; a column named with ``b`` at its end has those of the column without."""

NUMBERS = ("i16", "i32", "i64", "f", "d")
INTEGERS = ("i16", "i32", "i64")
OF_NUMBERS = [
    "abs", "acos", "asin", "atan", "ceil", "ceiling", "cos", "cot", "exp", "floor", "ln", "log",
    "log10", "log2", "radians", "round", "sin", "sqrt", "tan", "truncate", "hex", "string",
    "bigint", "int", "smallint", "float", "double", "bool", "inc", "isnull", "identity", "hash64",
]  # fmt: skip
OF_OTHERS = {
    "s": [
        "char_length", "hex", "int", "bigint", "smallint", "double", "float", "bool", "date",
        "timestamp", "string", "json_array_length", "isnull", "hash64",
    ],
    "word": ["upper", "lower", "ucase", "lcase"],
    "dt": [
        "year", "month", "day", "dayofmonth", "dayofweek", "dayofyear", "weekofyear", "week",
        "last_day", "string", "timestamp", "isnull", "hash64", "unix_timestamp",
    ],
    "ts": [
        "year", "month", "day", "hour", "minute", "second", "dayofweek", "dayofyear", "weekofyear",
        "last_day", "string", "date", "bigint", "isnull", "hash64", "double", "int",
    ],
    "b": ["string", "int", "bigint", "double", "isnull", "hash64"],
}  # fmt: skip
OPERATORS = ("+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">=", "and", "or", "xor")
OF_TWO = ("pow", "power", "atan2", "maximum", "minimum", "log", "ifnull", "nvl")
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
SINGLE = [
    "concat(s, sb)", "concat(s, i32)", "concat(s, dt, ts)", "concat(d, f)", "strcmp(s, sb)",
    "concat_ws('-', s, sb)", "concat_ws(s, i32, dt)", "s like sb", "s like 'a%'", "s like '%_'",
    "s ilike 'A%'", "s rlike '^a'", "regexp_like(s, '[0-9]+')", "replace(s, 'a', 'bb')",
    "replace(s, sb)", "replace(s, 'a')", "substr(ascii, 2)", "substr(ascii, -2)",
    "substr(ascii, 2, 2)", "substr(ascii, 0, 1)", "substr(ascii, n)", "substring(s, 1, 100)",
    "degrees(d)", "like_match(s, 'a%')", "ilike_match(s, 'A%', '!')", "get_json_object(s, '/a')",
    "reverse(concat(ascii, 'x'))", "datediff(dt, date('2000-01-01'))", "datediff(s, '2000-01-01')",
    "date_format(ts, '%Y-%m-%d %H:%M:%S')", "date_format(dt, '%Y/%m/%d')",
    "unix_timestamp('2020-05-29 10:11:12')", "if_null(s, 'z')", "ifnull(dt, date('2000-01-01'))",
    "ifnull(ts, timestamp(0))", "nvl(s, sb)", "nvl2(s, dt, dt)", "nvl2(b, i32, n)", "nvl2(b, d, f)",
    "if_null(b, false)", "case when b then d else db end", "case when b then s else sb end",
    "case when b then dt else dt end", "case when isnull(ts) then 1 else 2 end",
    "case i16 when 1 then 'x' when 12 then 'y' else 'z' end", "case when b then i16 else i64 end",
    "i32 between -1 and 12", "d between 0 and 1e16", "s between 'a' and 'z'", "i64 in (0, n)",
    "i16 in (1, 12)", "s in ('a', '')", "d in (0.1, 2.5)", "dt in (date('1970-01-01'))", "not b",
    "b and (d > 0)", "b or (f < 0)", "b xor (i32 > 0)", "isnull(d / i32b)", "not s", "ts + 1000",
    "ts - 1000", "ts + i32", "s = 'a'", "b = true", "b = b",
    "ts = timestamp('2020-05-29 16:09:49')", "dt = date('2000-02-29')", "s = i32", "s < dt",
    "cast(f as string)", "cast(d as string)", "cast(s as double)", "cast(ts as date)",
    "cast(dt as timestamp)", "timestamp(i32)", "earth_distance(d, db, 1.5, 2.5)", "char(n + 64)",
    "round(d, 2)", "round(d, -2)", "round(f, 1)", "round(i32, -1)", "round(i64, n)", "-b", "~i32",
    "~i64", "i16 % n", "i32 % n", "i64 % n", "d % n", "f % n", "pmod(i32, n)", "pmod(i64, n)",
    "pmod(d, n)", "i16 div n", "i32 div n", "i64 div n",
]  # fmt: skip


def table(seed: int) -> Batch:
    """One table of all types; half of its cells hold the values in turn, the others by chance."""
    pick = random.Random(seed)
    rows = []
    for number in range(ROWS):
        row: dict[str, Any] = {"id": number}
        for name, _ in FIELDS[1:]:
            values = VALUES.get(name) or VALUES[name.removesuffix("b")]
            row[name] = values[number % len(values)] if pick.random() < 0.5 else pick.choice(values)
        rows.append(tuple(row[name] for name, _ in FIELDS))
    return Batch.from_rows(FIELDS, rows)


def expressions() -> list[str]:
    """Every function by the types it takes, and every operator by two of them."""
    pairs = [(one, f"{other}b") for one, other in itertools.product(NUMBERS, NUMBERS)]
    whole = [(one, f"{other}b") for one, other in itertools.product(INTEGERS, INTEGERS)]
    return [
        *(f"{name}({column})" for name in OF_NUMBERS for column in NUMBERS),
        *(f"{name}({column})" for column, names in OF_OTHERS.items() for name in names),
        *(f"{sign}{column}" for sign in ("-", "not ") for column in NUMBERS),
        *(f"{one} {name} {other}" for name in OPERATORS for one, other in pairs),
        *(f"{one} {name} {other}" for name in ("&", "|", "^") for one, other in whole),
        *(f"{name}({one}, {other})" for name in OF_TWO for one, other in pairs),
        *(f"s {name} sb" for name in COMPARISONS),
        *(f"{one} {name} {one}" for name in COMPARISONS for one in ("dt", "ts")),
        *SINGLE,
    ]


def packed(items: list[str]) -> str:
    """One statement that asks for all of them."""
    listed = ", ".join(f"{item} as x{n}" for n, item in enumerate(items))
    return f"select id, {listed} from t"
