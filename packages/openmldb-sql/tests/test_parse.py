"""SELECT text to syntax tree, and sqlglot's part in it."""

from __future__ import annotations

import pytest
from openmldb_sql.errors import LimitError, SyntaxError_
from openmldb_sql.parse import MAX_CHAIN, MAX_LENGTH, parse_select
from openmldb_sql.syntax import Bound, Call, ColumnRef, Join, Literal, Select, show
from openmldb_sql.types import SqlType


def select(sql: str) -> Select:
    found = parse_select(sql).selects[0]
    assert isinstance(found, Select)
    return found


def shown(text: str) -> str:
    return show(select(f"SELECT {text} FROM t").items[0].expr)


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("3d PRECEDING", Bound(3 * 86_400_000, has_unit=True)),
        ("0s OPEN PRECEDING", Bound(0, open=True, has_unit=True)),
        ("2 FOLLOWING", Bound(-2)),
        ("1h OPEN FOLLOWING", Bound(-3_600_000, open=True, has_unit=True)),
        ("UNBOUNDED PRECEDING", Bound(None)),
        ("CURRENT_TIME", Bound(0)),
        ("current row", Bound(0)),
    ],
)
def test_bounds(written: str, bound: Bound) -> None:
    window = f"w AS (PARTITION BY a ORDER BY ts ROWS_RANGE BETWEEN {written} AND CURRENT ROW)"
    frame = select(f"SELECT a FROM t WINDOW {window}").windows["w"].frame
    assert frame is not None
    assert frame.start == bound


@pytest.mark.parametrize(
    ("text", "value", "type_"),
    [
        ("2147483647", 2**31 - 1, SqlType.INT32),
        ("2147483648", 2**31, SqlType.INT64),
        ("-9223372036854775808", -(2**63), SqlType.INT64),
        ("-2147483648", -(2**31), SqlType.INT64),
        ("3L", 3, SqlType.INT64),
        ("0x1F", 31, SqlType.INT32),
        ("1.", 1.0, SqlType.DOUBLE),
        (".5", 0.5, SqlType.DOUBLE),
        ("1e-2", 0.01, SqlType.DOUBLE),
        ("2.5f", 2.5, SqlType.FLOAT),
        (r"'it\'s'", "it's", SqlType.STRING),
        (r'"a\n\"b"', 'a\n"b', SqlType.STRING),
        ("'-- no comment'", "-- no comment", SqlType.STRING),
        ("null", None, SqlType.NULL),
        ("TRUE", True, SqlType.BOOL),
    ],
)
def test_literals(text: str, value: object, type_: SqlType) -> None:
    assert select(f"SELECT {text} AS x").items[0].expr == Literal(value, type_)


def test_names_of_columns_stay_as_written() -> None:
    assert shown("Fz_Top1_Ratio(`order`, t.`from`)") == "fz_top1_ratio(order, t.from)"
    assert shown("left(a, 2)") == "left(a, 2)"
    # Names that sqlglot gives nodes or statements of their own.
    for name in ("date_add", "count_if", "coalesce", "if", "array_agg", "show", "describe", "trim"):
        assert select(f"SELECT {name}(a) FROM t").items[0].expr == Call(name, (ColumnRef(("a",)),))
    for name in ("values", "date", "interval", "offset", "qualify", "top", "pivot", "command"):
        assert select(f"SELECT {name} FROM t").items[0].expr == ColumnRef((name,))


def test_strict_refuses_spellings_that_openmldb_does_not_have() -> None:
    for sql in (
        "SELECT a && b FROM t",
        "SELECT 0x1F FROM t",
        "SELECT a AS 'b' FROM t",
        "SELECT a FROM t UNION SELECT a FROM t",
        "SELECT join(split(a, ','), '-') FROM t",
        "SELECT -9223372036854775808 FROM t",
    ):
        parse_select(sql)
        with pytest.raises(SyntaxError_):
            parse_select(sql, strict=True)
    for sql in ("SELECT 'it''s' FROM t", "SELECT 'two\nlines' FROM t"):
        with pytest.raises(SyntaxError_):
            parse_select(sql)
    parse_select(r"""SELECT `join`(split(a, ','), 'it\'s'), "it's" FROM t""", strict=True)


def test_select_all_is_a_select() -> None:
    assert select("SELECT ALL a, b FROM t") == select("SELECT a, b FROM t")
    with pytest.raises(SyntaxError_):
        parse_select("SELECT ALL DISTINCT a FROM t")


def test_joins_lean_to_the_left() -> None:
    source = select(
        "SELECT * FROM a LAST JOIN b ON a.x = b.x LEFT OUTER JOIN c ON a.x = c.x"
    ).source
    assert isinstance(source, Join)
    assert source.kind == "LEFT"
    assert isinstance(source.left, Join)
    assert source.left.kind == "LAST"


def test_a_window_after_over_has_a_hash_whatever_it_unites() -> None:
    call = (
        select(
            "SELECT sum(a) OVER (UNION (SELECT a, b, ts FROM u) PARTITION BY b ORDER BY ts "
            "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t"
        )
        .items[0]
        .expr
    )
    assert isinstance(call, Call)
    assert len({call.over, call.over}) == 1


def test_parameters_are_counted_as_they_stand() -> None:
    tree = parse_select("SELECT ?, ? FROM t WHERE a = ? CONFIG (x = '?')")
    assert tree.parameters == 3
    assert [show(item.expr) for item in tree.selects[0].items] == ["?1", "?2"]  # type: ignore[union-attr]


def test_length_and_chains_are_limited() -> None:
    parse_select("SELECT 1" + " + 1" * MAX_CHAIN)
    parse_select("SELECT 1" + " AND 1" * 5000)
    with pytest.raises(LimitError, match="one chain"):
        parse_select("SELECT 1" + " + 1" * (MAX_CHAIN + 1))
    with pytest.raises(SyntaxError_, match="limit"):
        parse_select("SELECT 1" + " " * MAX_LENGTH)
