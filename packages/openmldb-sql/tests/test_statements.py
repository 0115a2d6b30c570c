"""Scripts to statements: what OpenMLDB's documentation writes, and what it does not take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_sql import statements as s
from openmldb_sql.errors import PlanError, SqlError
from openmldb_sql.types import IndexDef, SqlType


def test_a_script_splits_outside_quotes_and_comments() -> None:
    script = """
    -- a comment; with a semicolon
    select ';' as a; /* ; */ insert into t values ('it''s; \\'fine\\''); # ; last
    ;; use `odd;name`
    """
    assert s.split(script) == [
        "select ';' as a",
        "insert into t values ('it''s; \\'fine\\'')",
        "use `odd;name`",
    ]


def test_only_the_first_statement_counts() -> None:
    assert s.parse("; ;use a; this is ( no SQL") == s.Use("a")


def test_create_table_with_all_it_can_say() -> None:
    found = s.parse(
        """CREATE TABLE IF NOT EXISTS d.`t`(
            a string NOT NULL, b int DEFAULT -3, c bigint, ts timestamp, f float,
            INDEX(key=(a, b), ts=ts, ttl=(10d, 5), ttl_type=absandlat),
            INDEX(key=c, ttl_type=latest, ttl=3),
            index(key=a, ts=ts, ttl=30m)
        ) OPTIONS (PARTITIONNUM=8, REPLICANUM=2, STORAGE_MODE='Memory',
                   DISTRIBUTION=[('127.0.0.1:1', ['127.0.0.1:2'])])"""
    )
    assert isinstance(found, s.CreateTable)
    assert found.table == s.Name("d", "t")
    assert found.if_not_exists
    assert [(c.name, c.type, c.not_null, c.default) for c in found.schema.columns] == [
        ("a", SqlType.STRING, True, None),
        ("b", SqlType.INT32, False, -3),
        ("c", SqlType.INT64, False, None),
        ("ts", SqlType.TIMESTAMP, False, None),
        ("f", SqlType.FLOAT, False, None),
    ]
    assert found.schema.indexes == (
        IndexDef(("a", "b"), "ts", "absandlat", 10 * 86_400_000, 5),
        IndexDef(("c",), None, "latest", 0, 3),
        IndexDef(("a",), "ts", "absolute", 30 * 60_000, 0),
    )
    assert found.options["partitionnum"] == 8
    assert found.options["distribution"] == "[('127.0.0.1:1', ['127.0.0.1:2'])]"


def test_the_tutorials_load_and_export() -> None:
    load = s.parse(
        "LOAD DATA INFILE '/d/action/*.parquet' INTO TABLE action "
        "options(format='parquet', header=true, mode='overwrite');"
    )
    assert load == s.LoadData(
        "/d/action/*.parquet",
        s.Name(None, "action"),
        {"format": "parquet", "header": True, "mode": "overwrite"},
        {},
    )
    into = s.parse("select * from (select 1) as `into outfile` INTO OUTFILE '/o' OPTIONS(mode='x')")
    assert into == s.SelectInto(
        "select * from (select 1) as `into outfile`", "/o", {"mode": "x"}, {}
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "select a from t CONFIG (execute_mode='offline')",
            s.Select("select a from t", {"execute_mode": "offline"}),
        ),
        (
            "select a from t CONFIG (a=1) into outfile 'x'",
            s.SelectInto("select a from t", "x", {}, {"a": 1}),
        ),
        ("select config from t", s.Select("select config from t", {})),
        ("(select 1)", s.Select("(select 1)", {})),
        (
            "DEPLOY d OPTIONS(RANGE_BIAS='inf', ROWS_BIAS=7) SELECT a FROM t WHERE b=';'",
            s.Deploy("d", "SELECT a FROM t WHERE b=';'", {"range_bias": "inf", "rows_bias": 7}),
        ),
        ("deploy if not exists d select 1", s.Deploy("d", "select 1", {}, True)),
        ("DROP DEPLOYMENT a.b", s.DropDeployment(s.Name("a", "b"))),
        ("SHOW JOB 12", s.Show("JOB", number=12)),
        (
            "SHOW JOBS FROM NAMESERVER LIKE '7'",
            s.Show("JOBS", source="NAMESERVER", like="7"),
        ),
        ("SHOW CREATE TABLE a.b", s.Show("CREATE TABLE", s.Name("a", "b"))),
        ("show global variables", s.Show("GLOBAL VARIABLES")),
        ("SET @@execute_mode = 'offline'", s.SetVar("session", "execute_mode", "offline")),
        ("SET @@GLOBAL.sync_job=true", s.SetVar("global", "sync_job", True)),
        (
            "DELETE FROM t WHERE a = 'x' AND ts >= 10 AND ts < 20",
            s.Delete(
                s.Name(None, "t"),
                (
                    s.Condition("a", "=", "x"),
                    s.Condition("ts", ">=", 10),
                    s.Condition("ts", "<", 20),
                ),
            ),
        ),
        (
            "INSERT INTO t (a, b) VALUES (-1, null), (+2.5e3, true)",
            s.Insert(s.Name(None, "t"), ("a", "b"), ((-1, None), (2500.0, True))),
        ),
        (
            "INSERT INTO t VALUES (0x1D, 7L, 2.5f, 3d, 1e2, .5)",
            s.Insert(s.Name(None, "t"), None, ((29, 7, 2.5, 3.0, 100.0, 0.5),)),
        ),
        (
            "SET @@x = 0x1d",
            s.SetVar("session", "x", 29),
        ),
        (
            "CREATE INDEX i ON t (a, b) OPTIONS(ts=c, ttl=1d, ttl_type=absolute)",
            s.CreateIndex(
                "i", s.Name(None, "t"), IndexDef(("a", "b"), "c", "absolute", 86_400_000, 0)
            ),
        ),
    ],
)
def test_statements(sql: str, expected: s.Statement) -> None:
    assert s.parse(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ; ; ",
        "-- nothing",
        "select 'open",
        "select `open",
        "/* open",
        "create table t (a int",
        "create table t ()",
        "create table t (a nothing)",
        "create table t (a int, index(ts=a))",
        "create table t (a int, index(key=a, ttl=3x))",
        "insert into t values ()",
        "insert into t values (3s)",
        "insert into t values (3x)",
        "insert into t values (1) garbage",
        "load data infile nowhere into table t",
        "deploy d",
        "show nonsense",
        "show job x",
        "drop everything",
        "delete from t",
        "select 1) from t",
        "select " + "(" * 10_000 + "1" + ")" * 10_000,
        "insert into t values (" + "9" * 5000 + ")",
    ],
)
def test_what_is_no_statement_is_refused_with_a_syntax_error(sql: str) -> None:
    with pytest.raises(PlanError) as caught:
        s.parse(sql)
    assert caught.value.message.startswith("create logic plan tree failed--")


_PIECES = st.sampled_from(
    [
        "select",
        "insert",
        "into",
        "values",
        "create",
        "table",
        "index",
        "(",
        ")",
        ",",
        ";",
        "'",
        '"',
        "`",
        "--",
        "/*",
        "*/",
        "=",
        "?",
        ".",
        "1",
        "1e",
        "0x",
        "10d",
        "null",
        "a",
        "b",
        "load",
        "data",
        "infile",
        "outfile",
        "options",
        "config",
        "deploy",
        "show",
        "jobs",
        "set",
        "@@x",
        "\\",
        "\n",
        "é",
    ]
)


@given(st.lists(_PIECES).map(" ".join) | st.text())
def test_any_text_is_a_statement_or_an_error_of_ours(text: str) -> None:
    try:
        s.parse(text)
        s.split(text)
    except SqlError:
        pass


@given(st.text())
def test_a_quoted_string_reads_back(value: str) -> None:
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        return
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert s.parse(f"insert into t values ({quoted})") == s.Insert(
        s.Name(None, "t"), None, ((value,),)
    )
