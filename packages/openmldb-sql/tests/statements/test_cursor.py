"""Reading the tokens of a statement from left to right."""

from __future__ import annotations

import pytest
from openmldb_sql.errors import AstError, SyntaxError_
from openmldb_sql.statements.cursor import Cursor, integer
from openmldb_sql.statements.nodes import Duration, Long, Name, Single
from openmldb_sql.tokens import tokens


def over(sql: str) -> Cursor:
    return Cursor(sql, list(tokens(sql)))


def test_words_are_taken_together_or_not_at_all() -> None:
    cursor = over("CREATE table t")
    assert not cursor.take("CREATE", "INDEX")
    assert cursor.peek("CREATE", "TABLE")
    assert cursor.take("CREATE", "TABLE")
    assert cursor.name() == Name(None, "t")
    cursor.end()


def test_a_quoted_name_is_no_key_word() -> None:
    cursor = over("`CREATE`.`a b`")
    assert not cursor.peek("CREATE")
    assert cursor.name() == Name("CREATE", "a b")


@pytest.mark.parametrize(
    ("sql", "got"),
    [
        ("7", "but got 7"),
        ("'x'", "but got string literal 'x'"),
        ("x", 'but got identifier "x"'),
        (";", "but got end of statement"),
        (",", 'but got ","'),
    ],
)
def test_an_error_says_what_was_wanted_and_what_is_there(sql: str, got: str) -> None:
    with pytest.raises(SyntaxError_, match="Expected DEPLOY") as raised:
        over(sql).expect("DEPLOY")
    assert got in raised.value.message
    assert "[at 1:1]" in raised.value.message


def test_what_is_left_over_is_an_error() -> None:
    cursor = over("a b")
    cursor.identifier("a name")
    with pytest.raises(SyntaxError_, match="Expected end of statement"):
        cursor.end()


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("'a'", "a"),
        ("5", 5),
        ("-5", -5),
        ("- - 5", 5),
        ("+-+5", -5),
        ("1.5", 1.5),
        ("-1e3", -1000.0),
        ("null", None),
        ("TRUE", True),
        ("false", False),
    ],
)
def test_literals(sql: str, value: object) -> None:
    found = over(sql).literal()
    assert found == value
    assert type(found) is type(value)


def test_widths_of_numbers() -> None:
    assert isinstance(over("5L").literal(), Long)
    assert isinstance(over(str(2**31)).literal(), Long)
    assert not isinstance(over(str(2**31 - 1)).literal(), Long)
    assert isinstance(over("1.5f").literal(), Single)
    assert integer(str(2**63 - 1), negative=True) == -(2**63 - 1)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("0x10", AstError),
        (str(2**63), AstError),
        ("1" * 50, AstError),
        ("-TRUE", SyntaxError_),
        ("3d", SyntaxError_),
        ("5x", SyntaxError_),
        ("a", SyntaxError_),
        (";", SyntaxError_),
    ],
)
def test_what_is_no_literal(sql: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        over(sql).literal()


@pytest.mark.parametrize("sql", ["1.0", "-1", "1L", "9" * 20, "'1'"])
def test_a_whole_number_has_digits_alone(sql: str) -> None:
    with pytest.raises(SyntaxError_):
        over(sql).integer("a number of rows")


def test_options() -> None:
    cursor = over("OPTIONS (Format='csv', header=false, ttl=10D, mode=append, at=[(1, 2), 3]) x")
    assert cursor.options("OPTIONS") == {
        "format": "csv",
        "header": False,
        "ttl": Duration("10d"),
        "mode": "append",
        "at": "[(1, 2), 3]",
    }
    assert cursor.identifier("a name") == "x"


@pytest.mark.parametrize("sql", ["", "x", "OPTIONS ()"])
def test_options_may_be_absent_or_empty(sql: str) -> None:
    assert over(sql).options("OPTIONS") == {}


@pytest.mark.parametrize("sql", ["OPTIONS (a)", "OPTIONS (a=)", "OPTIONS (a=1 b=2)", "OPTIONS a=1"])
def test_options_that_are_not_whole(sql: str) -> None:
    with pytest.raises(SyntaxError_):
        over(sql).options("OPTIONS")
