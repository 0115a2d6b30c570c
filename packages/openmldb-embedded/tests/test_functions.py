"""Every function with every kind of argument: refused by the checker, or one answer in both modes."""

from __future__ import annotations

import datetime as dt
import itertools
import math

import pytest
from jd import Catalog
from openmldb_embedded.aggregates import AGGREGATES
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.functions import SCALARS
from openmldb_embedded.memtable import MemTable
from openmldb_sql.errors import SqlError
from openmldb_sql.types import SqlType, schema_of

EXTREMES = {
    "bo": (SqlType.BOOL, [True, False, None, True, False]),
    "i1": (SqlType.INT16, [-(2**15), 2**15 - 1, 0, None, 3]),
    "i3": (SqlType.INT32, [2**31 - 1, -(2**31), None, 0, -1]),
    "i6": (SqlType.INT64, [-(2**63), 2**63 - 1, 5, None, 1590738990000]),
    "fl": (SqlType.FLOAT, [math.nan, math.inf, 0.0, 3.4e38, None]),
    "do": (SqlType.DOUBLE, [-math.inf, 1e308, None, math.nan, -0.5]),
    "st": (SqlType.STRING, ["", "1,2:3", None, "2020-05-01", "é%_("]),
    "da": (
        SqlType.DATE,
        [dt.date.min, dt.date.max, None, dt.date(2020, 2, 29), dt.date(1970, 1, 1)],
    ),
    "ti": (SqlType.TIMESTAMP, [0, -1, None, 2**62, 1590738990000]),
}
FIELDS = [("id", SqlType.INT64), *((n, t) for n, (t, _) in EXTREMES.items())]
ROWS = [(i, *row) for i, row in enumerate(zip(*(x for _, x in EXTREMES.values()), strict=True))]
CATALOG = Catalog({"t": schema_of(FIELDS)})
BATCH = Batch.from_rows(FIELDS, ROWS)


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-12)
    return type(a) is type(b) and a == b


def agree(expressions):
    """Compile what compiles; both modes must give the same or both refuse to compute it."""
    for e in expressions:
        sql = f"select {e} as x from t"
        try:
            query = compile_batch(sql, CATALOG, "db")
        except SqlError:
            continue
        answer = compile_request(sql, CATALOG, "db").bind(
            lambda db, name: MemTable(schema_of(FIELDS))
        )
        try:
            found = query.execute(lambda db, name: BATCH).to_rows()
        except SqlError:
            with pytest.raises(SqlError):
                answer(BATCH.to_rows())
            continue
        for (x,), (y,) in zip(found, answer(BATCH.to_rows()), strict=True):
            assert same(x, y), (e, x, y)


COLUMNS = list(EXTREMES)


@pytest.mark.parametrize("name", sorted({e.names[0] for e in SCALARS.values()}))
def test_functions(name):
    agree(f"`{name}`({a})" for a in [*COLUMNS, "null"])
    agree(f"`{name}`({a}, {b})" for a, b in itertools.product([*COLUMNS, "null"], repeat=2))
    some = ["i3", "st", "do", "null", "bo"]
    agree(f"`{name}`({a}, {b}, {c})" for a, b, c in itertools.product(some, repeat=3))
    agree([f"`{name}`()"])


@pytest.mark.parametrize(
    "op",
    [
        "+",
        "-",
        "*",
        "/",
        "%",
        "DIV",
        "&",
        "|",
        "^",
        "||",
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "AND",
        "OR",
        "XOR",
        "LIKE",
        "ILIKE",
    ],
)
def test_operators(op):
    agree(f"{a} {op} {b}" for a, b in itertools.product([*COLUMNS, "null", "2"], repeat=2))


@pytest.mark.parametrize("column", COLUMNS)
def test_unary_operators_and_casts(column):
    agree(f"{op} {column}" for op in ("-", "~", "NOT", "!", "+"))
    types = ["bool", "smallint", "int", "bigint", "float", "double", "string", "date", "timestamp"]
    agree(f"cast({column} as {t})" for t in types)
    agree([f"{column} is null", f"{column} in ({column}, null)", f"{column} in (1, '', null)"])


@pytest.mark.parametrize("name", sorted({e.names[0] for e in AGGREGATES.values()}))
def test_aggregates(name):
    """Over a group of extremes: a value or an error of ours, never another."""
    tails = ["", ", 2", ", bo", ", st", ", bo, st", ", bo, i3, 2", ", 1, bo", ", bo, da", ", 0.5"]
    for column, tail in itertools.product([*COLUMNS, "*"], tails):
        window = (
            "window w as (partition by bo order by ti rows between 2 preceding and current row)"
        )
        for over, rest in (("", ""), ("over w", window)):
            sql = f"select {name}({column}{tail}) {over} as x from t {rest}"
            try:
                query = compile_batch(sql, CATALOG, "db")
            except SqlError:
                continue
            query.execute(lambda db, n: BATCH).to_rows()
