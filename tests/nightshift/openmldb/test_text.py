"""Cutting scripts into statements, and comparing them."""

from __future__ import annotations

import pytest
from openmldb_sql import statements

from nightshift.errors import ConfigurationError
from nightshift.openmldb import (
    first_words,
    load_data,
    normalise_sql,
    quote_literal,
    split_script,
)
from nightshift.openmldb.text import offline_select


class TestSplitScript:
    def test_quotes_and_comments_hide_semicolons(self):
        script = """
        -- the tables; all of them
        CREATE TABLE a(x string); # trailing ; comment
        INSERT INTO a VALUES ('it''s; fine', "a;b", 'back\\';slash'); /* ; */
        SELECT `odd;name` FROM a -- no end
        """
        assert split_script(script) == [
            "CREATE TABLE a(x string)",
            "INSERT INTO a VALUES ('it''s; fine', \"a;b\", 'back\\';slash')",
            "SELECT `odd;name` FROM a",
        ]

    def test_comments_within_a_statement_stay(self):
        assert split_script("SELECT 1, -- one\n 2;") == ["SELECT 1, -- one\n 2"]

    @pytest.mark.parametrize("script", ["", " ; ;\n;", "-- only; this", "/* a */ ; # b"])
    def test_nothing_to_run(self, script):
        assert split_script(script) == []

    def test_a_division_and_a_minus_are_no_comments(self):
        assert split_script("SELECT 4/2, 4 - -2; SELECT 2") == ["SELECT 4/2, 4 - -2", "SELECT 2"]

    def test_a_procedure_stays_whole(self):
        script = "CREATE PROCEDURE p(x int) BEGIN SELECT x; END; SELECT 1"
        assert split_script(script) == [
            "CREATE PROCEDURE p(x int) BEGIN SELECT x; END",
            "SELECT 1",
        ]

    def test_a_procedure_ends_where_its_body_does(self):
        first = "create or replace PROCEDURE p() BEGIN SELECT CASE WHEN a THEN 1 END; SELECT 2; END"
        assert split_script(f"{first};\nDROP TABLE t; -- end") == [first, "DROP TABLE t"]
        # a column may be named so
        assert split_script("SELECT procedure FROM t; SELECT 2") == [
            "SELECT procedure FROM t",
            "SELECT 2",
        ]

    def test_an_open_quote_names_its_line(self):
        with pytest.raises(ConfigurationError, match="line 2"):
            split_script("SELECT 1;\nSELECT 'oops;")

    def test_triple_quotes(self):
        assert split_script("SELECT '''a;'b'''; SELECT 2") == ["SELECT '''a;'b'''", "SELECT 2"]
        assert split_script("SELECT '''a'b;c'''; SELECT 2") == ["SELECT '''a'b;c'''", "SELECT 2"]
        assert split_script('SELECT """a"b;\nc"""; SELECT 2') == [
            'SELECT """a"b;\nc"""',
            "SELECT 2",
        ]


def test_normalising_keeps_quoted_text_and_drops_comments():
    sql = "SELECT  a, -- first\n  'two  spaces'\nFROM t /* x */ ;"
    assert normalise_sql(sql) == "SELECT a, 'two  spaces' FROM t"
    assert first_words("SELECT " + "x" * 100) == "SELECT " + "x" * 50 + "..."


def test_a_literal_with_quotes_splits_as_one_statement():
    literal = quote_literal("a'; DROP TABLE t; --\\")
    assert split_script(f"SELECT {literal}") == [f"SELECT {literal}"]


@pytest.mark.parametrize(
    ("sql", "offline"),
    [
        ("SELECT a FROM t", True),
        ("-- c\nselect a from t -- end", True),
        ("SELECT a FROM t;", True),
        ("SELECT a FROM t; -- end", True),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", True),
        ("SELECT 'x into outfile config (' AS a FROM t", True),
        ("SELECT a FROM t CONFIG (execute_mode='online')", False),
        ("SELECT a FROM t INTO OUTFILE '/x'", False),
        ("LOAD DATA INFILE 'select' INTO TABLE t", False),
        ("SHOW JOBS", False),
    ],
)
def test_a_plain_select_says_itself_that_it_is_offline(sql: str, offline: bool) -> None:
    found = offline_select(sql)
    assert found.endswith("\nCONFIG (execute_mode='offline')") == offline
    assert normalise_sql(found).startswith(normalise_sql(sql))


def test_a_load_reads_back_as_it_was_meant():
    path = "/data/o'brien/ds={2026-03-01,2026-03-02}/*.parquet"
    found = statements.parse(load_data(path, "order", "append"))
    assert (found.path, found.table) == (path, statements.Name(None, "order"))
    assert found.options == {"format": "parquet", "mode": "append"}
    with pytest.raises(ConfigurationError, match="cannot be a name"):
        load_data(path, "t` OPTIONS(mode='overwrite') --", "append")
