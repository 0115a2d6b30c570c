"""INSERTs of plain literals: the same statement as the parser's, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_sql import statements
from openmldb_sql.errors import SqlError
from openmldb_sql.statements.grammar import Parser
from openmldb_sql.statements.nodes import Long
from openmldb_sql.statements.plain import plain_insert
from openmldb_sql.tokens import tokens


def parsed(script):
    return Parser(script, list(tokens(script))).statement()


def kinds(insert):
    return [[type(value) for value in row] for row in insert.rows]


def test_values_are_the_parsers_with_their_types():
    script = (
        "INSERT INTO db.t (a, `b c`) VALUES (1, 'x'), (-2, ''),(2147483648,'\u00e4 \t)'),"
        "( NULL , 'it, (is)' ) , (1.50, '-- no comment'), (-1e-07, TRUE), (1e+16, false);\n"
    )
    found = plain_insert(script)
    assert found == parsed(script)
    assert kinds(found) == kinds(parsed(script))
    assert found.rows[2][0] == 2**31 and type(found.rows[2][0]) is Long
    assert (found.table.db, found.table.name, found.columns) == ("db", "t", ("a", "b c"))
    assert statements.parse_script(script) == [found]


@pytest.mark.parametrize(
    "script",
    [
        "INSERT INTO t VALUES ('a\\'b')",
        "INSERT INTO t VALUES ('''a''')",
        "INSERT INTO t VALUES (''',''')",
        'INSERT INTO t VALUES ("a")',
        "INSERT INTO t VALUES (r'a')",
        "INSERT INTO t VALUES (1 + 1)",
        "INSERT INTO t VALUES (?)",
        "INSERT INTO t VALUES (1.5f, 1L, 10d)",
        "INSERT INTO t VALUES (1), -- two\n(2)",
        "INSERT INTO t /* VALUES ( */ VALUES (1)",
        "INSERT INTO t VALUES (1); SELECT 1",
        "INSERT INTO t VALUES (1) (2)",
        "INSERT INTO t VALUES (1),",
        "INSERT INTO t VALUES (1",
        "INSERT INTO t VALUES (0x1F)",
        "INSERT INTO t VALUES (99999999999999999999)",
        "INSERT INTO t VALUES ('a\nb')",
        "INSERT INTO t SELECT 1",
        "INSERT INTO t ('VALUES') VALUES (1)",
        "INSERT INTO t (a b) VALUES (1)",
        "INSERT INTO t VALUES ()",
        "INSERT INTO tVALUES (1)",
        "INSERT INTO VALUES (1)",
        "SELECT 'INSERT INTO t VALUES (1)'",
        "",
    ],
)
def test_whatever_is_not_plain_is_the_parsers(script):
    found = plain_insert(script)
    assert found is None or found == parsed(script)


PIECES = st.sampled_from(
    [
        "INSERT INTO",
        "VALUES",
        "VALUE",
        " ",
        "\n",
        "(",
        ")",
        ",",
        ";",
        "t",
        "db.t",
        "`a b`",
        "a",
        "1",
        "-",
        "2.5",
        ".5",
        "1e3",
        "1L",
        "NULL",
        "true",
        "'x'",
        "''",
        "'''",
        "'",
        "\\",
        '"y"',
        "r'z'",
        "--",
        "#",
        "/*",
        "*/",
        "?",
        "OR IGNORE",
        "TABLE",
        "0x1",
        "10d",
        "١",
    ]
)


@given(
    st.sampled_from(["INSERT INTO t VALUES (1, 'a')", "INSERT INTO t (a, b) VALUES (", ""]),
    st.lists(PIECES, max_size=9),
    st.sampled_from(["", ")", ", (1, 'b')", ";"]),
)
def test_no_text_is_read_otherwise_than_by_the_parser(begin, pieces, end):
    script = begin + "".join(pieces) + end
    found = plain_insert(script)
    if found is None:
        return
    try:
        wanted = parsed(script)
    except SqlError as error:
        raise AssertionError(f"the parser refuses {script!r}: {error}") from None
    assert found == wanted
    assert kinds(found) == kinds(wanted)
