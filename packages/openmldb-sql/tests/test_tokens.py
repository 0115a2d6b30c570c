"""Characters to tokens, by ZetaSQL's lexical rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_sql.errors import SyntaxError_
from openmldb_sql.tokens import MAX_DEPTH, NUMBER, Kind, place, scan, tokens, unquote


def read(sql: str) -> list[tuple[Kind, str]]:
    return [(one.kind, one.value) for one in scan(sql)]


def test_each_kind_of_token() -> None:
    assert read("SELECT `a b`, 'x', 1.5f, 3d, @@session.v <=> == # end") == [
        (Kind.WORD, "SELECT"),
        (Kind.NAME, "a b"),
        (Kind.SYMBOL, ","),
        (Kind.STRING, "x"),
        (Kind.SYMBOL, ","),
        (Kind.NUMBER, "1.5f"),
        (Kind.SYMBOL, ","),
        (Kind.NUMBER, "3d"),
        (Kind.SYMBOL, ","),
        (Kind.VARIABLE, "@@session.v"),
        (Kind.SYMBOL, "<=>"),
        (Kind.SYMBOL, "=="),
    ]


@pytest.mark.parametrize("comment", ["-- a;'\n", "# a;'\n", "/* a;'\n*/"])
def test_a_comment_is_no_token_whatever_it_holds(comment: str) -> None:
    assert read(f"a{comment}b") == [(Kind.WORD, "a"), (Kind.WORD, "b")]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'a\"b'", 'a"b'),
        ('"a\'b"', "a'b"),
        (r"'\n\t\\\''", "\n\t\\'"),
        (r"'\u00e9\x41\101\U0001F600'", "éAA😀"),
        ("'''a'b\nc'''", "a'b\nc"),
        ('"""a"b"""', 'a"b'),
        (r"r'\d\'\q'", r"\d\'\q"),
        (r'R"""a"\n"""', r'a"\n'),
        ("''", ""),
    ],
)
def test_strings(written: str, value: str) -> None:
    assert read(written) == [(Kind.STRING, value)]
    assert unquote(written) == value


def test_a_doubled_quote_begins_another_string() -> None:
    assert read("'a''b'") == [(Kind.STRING, "a"), (Kind.STRING, "b")]


@pytest.mark.parametrize("escape", [r"\ud800", r"\U00110000", r"\q", r"\9"])
def test_an_escape_that_is_none_is_refused_with_its_place(escape: str) -> None:
    with pytest.raises(SyntaxError_, match=r"Illegal escape sequence.*\[at 1:8\]"):
        read(f"SELECT '{escape}'")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\'\n")))
def test_text_between_quotes_is_the_value(text: str) -> None:
    assert read(f"'{text}'") == [(Kind.STRING, text)]


@pytest.mark.parametrize(
    ("text", "group"),
    [
        *[("0", "int"), ("7L", "long"), ("0xFf", "hex")],
        *[(text, "float") for text in ("1.", ".5", "1e5", "1.5E-3", "2.f", "1.0F")],
        *[(text, "interval") for text in ("30s", "5m", "2h", "90D")],
    ],
)
def test_numbers(text: str, group: str) -> None:
    found = NUMBER.fullmatch(text)
    assert found is not None
    assert found.lastgroup == group
    assert read(text) == [(Kind.NUMBER, text)]


@pytest.mark.parametrize(
    ("sql", "what"), [("a 'b", "string"), ('"b\n"', "string"), ("`a", "identifier"), ("/* a", "comment")]
)  # fmt: skip
def test_what_is_not_closed_is_named(sql: str, what: str) -> None:
    with pytest.raises(SyntaxError_, match=f"(?i)unclosed {what}"):
        read(sql)


def test_a_statement_ends_at_its_semicolon_and_the_rest_begins_there() -> None:
    sql = "a ';' b; c"
    first = list(tokens(sql))
    assert [one.text for one in first] == ["a", "';'", "b", ""]
    assert first[-1].kind is Kind.END
    assert [one.text for one in tokens(sql, first[-1].end)] == ["c", ""]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("(a", "not closed"),
        ("a)", 'Unexpected "\\)"'),
        ("(" * (MAX_DEPTH + 1) + ")" * (MAX_DEPTH + 1), "nest deeper"),
    ],
)
def test_brackets_are_counted(sql: str, why: str) -> None:
    with pytest.raises(SyntaxError_, match=why):
        list(tokens(sql))
    assert list(tokens("(" * MAX_DEPTH + ")" * MAX_DEPTH))


@given(st.text("ab\n\té", max_size=300), st.data())
def test_the_caret_is_below_the_place(sql: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, max(0, len(sql) - 1)))
    head, line, caret = place(sql, at).split("\n")
    before = sql[:at].split("\n")
    assert head == f"[at {len(before)}:{len(before[-1]) + 1}]"
    assert len(line) <= 80
    column = caret.index("^")
    if column < len(line) and at < len(sql) and sql[at] not in "\n\t":
        assert line[column] == sql[at]


def test_upper_case_is_for_bare_words_only() -> None:
    word, name = scan("select `select`")
    assert (word.upper, name.upper) == ("SELECT", "`select`")


@pytest.mark.parametrize(
    "number", ["1_000", "1x", "1e", "1f", "1.5x", ".5_", "1e5x", "10dx", "0x1Fg"]
)
def test_a_word_does_not_follow_a_number_at_once(number: str) -> None:
    with pytest.raises(SyntaxError_, match="Missing whitespace between literal and alias"):
        read(f"SELECT {number}")


@pytest.mark.parametrize("number", ["1L", "1l", "1.5f", "1e5F", "1."])
def test_but_it_may_follow_a_number_that_a_letter_or_a_dot_ends(number: str) -> None:
    assert read(f"{number}x") == [(Kind.NUMBER, number), (Kind.WORD, "x")]
