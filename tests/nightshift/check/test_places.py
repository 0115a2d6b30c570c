"""Texts of errors become problems with their place."""

import pytest

from nightshift.check.places import hint, problems_of

FILES = ["/p/tables.yaml", "/p/create.sql"]


@pytest.mark.parametrize(
    ("text", "file", "key", "message", "fix"),
    [
        ("/p/tables.yaml: events.a is 'x'; give b", 0, "events.a", "is 'x'", "give b"),
        ("/p/tables.yaml: unknown key 'label.x'", 0, "label.x", "unknown key", "remove it"),
        ("/p/tables.yaml is not there", 0, "", "is not there", ""),
        ("/p/create.sql: line 3: odd; write c", 1, "line 3", "odd", "write c"),
        ("/p/create.sql: it is odd", 1, "", "it is odd", ""),
        (
            "numeric.a has type 'x'; it must be int",
            0,
            "numeric.a",
            "has type 'x'",
            "it must be int",
        ),
        ("a table is not here", 0, "", "a table is not here", ""),
        ("just this", 0, "", "just this", ""),
    ],
)
def test_a_line_is_a_problem_of_its_file_and_key(text, file, key, message, fix):
    (one,) = problems_of(text, FILES)
    assert (one.file, one.key, one.message, one.fix) == (FILES[file], key, message, fix)


def test_lines_that_begin_with_no_file_go_on():
    found = list(problems_of("/p/create.sql: one\n   and more\n/p/tables.yaml: two", FILES))
    assert [(p.file, p.message) for p in found] == [(FILES[1], "one and more"), (FILES[0], "two")]


def test_an_unknown_key_names_the_known_ones_or_the_near_one():
    assert [p.fix for p in problems_of("unknown key 'x'", FILES, ["a", "b"])] == ["known: a, b"]
    (one,) = problems_of("unknown key 'xa'; did you mean 'xb'?", FILES)
    assert (one.key, one.fix) == ("xa", "did you mean 'xb'?")


def test_what_a_parser_refuses_has_a_hint():
    assert ";" in hint('Expected end of statement but got identifier "CREATE"')
    assert "quote" in hint("Unclosed string literal")
    assert hint("Fail to find function") == ""
