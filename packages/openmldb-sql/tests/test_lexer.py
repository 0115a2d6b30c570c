"""Our tokens under sqlglot's names."""

from __future__ import annotations

import pytest
from openmldb_sql.lexer import Lexer
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType


def read(sql: str) -> list[tuple[TokenType, str]]:
    return [(one.token_type, one.text) for one in Lexer().tokenize(sql)]


def test_pairs_of_words_are_one_token_whatever_lies_between() -> None:
    assert read("GROUP /* x */ BY a order\nby b") == [
        (TokenType.GROUP_BY, "GROUP /* x */ BY"),
        (TokenType.VAR, "a"),
        (TokenType.ORDER_BY, "order\nby"),
        (TokenType.VAR, "b"),
    ]


def test_a_quoted_word_is_a_name_and_makes_no_pair() -> None:
    assert read("`ORDER` BY") == [(TokenType.IDENTIFIER, "ORDER"), (TokenType.VAR, "BY")]
    assert read("SELECT `SELECT`") == [
        (TokenType.SELECT, "SELECT"),
        (TokenType.IDENTIFIER, "SELECT"),
    ]


def test_words_of_other_dialects_are_names() -> None:
    assert read("qualify ilike2 pivot") == [
        (TokenType.VAR, "qualify"),
        (TokenType.VAR, "ilike2"),
        (TokenType.VAR, "pivot"),
    ]


def test_values_are_decoded_and_places_are_those_of_the_text() -> None:
    sql = r"a = 'x\ty' AND 1.5"
    found = Lexer().tokenize(sql)
    assert found[2].text == "x\ty"
    assert all(sql[one.start : one.end + 1] in (one.text, r"'x\ty'") for one in found)


def test_a_shift_is_two_symbols() -> None:
    assert read("a << b") == [
        (TokenType.VAR, "a"),
        (TokenType.LT, "<"),
        (TokenType.LT, "<"),
        (TokenType.VAR, "b"),
    ]


@pytest.mark.parametrize("sql", ["a $ b", "a ? b ¤", "@x", "'a"])
def test_characters_of_no_token_are_refused(sql: str) -> None:
    with pytest.raises(TokenError):
        Lexer().tokenize(sql)
