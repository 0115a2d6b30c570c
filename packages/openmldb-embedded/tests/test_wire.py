"""Values in and out: strict JSON, literals, text of moments, the log's form."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_embedded.errors import Fatal, ProtocolError
from openmldb_embedded.export import java_number
from openmldb_embedded.wire import (
    Misfit,
    RowReader,
    RowWriter,
    from_literal,
    from_log,
    to_date,
    to_log,
    to_moment,
)
from openmldb_sql.types import ColumnDef, Schema, SqlType

NAMES = ["BOOL", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "DATE", "TIMESTAMP"]
SCHEMA = Schema(tuple(ColumnDef(name, SqlType[name]) for name in NAMES))
GOOD = [True, 1, 2, 3, 0.5, 1, "x", "2020-1-2", 1000]


def test_a_row_of_every_type() -> None:
    stored = (True, 1, 2, 3, 0.5, 1.0, "x", dt.date(2020, 1, 2), 1000)
    reader = RowReader(SCHEMA)
    assert reader.read([GOOD, dict(zip(NAMES, GOOD, strict=True))]) == [stored, stored]
    assert reader.read([[None] * 9]) == [(None,) * 9]
    assert RowWriter([SqlType[name] for name in NAMES]).write([stored]) == [GOOD]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOOL", 1),
        ("BOOL", "true"),
        ("INT16", True),
        ("INT32", 1.0),
        ("INT32", "1"),
        ("INT32", 2**31),
        ("INT64", 2**63),
        ("INT64", -(10**400)),
        ("FLOAT", "1.5"),
        ("FLOAT", False),
        ("STRING", 1),
        ("STRING", ["x"]),
        ("DATE", 20200101),
        ("DATE", "2020/01/01"),
        ("TIMESTAMP", 1.5),
        ("TIMESTAMP", "2020-01-01 00:00:00"),
    ],
)
def test_json_is_taken_strictly(name: str, value: Any) -> None:
    row = list(GOOD)
    row[NAMES.index(name)] = value
    with pytest.raises(ProtocolError, match=rf"in array row 1, .* failed on {name}\(.*; it takes"):
        RowReader(SCHEMA).read([GOOD, row])


def test_a_small_integer_out_of_range_is_never_taken() -> None:
    row = list(GOOD)
    for value in (32768, -32769):
        row[NAMES.index("INT16")] = value
        with pytest.raises(Fatal, match="ends the API server's process"):
            RowReader(SCHEMA).read([row])


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2021-2-30", "2021-2-30"), ("2021-13-1", "1900-1-0"), ("1-1-1", "1900-1-0")],
)
def test_a_date_that_the_calendar_lacks(text: str, shown: str) -> None:
    row = list(GOOD)
    row[NAMES.index("DATE")] = text
    (stored,) = RowReader(SCHEMA).read([row])
    assert RowWriter([SqlType[name] for name in NAMES]).write([stored])[0][7] == shown
    with pytest.raises(ProtocolError, match="is not a date"):
        RowReader(SCHEMA, strict=True).read([row])


def test_float32_shows_widened_and_nan_bare_or_null() -> None:
    stored = RowReader(SCHEMA).read([[None] * 4 + [0.0288] + [None] * 4])
    assert stored[0][4] == 0.02879999950528145
    nan = [(float("nan"), float("-inf"))]
    writer = RowWriter([SqlType.FLOAT, SqlType.DOUBLE])
    assert json.dumps(writer.write(nan)) == "[[NaN, -Infinity]]"
    assert writer.write(nan, null_for_nan=True) == [[None, None]]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01 08:00:00", 0),
        ("1970-1-1 8:0", 0),
        ("1970-01-01", -8 * 3_600_000),
        ("2016-03-15 20:43:04", 1458045784000),
        ("2016-03-15T20:43:04.5", 1458045784500),
        ("1969-12-31 23:59:59.999", -8 * 3_600_000 - 1),
        ("2016-13-01", None),
        ("2016-03-15 25:00:00", None),
        ("0001-01-01", -62135625600000),
        ("0000-01-01", None),
        ("", None),
    ],
)
def test_text_of_a_moment_is_read_at_utc_plus_8(text: str, milliseconds: int | None) -> None:
    assert to_moment(text) == milliseconds


def test_text_of_a_date() -> None:
    assert to_date("2021-12-1") == dt.date(2021, 12, 1)
    assert to_date("2021-2-29") is None


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(width=32, allow_nan=False),
            st.floats(allow_nan=False),
            st.text(st.characters(codec="utf-8")),
            st.dates(),
            st.integers(-(2**63), 2**63 - 1),
        )
    )
)
def test_the_log_gives_back_what_it_took(rows: list[tuple[Any, ...]]) -> None:
    assert from_log(json.loads(json.dumps(to_log(rows, SCHEMA))), SCHEMA) == rows


def test_literals_of_another_type_are_told() -> None:
    for value, name in (("1", "INT32"), (1, "STRING"), (1.5, "INT64"), (True, "INT32")):
        with pytest.raises(Misfit, match=f"column {name}"):
            from_literal(value, ColumnDef(name, SqlType[name]))
    with pytest.raises(Misfit, match="can't be null"):
        from_literal(None, ColumnDef("a", SqlType.INT32, not_null=True))
    assert from_literal(10**400, ColumnDef("a", SqlType.DOUBLE)) == float("inf")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (1.25e-10, "1.25E-10"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_numbers_are_written_as_java_does(number: float, text: str) -> None:
    assert java_number(number) == text
