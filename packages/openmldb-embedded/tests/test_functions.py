"""Every function with every kind of argument: refused by the checker, or one answer in both modes."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
from pathlib import Path

import pytest
from openmldb_embedded.aggregates import AGGREGATES
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.functions import SCALARS
from openmldb_embedded.memtable import MemTable
from openmldb_sql.errors import SqlError
from openmldb_sql.types import SqlType, schema_of

from testing.jd import Catalog

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


# -- what OpenMLDB's own compiler takes, and the types that it gives

SIGNATURES = json.loads((Path(__file__).parent / "signatures.json").read_text(encoding="utf-8"))
LETTERS = {
    "B": "bool",
    "s": "smallint",
    "i": "int",
    "l": "bigint",
    "f": "float",
    "d": "double",
    "S": "string",
    "D": "date",
    "T": "timestamp",
}


def operand(letter, n):
    names = {"S": "st", "D": "da", "T": "ti", "B": "bo"}
    return "NULL" if letter == "N" else f"{names.get(letter, letter)}{n}"


TYPED = Catalog(
    {
        "t": schema_of(
            (operand(letter, n), SqlType.from_sql_name(name))
            for letter, name in LETTERS.items()
            for n in (1, 2)
        )
    }
)


def given(expression):
    """The letter of an expression's type in strict mode, a point where it is refused."""
    try:
        query = compile_batch(f"SELECT {expression} AS x FROM t", TYPED, "db", strict=True)
    except SqlError:
        return "."
    return next(k for k, t in LETTERS.items() if SqlType.from_sql_name(t) is query.schema[0][1])


KINDS = SIGNATURES["operands"]


@pytest.mark.parametrize("what", ["unary operators", "functions of one"])
def test_signatures_of_one(what):
    for name, expected in SIGNATURES[what].items():
        form = "{}({})" if name[0].isalpha() and name != "NOT" else "{} {}"
        assert "".join(given(form.format(name, operand(k, 1))) for k in KINDS) == expected, name


def test_casts():
    for letter, expected in zip(KINDS, SIGNATURES["casts"], strict=True):
        found = "".join(given(f"CAST({operand(letter, 1)} AS {t})") for t in LETTERS.values())
        assert found == expected, letter


@pytest.mark.parametrize("name", SIGNATURES["binary operators"])
def test_signatures_of_operators(name):
    for a, expected in zip(KINDS, SIGNATURES["binary operators"][name], strict=True):
        found = [given(f"{operand(a, 1)} {name} {operand(b, 2)}") for b in KINDS]
        if (name, a) == ("/", "T"):  # it ends the real engine when it runs
            found[-1] = "d"
        assert "".join(found) == expected, a


@pytest.mark.parametrize("name", SIGNATURES["functions of two"])
def test_signatures_of_two(name):
    form = "{}({}, {})" if name != "case" else "CASE WHEN bo1 THEN {1} ELSE {2} END"
    for a, expected in zip(KINDS, SIGNATURES["functions of two"][name], strict=True):
        found = "".join(given(form.format(name, operand(a, 1), operand(b, 2))) for b in KINDS)
        assert found == expected, a
