"""Scripts to statements: what OpenMLDB's documentation writes, and what it does not take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_sql import statements as s
from openmldb_sql.errors import PlanError, SqlError, UnsupportedSqlError
from openmldb_sql.syntax import Binary, ColumnRef, Literal
from openmldb_sql.types import ColumnDef, IndexDef, SqlType


def test_a_script_splits_outside_quotes_and_comments() -> None:
    script = """
    -- a comment; with a semicolon
    select ';' as a; /* ; */ insert into t values ('it\\'s; "fine"'); # ; last
    ;; use `odd;name`
    """
    assert s.split(script) == [
        "select ';' as a",
        "insert into t values ('it\\'s; \"fine\"')",
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
            "DELETE FROM t WHERE a = 'x' AND ts >= 10",
            s.Delete(
                s.Name(None, "t"),
                Binary(
                    "AND",
                    Binary("=", ColumnRef(("a",)), Literal("x", SqlType.STRING)),
                    Binary(">=", ColumnRef(("ts",)), Literal(10, SqlType.INT32)),
                ),
            ),
        ),
        ("DELETE JOB 3", s.Refused("database or table is empty", 2000)),
        (
            "INSERT INTO t (a, b) VALUES (-1, null), (+2.5e3, true)",
            s.Insert(s.Name(None, "t"), ("a", "b"), ((-1, None), (2500.0, True))),
        ),
        (
            "INSERT INTO t VALUES (7L, 2.5f, 1e2, .5, ?, 1 + 1, now(2, 3), 3d)",
            s.Insert(
                s.Name(None, "t"),
                None,
                (
                    (
                        s.Long(7),
                        s.Single(2.5),
                        100.0,
                        0.5,
                        s.Placeholder(),
                        s.NotConstant("1 + 1"),
                        s.NotConstant("now(2, 3)"),
                        s.NotConstant("3d"),
                    ),
                ),
            ),
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
        "create table t (a int, index(key='a'))",
        "create table t (a int) options(nonsense=1)",
        "drop index i",
        "show tables like 't%'",
        "show databases like 'd%'",
        "insert into t select 1",
        "insert into t values (0x10)",
        "insert into t values (9223372036854775808)",
        "insert into t values ('it''s')",
        "insert into t values ('two\nlines')",
        "delete from t where a is null",
        "create table t (a int, index(key=a, ttl=3x))",
        "insert into t values ()",
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


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("ttl=0m", ("absolute", 0, 0)),
        ("ttl=30s", ("absolute", 60_000, 0)),
        ("ttl=61s", ("absolute", 120_000, 0)),
        ("ttl=3, ttl_type=latest", ("latest", 0, 3)),
        ("ttl=(1d, 5), ttl_type=absorlat", ("absorlat", 86_400_000, 5)),
        ("foo=1", ("absolute", 0, 0)),
    ],
)
def test_a_ttl_is_whole_minutes_or_rows(definition: str, expected: tuple[str, int, int]) -> None:
    found = s.parse(f"create table t (a int, index(key=a, {definition}))")
    assert isinstance(found, s.CreateTable)
    (index,) = found.schema.indexes
    assert (index.ttl_type, index.ttl_ms_abs, index.ttl_lat) == expected


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ("ttl=0", 2000),
        ("ttl=10", 2000),
        ("ttl=1d, ttl_type=latest", 2000),
        ("ttl=(1d, 5)", 2000),
        ("ttl=1d, ttl_type=other", 2000),
        ("ttl=(5, 1d), ttl_type=absandlat", 1002),
        ("ttl='1d'", 1002),
        ("ttl=2000, ttl_type=latest", 2000),
    ],
)
def test_a_ttl_needs_its_unit(definition: str, code: int) -> None:
    with pytest.raises(SqlError) as caught:
        s.parse(f"create table t (a int, index(key=a, {definition}))")
    assert caught.value.code == code


def test_a_script_is_read_to_its_end() -> None:
    assert s.parse_script("use a; use b;") == [s.Use("a"), s.Use("b")]
    assert s.parse_script("use a; -- c") == [s.Use("a")]
    for wrong, code in (
        (";", 1001),
        ("use a;; use b", 1001),
        ("use a; nonsense", 1001),
        (" ", 1000),
    ):
        with pytest.raises(PlanError) as caught:
            s.parse_script(wrong)
        assert caught.value.code == code


def test_what_ends_a_server_is_understood_and_refused() -> None:
    found = s.parse("exit")
    assert isinstance(found, s.Refused)
    assert "ends the process" in found.reason


@given(st.lists(_PIECES).map(" ".join) | st.text())
def test_any_text_is_a_statement_or_an_error_of_ours(text: str) -> None:
    try:
        s.parse(text)
        s.split(text)
    except SqlError:
        pass


_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})


@given(st.text())
def test_a_quoted_string_reads_back(value: str) -> None:
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        return
    quoted = "'" + value.translate(_ESCAPES) + "'"
    assert s.parse(f"insert into t values ({quoted})") == s.Insert(
        s.Name(None, "t"), None, ((value,),)
    )


def test_alter_table_adds_and_drops_paths() -> None:
    sql = "ALTER TABLE d.t ADD OFFLINE_PATH 'x', DROP OFFLINE_PATH 'y'"
    assert s.parse(sql) == s.AlterTable(s.Name("d", "t"), ((True, "x"), (False, "y")))


@pytest.mark.parametrize(
    "more", ["ADD COLUMN c int", "DROP INDEX i", "ADD OFFLINE_PATH 'x', ADD c"]
)
def test_alter_table_changes_no_columns(more: str) -> None:
    with pytest.raises(UnsupportedSqlError, match="cannot alter columns"):
        s.parse(f"ALTER TABLE t {more}")


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("ALTER USER u", "ALTER USER"),
        ("DROP USER u", "DROP USER"),
        ("GRANT ALL ON *.* TO u", "GRANT"),
        ("REVOKE ALL ON *.* FROM u", "REVOKE"),
    ],
)
def test_a_statement_of_openmldb_that_is_not_offered_is_refused_by_its_name(sql, named):
    found = s.parse(sql)
    assert isinstance(found, s.Refused)
    assert found.reason == f"{named} is not offered by the embedded server"


@pytest.mark.parametrize(
    "what",
    [
        *("DATABASES", "TABLES", "TABLE STATUS", "CREATE TABLE t", "COMPONENTS", "JOBS"),
        *("DEPLOYMENTS", "VARIABLES", "GLOBAL VARIABLES", "FUNCTIONS", "PROCEDURES"),
        *("PROCEDURE STATUS", "CREATE PROCEDURE p"),
    ],
)
def test_everything_that_openmldb_shows_is_shown(what):
    assert isinstance(s.parse(f"SHOW {what}"), s.Show)


def test_create_procedure():
    sql = (
        "create procedure `p-1`(const a varchar(5), b bigint, const c timestamp) options() begin\n"
        " select (a) , ';' from t where b in (1, 2) ;\n end;"
    )
    found = s.parse(sql)
    assert found == s.CreateProcedure(
        "p-1",
        (
            ColumnDef("a", SqlType.STRING),
            ColumnDef("b", SqlType.INT64),
            ColumnDef("c", SqlType.TIMESTAMP),
        ),
        ("a", "c"),
        "select (a) , ';' from t where b in (1, 2)",
    )
    plain = s.parse("CREATE OR REPLACE PROCEDURE IF NOT EXISTS p() BEGIN SELECT 1; END")
    assert plain == s.CreateProcedure("p", (), (), "SELECT 1")
    assert s.parse("DROP PROCEDURE IF EXISTS d.p") == s.DropProcedure(s.Name("d", "p"))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE PROCEDURE p(a int) BEGIN END",
        "CREATE PROCEDURE p(a int) BEGIN SELECT 1 END",
        "CREATE PROCEDURE p(a int) BEGIN SELECT 1; SELECT 2; END",
        "CREATE PROCEDURE p(a int) BEGIN DROP TABLE t; END",
        "CREATE PROCEDURE p(a int b int) BEGIN SELECT 1; END",
        "CREATE PROCEDURE p(a int,) BEGIN SELECT 1; END",
        "CREATE PROCEDURE p(a wide) BEGIN SELECT 1; END",
        "CREATE PROCEDURE p BEGIN SELECT 1; END",
        "CREATE PROCEDURE p(a int) SELECT 1",
        "CALL p",
        "CALL p(1,)",
        "CALL p(,1)",
        "CALL p(1 2)",
        "CALL p(1 AS x)",
        "CALL p([1, 2)",
        "DROP FUNCTION",
    ],
)
def test_procedures_that_are_no_statement(sql):
    with pytest.raises(SqlError):
        s.parse(sql)


def test_call():
    found = s.parse("CALL d.p(1 + 2 , concat('a, (', b), [1, 2][1], NULL)")
    assert found == s.CallProcedure(
        s.Name("d", "p"), ("1 + 2", "concat('a, (', b)", "[1, 2][1]", "NULL")
    )
    assert s.parse("call p()") == s.CallProcedure(s.Name(None, "p"), ())


def test_functions_of_shared_objects():
    head = "CREATE AGGREGATE FUNCTION f(x BIGINT, y varchar(9)) RETURNS BIGINT"
    missing = s.parse(f"{head} OPTIONS (file = 'f.so')")
    assert isinstance(missing, s.Refused)
    assert missing.reason.startswith("missing FILE option")
    assert missing.code == 2000
    given = s.parse(f"{head} OPTIONS (FILE = 'f.so', RETURN_NULLABLE=true)")
    assert isinstance(given, s.Refused)
    assert "f.so" in given.reason
    assert s.parse("DROP FUNCTION IF EXISTS f") == s.DropFunction("f", True)
