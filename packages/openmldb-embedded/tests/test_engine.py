"""The engine's meaning, clause by clause: expectations are OpenMLDB's documented behaviour."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.errors import (
    NotFound,
    ResourceLimitError,
    UnsupportedError,
    WindowError,
)
from openmldb_embedded.memtable import MemTable
from openmldb_sql.errors import (
    NameResolutionError,
    PlanError,
    SqlError,
    SyntaxError_,
    TypeCheckError,
)
from openmldb_sql.parse import parse_select
from openmldb_sql.types import IndexDef, SqlType, schema_of

from testing.jd import Catalog

FIELDS = [
    ("id", SqlType.INT32),
    ("k", SqlType.STRING),
    ("ts", SqlType.TIMESTAMP),
    ("x", SqlType.INT32),
    ("s", SqlType.STRING),
]
CATALOG = Catalog({"t": schema_of(FIELDS), "u": schema_of(FIELDS)})


def run(sql, rows=(), others=(), params=()):
    data = {"t": Batch.from_rows(FIELDS, rows), "u": Batch.from_rows(FIELDS, others)}
    query = compile_batch(sql, CATALOG, "db", params)
    return query.execute(lambda db, name: data[name]).to_rows()


def one(expression):
    ((value,),) = run(f"select {expression} as x")
    return value


# -- types and values


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("int(2147483647) + 1", -(2**31)),
        ("bigint(9223372036854775807) + 1", -(2**63)),
        ("smallint(32767) + smallint(1)", -32768),
        ("2147483648 + 0", 2147483648),
        ("7 DIV -2", -3),
        ("-7 % 3", -1),
        ("1 / 0", None),
        ("1 DIV 0", None),
        ("0.1f + 0.2f", 0.30000001192092896),
        ("1 = '1'", True),
        ("null = null", None),
        ("false and null", False),
        ("true or null", True),
        ("not null", None),
        ("3 in (1, null)", None),
        ("1 in (1, null)", True),
        ("'a_c' like 'a\\\\_c'", True),
        ("'abc' like 'a\\\\_c'", False),
        ("'a%' like 'a|%' escape '|'", True),
        ("'A' ilike 'a'", True),
        ("case when null then 1 else 2 end", 2),
        ("int('x')", None),
        ("date('2020-02-30')", None),
        ("string(1.5)", "1.5"),
    ],
)
def test_expressions(expression, value):
    assert one(expression) == value


@pytest.mark.parametrize(
    ("ms", "day", "hour", "dayofweek"),
    [
        (1451577599999, 31, 23, 5),  # 2015-12-31 23:59:59.999 in UTC+8, a Thursday
        (1451577600000, 1, 0, 6),  # 2016-01-01 00:00:00 in UTC+8, still 2015 in UTC
        (0, 1, 8, 5),
    ],
)
def test_date_parts_are_in_utc_plus_8(ms, day, hour, dayofweek):
    row = run(f"select day(bigint({ms})), hour(bigint({ms})), dayofweek(timestamp({ms}))")[0]
    assert row == (day, hour, dayofweek)


def test_dates_and_timestamps_convert_in_utc_plus_8():
    assert one("date(timestamp(1451577600000))") == dt.date(2016, 1, 1)
    assert one("timestamp(date('2016-01-01'))") == 1451577600000
    assert one("timestamp('2016-01-01 00:00:00')") == 1451577600000
    assert one("string(timestamp(1451577600000))") == "2016-01-01 00:00:00"


def test_result_columns_are_named_and_typed():
    query = compile_batch(
        "select id, x + 1, x as y, x / 2, count(x) over w from t window w as "
        "(partition by k order by ts rows between 1 preceding and current row)",
        CATALOG,
        "db",
    )
    assert query.schema == [
        ("id", SqlType.INT32),
        ("x + 1", SqlType.INT32),
        ("y", SqlType.INT32),
        ("x / 2", SqlType.DOUBLE),
        ("count(x)over w", SqlType.INT64),
    ]
    assert query.tables == {("db", "t")}
    assert "WINDOW w (PARTITION BY k ORDER BY ts ROWS [1, 0])" in query.explain()


# -- clauses


ROWS = [
    (1, "a", 1000, 10, "p"),
    (2, "a", 2000, None, "q"),
    (3, "b", 2000, 30, "p"),
    (4, None, 3000, 40, None),
    (5, None, 4000, 50, "p"),
]


def test_group_by_having():
    sql = "select s, count(*) as n, sum(x) as total from t group by s having count(*) > 1"
    assert run(sql, ROWS) == [("p", 3, 90)]
    assert run("select k, count(x) from t group by k", ROWS) == [("a", 1), ("b", 1), (None, 2)]
    assert run("select count(*), sum(x), max(s) from t", []) == []


def test_where_limit_distinct_union_with():
    assert run("select id from t where x > 10 limit 2", ROWS) == [(3,), (4,)]
    assert run("select distinct k from t", ROWS) == [("a",), ("b",), (None,)]
    assert run("select id from t where id = 1 union all select id from t where id < 3", ROWS) == [
        (1,), (1,), (2,),
    ]  # fmt: skip
    sql = "with a as (select id, x from t where x > 10), b as (select id from a) select * from b"
    assert run(sql, ROWS) == [(3,), (4,), (5,)]


def test_parameters():
    sql = "select id from t where x > ? and s = ?"
    assert run(sql, ROWS, params=(20, "p")) == [(3,), (5,)]
    assert run("select id from t where ts = ?", ROWS, params=((SqlType.TIMESTAMP, 1000),)) == [(1,)]
    with pytest.raises(PlanError, match="parameter type with position 2"):
        compile_batch(sql, CATALOG, "db", (1,))


def test_last_join_takes_the_greatest_and_null_matches_null():
    others = [(7, "a", 5, 1, "x"), (8, "a", 9, 2, "y"), (9, "a", 9, 3, "z"), (6, None, 1, 0, "n")]
    sql = "select t.id, u.id as uid from t last join u order by u.ts on t.k = u.k"
    assert run(sql, ROWS, others) == [(1, 9), (2, 9), (3, None), (4, 6), (5, 6)]
    assert run(sql.replace("u.ts", "u.ts desc"), ROWS[:1], others) == [(1, 7)]
    assert run(sql.replace("= u.k", "= u.k and u.x < 3"), ROWS[:1], others) == [(1, 8)]


def test_left_join_keeps_every_match():
    others = [(7, "a", 5, 1, "x"), (8, "a", 9, 2, "y")]
    sql = "select t.id, u.id as uid from t left join u on t.k = u.k"
    assert run(sql, ROWS[:3], others) == [(1, 7), (1, 8), (2, 7), (2, 8), (3, None)]


def test_null_partition_keys_group_and_null_order_keys_drop():
    rows = [*ROWS, (6, "a", None, 1, "p")]
    sql = (
        "select id, count(*) over w as n from t window w as "
        "(partition by k order by ts rows between unbounded preceding and current row)"
    )
    assert run(sql, rows) == [(1, 1), (2, 2), (3, 1), (4, 1), (5, 2)]


def window(definition, rows, others=(), agg="sum(x)"):
    sql = (
        f"select id, {agg} over w as a from t window w as "
        f"({definition.replace('@', 'partition by k order by ts')})"
    )
    return dict(run(sql, rows, others))


TIED = [(1, "a", 0, 1, ""), (2, "a", 0, 2, ""), (3, "a", 1000, 4, ""), (4, "a", 1000, 8, "")]
UNITED = [(9, "a", 0, 16, ""), (8, "a", 1000, 32, "")]


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        # N preceding is N + 1 rows; of equal times later rows are not in the frame
        ("@ rows between 1 preceding and current row", {1: 1, 2: 3, 3: 6, 4: 12}),
        ("@ rows between 2 preceding and 1 preceding", {1: None, 2: 1, 3: 3, 4: 6}),
        ("@ rows_range between 0s preceding and current row", {1: 1, 2: 3, 3: 4, 4: 12}),
        ("@ rows_range between 1s preceding and 1s preceding", {1: None, 2: None, 3: 3, 4: 3}),
        ("@ rows_range between 1s open preceding and current row", {1: 1, 2: 3, 3: 4, 4: 12}),
        ("@ rows_range between 1 preceding and current row", {1: 1, 2: 3, 3: 4, 4: 12}),
        ("@ rows_range between 1s preceding and current row maxsize 2", {1: 1, 2: 3, 3: 6, 4: 12}),
        # attributes
        (
            "@ rows between 1 preceding and current row exclude current_row",
            {1: None, 2: 1, 3: 2, 4: 4},
        ),
        (
            "@ rows_range between 1s preceding and current row maxsize 2 exclude current_row",
            {1: None, 2: 1, 3: 3, 4: 6},
        ),
        (
            "@ rows between 1 preceding and current row exclude current_time",
            {1: 1, 2: 2, 3: 6, 4: 10},
        ),
        # united rows are older than the main table's of their time
        ("union u @ rows between 1 preceding and current row", {1: 17, 2: 3, 3: 36, 4: 12}),
        (
            "union u @ rows between 1 preceding and current row instance_not_in_window",
            {1: 17, 2: 18, 3: 36, 4: 40},
        ),
        (
            "union u @ rows_range between 1s preceding and current row instance_not_in_window",
            {1: 17, 2: 18, 3: 52, 4: 56},
        ),
    ],
)
def test_frames(definition, expected):
    assert window(definition, TIED, UNITED) == expected


def test_the_first_united_table_is_the_newest():
    found = window(
        "union u, (select id + 100 as id, k, ts, x, s from u) @ rows between 3 preceding and "
        "current row",
        [(1, "a", 0, 0, "")],
        [(7, "a", 0, 1, "")],
        "lag(id, 1)",
    )
    assert found == {1: 7}


def test_lag_counts_from_the_current_row_whatever_the_frame():
    found = window("@ rows between 3 preceding and 2 preceding", TIED, agg="lag(x, 1)")
    assert found == {1: None, 2: 1, 3: 2, 4: 4}
    nested = window("@ rows between 3 preceding and 2 preceding", TIED, agg="identity(lag(x, 0))")
    assert nested == {1: None, 2: None, 3: 1, 4: 2}


# -- refusals, before anything runs


@pytest.mark.parametrize(
    ("sql", "kind", "text"),
    [
        ("select y from t", NameResolutionError, "Fail to find column y"),
        ("select t.y from t", NameResolutionError, "t.y"),
        ("select z.id from t", NameResolutionError, "no table z"),
        ("select id from t last join u on t.k = u.k", NameResolutionError, "ambiguous"),
        ("select f(x) from t", PlanError, "function f"),
        ("select id from nowhere", NotFound, "nowhere"),
        ("select x + s from t", TypeCheckError, "int32 \\+ string"),
        ("select ts - ts from t", TypeCheckError, "timestamp - timestamp"),
        ("select ts > x from t", TypeCheckError, "timestamp > int32"),
        ("select ts + date('2020-01-01') from t", TypeCheckError, r"ts \+ date\('2020-01-01'\)$"),
        ("select timestamp(7) - ts from t", TypeCheckError, r"timestamp\(7\) - ts$"),
        ("select s + true from t", TypeCheckError, r"s \+ true$"),
        ("select ~s from t", TypeCheckError, "~ string"),
        ("select year(s) from t", TypeCheckError, "no function year\\(string\\)"),
        ("select date(x) from t", TypeCheckError, "cannot cast int32 to date"),
        ("select sum(x) over w from t", WindowError, "window w is not defined"),
        ("select x, sum(x) from t", PlanError, "neither in GROUP BY"),
        ("select split(s, ',') from t", PlanError, "list"),
        ("select id from t order by id", UnsupportedError, "ORDER BY"),
        ("select t.id from t inner join u on t.k = u.k", UnsupportedError, "LAST JOIN"),
        ("select id from t union all select s from t", WindowError, "column 1"),
        ("select id from t where s", None, None),
    ],
)
def test_refusals(sql, kind, text):
    if kind is None:
        compile_batch(sql, CATALOG, "db")
        return
    with pytest.raises(kind, match=text) as raised:
        compile_batch(sql, CATALOG, "db")
    if kind is not NotFound:
        assert raised.value.message.startswith("create logic plan tree failed--")
        assert raised.value.code in (3, 1000, 1001, 1204)


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ("order by ts rows between 1 preceding and current row", "PARTITION BY"),
        ("partition by k order by ts", "needs a frame"),
        ("partition by k order by s rows between 1 preceding and current row", "string"),
        ("@ rows between 1s preceding and current row", "ROWS_RANGE"),
        ("@ rows between 1 preceding and current row maxsize 2", "MAXSIZE"),
        ("@ rows_range between 1s preceding and current row maxsize 0", "greater than 0"),
        ("@ rows between 1 preceding and 2 preceding", "starts after it ends"),
        ("union (select id from u) @ rows between 1 preceding and current row", "5 columns"),
        (
            "union (select id, k, ts, s, s as x from u) @ rows between 1 preceding and current row",
            "column 4",
        ),
        ("@ rows between 1 preceding and current row exclude current_row maxsize 2", "Syntax"),
    ],
)
def test_window_refusals(definition, text):
    with pytest.raises(PlanError, match=text):
        window(definition, [])


def test_a_deployment_refuses_what_has_no_meaning_for_one_row():
    for sql in (
        "select count(*) from t",
        "select k, count(x) from t group by k",
        "select id from t union all select id from u",
        "select id from t where x > ?",
        "select 1",
    ):
        with pytest.raises(PlanError):
            compile_request(sql, CATALOG, "db")


def test_a_deployment_may_unite_what_the_request_gives():
    online = {"t": MemTable(schema_of(FIELDS)), "u": MemTable(schema_of(FIELDS))}
    online["u"].append([(5, "a", 1, 7, ""), (6, "a", 2, 8, "")])
    parts = "select t.id, u.x from t left join u on t.k = u.k {} select id, x from t"

    def answer(sql):
        bound = compile_request(sql, CATALOG, "db").bind(lambda db, name: online[name])
        return bound([(1, "a", 9, 8, "")])

    assert answer(parts.format("union all")) == [(1, 7), (1, 8), (1, 8)]
    assert answer(parts.format("union distinct")) == [(1, 7), (1, 8)]


# -- hostile text


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "- " * 10_000 + "1",
        "not " * 10_000 + "true",
        "+".join(["1"] * 10_000),
        "case when " * 2_000,
        "f(" * 5_000,
        "9" * 10_000,
        "1e999999999999",
        "'" + "a" * 100,
        "x[1]",
        "\x00",
        "1 and " * 5_000,
        "/* " * 100_000,
        "'a" * 100_001,
        "1." * 100_000,
    ],
)
def test_hostile_expressions_are_errors(text):
    with pytest.raises(SqlError):
        compile_batch(f"select {text} from t", CATALOG, "db")


def test_comments_are_skipped():
    assert run("select /* a */ id -- b\n from /**/ t /* c\n */", ROWS[:1]) == [(1,)]


@pytest.mark.slow
def test_long_lists_are_no_hostility():
    many = " or ".join(f"id = {n}" for n in range(3_000))
    assert run(f"select id from t where {many}", ROWS[:2]) == [(1,), (2,)]
    listed = ", ".join(str(n) for n in range(20_000))
    assert run(f"select id from t where id in ({listed})", ROWS[:2]) == [(1,), (2,)]
    deep = "(" * 30 + "id" + ")" * 30
    assert run(f"select {deep} as d from t", ROWS[:1]) == [(1,)]


def test_texts_and_patterns_cannot_run_away():
    grown = "s"
    for _ in range(40):
        grown = f"replace({grown}, 'a', 'aaaaaaaaaa')"
    with pytest.raises(ResourceLimitError):
        run(f"select {grown} as g from t", [(1, "a", 0, 0, "a")])
    doubled = "select 'a' as a"
    for _ in range(28):
        doubled = f"select concat(a, a) as a from ({doubled})"
    with pytest.raises(ResourceLimitError):
        run(doubled)
    text = "a" * 2_000
    assert run(f"select s like '{'%a' * 60}%b' as m from t", [(1, "a", 0, 0, text)]) == [(False,)]
    assert run("select s rlike '(a*)*b' as m from t", [(1, "a", 0, 0, text)]) == [(False,)]
    assert run("select s rlike '(' as m from t", [(1, "a", 0, 0, text)]) == [(None,)]


def test_nested_subqueries_and_ctes_are_limited():
    nested = "select id from t"
    for _ in range(80):
        nested = f"select id from ({nested})"
    with pytest.raises(SyntaxError_):
        parse_select(nested)
    doubling = "with a0 as (select id from t)" + "".join(
        f", a{n + 1} as (select * from a{n} union all select * from a{n})" for n in range(40)
    )
    with pytest.raises(PlanError):
        compile_batch(f"{doubling} select * from a40", CATALOG, "db")


WORDS = st.sampled_from(
    """select from where t u id k ts x s * , ( ) . + - 1 2.5 'a' "b" `id` last join on = and or
    window w as partition by order rows rows_range between 2s preceding current row union
    instance_not_in_window maxsize over sum count case when then else end null not in like limit
    group having with ? ; 14d exclude current_time distinct cast int % != !""".split()  # noqa: SIM905
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_words_compile_or_are_refused(words):
    for sql in (words, f"select {words} from t", f"select id from t window w as ({words})"):
        with suppress(SqlError):
            compile_batch(sql, CATALOG, "db").execute(lambda db, name: Batch.empty(FIELDS))
            compile_request(sql, CATALOG, "db")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_or_parsed(text):
    with suppress(SqlError):
        parse_select(text)


# -- the online table


def test_late_rows_keep_order_and_other_readers_see_whole_states():
    table = MemTable(schema_of(FIELDS, [IndexDef(("k",), "ts")]))
    for ts in (5, 1, 3, 3, 9):
        table.append([(ts, "a", ts, None, "")])
    table.append_batch(Batch.from_rows(FIELDS, [(n, "a", 4, n, "") for n in range(100)]))
    times, rows, live, _ = table.ensure_index(("k",), "ts").window("a")
    assert times == sorted([5, 1, 3, 3, 9] + [4] * 100)
    assert [r[2] for r in rows] == times
    assert [r[3] for r in rows if r[2] == 4] == list(range(100))
    assert live == 0
    assert table.num_rows == 105
    assert table.delete({"k": "a"}, "ts", 4, 4) == 100
    assert [r[2] for r in table.ensure_index(("k",), "ts").get("a")[1]] == [1, 3, 3, 5, 9]
    assert table.scan().num_rows == 5
    table.truncate()
    assert table.scan().num_rows == 0
    assert table.ensure_index(("k",), "ts").get("a")[:2] == ([], [])


def test_a_bound_request_sees_later_writes_and_deletes():
    online = {"t": MemTable(schema_of(FIELDS)), "u": MemTable(schema_of(FIELDS))}
    sql = (
        "select id, count(*) over w as n from t window w as "
        "(partition by k order by ts rows between unbounded preceding and current row)"
    )
    answer = compile_request(sql, CATALOG, "db").bind(lambda db, name: online[name])
    request = (9, "a", 10_000, 0, "")
    assert answer([request]) == [(9, 1)]
    online["t"].append_batch(Batch.from_rows(FIELDS, [(n, "a", n, n, "") for n in range(70)]))
    assert answer([request]) == [(9, 71)]
    online["t"].delete({"id": 3})
    assert answer([request]) == [(9, 70)]
    online["t"].truncate()
    assert answer([request, request]) == [(9, 1), (9, 1)]
    with pytest.raises(SqlError, match="Invalid input data size in row 0"):
        answer([(1, 2)])


def test_declared_ttl_is_honoured_on_reads():
    for kind, absolute, latest, expected in (
        ("latest", 0, 2, 2),
        ("absolute", 60_000, 0, 0),
        ("absorlat", 60_000, 2, 0),
        ("absandlat", 60_000, 2, 2),
        ("absolute", 0, 0, 5),
    ):
        index = IndexDef(("k",), "ts", kind, absolute, latest)
        table = MemTable(schema_of(FIELDS, [index]))
        table.append([(n, "a", 1000 + n, 0, "") for n in range(5)])
        times, _, live, _ = table.ensure_index(("k",), "ts").window("a")
        assert len(times) - live == expected, kind


def test_last_join_without_order_takes_the_newest_of_the_index_on_its_key():
    late = [(1, "a", 9, 1, ""), (2, "a", 5, 2, "")]  # the row inserted last is the older one
    sql = "select t.id, u.id as uid from t last join u on t.k = u.k"
    for indexes, expected in (
        ((), 2),
        ((IndexDef(("k",), "ts"),), 1),
        ((IndexDef(("s",), "ts"),), 2),
    ):
        known = {"t": schema_of(FIELDS), "u": schema_of(FIELDS, indexes)}
        batches = {"t": Batch.from_rows(FIELDS, ROWS[:1]), "u": Batch.from_rows(FIELDS, late)}
        query = compile_batch(sql, Catalog(known), "db")
        assert query.execute(lambda db, n, b=batches: b[n]).to_rows() == [(1, expected)]
        online = {name: MemTable(schema) for name, schema in known.items()}
        online["u"].append(late)
        answer = compile_request(sql, Catalog(known), "db").bind(lambda db, n, o=online: o[n])
        assert answer([ROWS[0]]) == [(1, expected)]
