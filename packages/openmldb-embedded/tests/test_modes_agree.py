"""Batch and request mode share one meaning.

Replaying each stored row as a request against only earlier data must equal its batch row, for
generated tables, windows and joins.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.memtable import MemTable
from openmldb_embedded.request import RequestPlan
from openmldb_embedded.request.frames import ByRow
from openmldb_sql.types import IndexDef, SqlType, schema_of

from testing.jd import Catalog

FIELDS = [
    ("id", SqlType.INT64),
    ("k", SqlType.STRING),
    ("g", SqlType.INT32),
    ("ts", SqlType.TIMESTAMP),
    ("i16", SqlType.INT16),
    ("i32", SqlType.INT32),
    ("f", SqlType.FLOAT),
    ("d", SqlType.DOUBLE),
    ("s", SqlType.STRING),
    ("b", SqlType.BOOL),
    ("dt", SqlType.DATE),
]
SCHEMA = schema_of(FIELDS)
TIMES = st.integers(1, 12).map(lambda n: n * 500)
"""From 1 on: a deployment reads a window's end before the time 0 as the time 0, as a cluster does."""
SMALL = st.integers(-3, 3)


def nullable(strategy):
    return st.one_of(st.none(), strategy, strategy, strategy)


def rows(first: int, most: int):
    """Rows in time order, so that storing them in turn is what batch mode sees."""
    row = st.tuples(
        nullable(st.sampled_from(["a", "b"])),
        nullable(st.integers(0, 1)),
        TIMES,
        nullable(st.integers(-(2**15), 2**15 - 1)),
        nullable(st.sampled_from([-(2**31), 2**31 - 1, 0, 1, 2, 3])),
        nullable(st.sampled_from([0.1, 0.5, 1.5, -2.25, 3.1])),
        nullable(st.sampled_from([0.1, 1e9, -0.3, 2.5])),
        nullable(st.sampled_from(["", "x", "y", "zz", "k1:v1,k2:v2"])),
        nullable(st.booleans()),
        nullable(st.dates()),
    )
    return st.lists(row, max_size=most).map(
        lambda found: [(first + n, *r) for n, r in enumerate(sorted(found, key=lambda r: r[2]))]
    )


AGGREGATES = [
    "count(*)", "count(i32)", "sum(i16)", "sum(i32)", "sum(f)", "sum(d)", "avg(i32)", "avg(f)",
    "min(s)", "max(s)", "min(d)", "max(dt)", "min(ts)", "max(f)", "distinct_count(s)",
    "distinct_count(i16)", "distinct_count(b)", "distinct_count(dt)", "top1_ratio(s)",
    "top1_ratio(i32)", "topn_frequency(s, 2)", "topn_frequency(i16, 3)", "topn_frequency(d, 2)",
    "count_where(i32, b)", "sum_where(d, i32 > 0)", "avg_where(i16, i16 < 3 and b)",
    "max_where(i32, s = 'x')", "min_where(f, b or f > 1)", "first_value(s)", "last_value(i32)",
    "lag(s, 1)", "lag(i32, 0)", "at(d, 2)", "sum_cate(i16, s)", "avg_cate(d, i32)",
    "count_cate_where(i32, b, s)", "max_cate(f, dt)", "top_n_key_sum_cate_where(i16, b, s, 2)",
    "top_n_value_avg_cate_where(d, i32 >= 0, s, 1)", "sum(i32 + i16)", "max(case when b then d end)",
    "median(d)", "stddev(d)", "entropy(s)", "drawdown(d)", "distinct_count(concat(s, s))",
    "count(window_split(s, ','))", "join(window_split_by_key(s, ',', ':'), ' ')",
    "topn_frequency(window_split_by_value(s, ',', ':'), 2)",
]  # fmt: skip

WRAPPED = [
    "case when !isnull(at(s, 0)) over w then count_where(s, s = at(s, 0)) over w else null end",
    "identity(case when at(i32, 1) > 0 then sum(i16) else count(s) end) over w",
    "count_where(i32, ifnull(i32, 0) >= ifnull(last_value(i32), 0)) over w",
]


@st.composite
def frames(draw):
    if draw(st.booleans()):
        start = draw(st.sampled_from(["UNBOUNDED", "0", "1", "2", "4"]))
        end = draw(st.sampled_from(["CURRENT ROW", "0 PRECEDING", "1 PRECEDING", "2 PRECEDING"]))
        if start != "UNBOUNDED" and end[0].isdigit() and int(start) < int(end[0]):
            start = "4"
        frame = f"ROWS BETWEEN {start} PRECEDING AND {end}"
        maxsize = ""
    else:
        start = draw(st.sampled_from(["UNBOUNDED", "0s", "500", "1s", "2s OPEN", "5s"]))
        end = draw(st.sampled_from(["CURRENT ROW", "0s PRECEDING", "500 PRECEDING"]))
        if start == "0s":
            end = "0s PRECEDING"
        frame = f"ROWS_RANGE BETWEEN {start} PRECEDING AND {end}"
        maxsize = draw(st.sampled_from(["", "MAXSIZE 1", "MAXSIZE 3"]))
    attributes = draw(
        st.lists(
            st.sampled_from(
                ["EXCLUDE CURRENT_TIME", "EXCLUDE CURRENT_ROW", "INSTANCE_NOT_IN_WINDOW"]
            ),
            unique=True,
        )
    )
    return f"{frame} {maxsize} {' '.join(attributes)}"


UNIONS = ["", "UNION u", "UNION (select * from u)", "UNION u, (select * from v)"]
LAST_VIEW = "UNION (select id, k, g, ts, i16, i32, f, d, '' as s, b, dt from v where i32 > 0 or b)"


@st.composite
def window_queries(draw):
    aggregates = draw(st.lists(st.sampled_from(AGGREGATES), min_size=1, max_size=5, unique=True))
    items = [f"{a} over w as a{n}" for n, a in enumerate(aggregates)]
    if draw(st.booleans()):
        items.append(f"{draw(st.sampled_from(WRAPPED))} as wrapped")
    source = draw(
        st.sampled_from(["t", "(select * from t)", "(select * from t where id % 3 != 1)"])
    )
    union = draw(st.sampled_from([*UNIONS, LAST_VIEW]))
    keys = draw(st.sampled_from(["k", "g", "k, g"]))
    return (
        f"select id, {', '.join(items)} from {source} "
        f"window w as ({union} PARTITION BY {keys} ORDER BY ts {draw(frames())})"
    )


def same(a, b) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-12)
    return a == b


def check(sql, stored, others, indexed=False):
    """Every row as a request, stored after its answer, against the batch result."""
    indexes = (IndexDef(("k",), "ts"),) if indexed else ()
    known = dict.fromkeys(["t", *others], schema_of(FIELDS, indexes))
    catalog = Catalog(known)
    batches = {name: Batch.from_rows(FIELDS, r) for name, r in [("t", stored), *others.items()]}
    expected = compile_batch(sql, catalog, "db").execute(lambda db, name: batches[name]).to_rows()
    online = {name: MemTable(known[name]) for name in known}
    for name, others_rows in others.items():
        if len(others_rows) % 2:
            online[name].append_batch(Batch.from_rows(FIELDS, others_rows))
        else:
            online[name].append(others_rows)
    query = compile_request(sql, catalog, "db")
    answer = query.bind(lambda db, name: online[name])
    found = []
    for row in batches["t"].to_rows():
        found += answer([row])
        online["t"].append([row])
    assert len(found) == len(expected), sql
    for f, e in zip(found, expected, strict=True):
        assert all(same(x, y) for x, y in zip(f, e, strict=True)), (sql, f, e)
    check_together(RequestPlan(query.plan, lambda db, name: online[name]), batches["t"].to_rows())


SHARED = [(), ("k", "ts"), ("k", "g", "ts", "i32", "s"), tuple(name for name, _ in FIELDS[1:])]
"""Columns that a call's rows may have in common, as the candidates of one user do."""


def check_together(plan, asked):
    """The rows of one call share what they have in common; each gets the answer of its own."""
    if not asked:
        return
    places = [{n for n, (name, _) in enumerate(FIELDS) if name in names} for names in SHARED]
    for shared in places:
        rows = [
            tuple(asked[0][n] if n in shared else x for n, x in enumerate(row)) for row in asked
        ] * 2
        alone = plan.by_rows(rows)
        for _ in range(3):  # what is kept of the first time is used from then on
            try:
                found = plan.by_columns(rows)
            except ByRow:
                break
            assert repr(found) == repr(alone)


COMMON = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.slow
@settings(COMMON, max_examples=120)
@given(sql=window_queries(), stored=rows(0, 12), u=rows(100, 8), v=rows(200, 5))
def test_windows(sql, stored, u, v):
    # Batch orders rows of one time by arrival, as the replay does; rows of united tables are older
    # than the main table's in both modes.
    check(sql, stored, {"u": u, "v": v})


JOINS = """
select t.id, u.id as uid, u.s as us from t last join u order by u.ts on t.k = u.k

select t.id, u.id as uid from t last join u order by u.ts desc on t.k = u.k and t.g = u.g

select t.id, u.id as uid from t last join u order by u.i32 on t.g = u.g

select t.id, u.id as uid from t last join u on t.k = u.k and u.i32 > t.i32

select t.id, u.id as uid from t last join u order by u.ts on t.k = u.k and u.ts <= t.ts

select t.id, u.id as uid, v.id as vid from t last join u order by u.ts on t.k = u.k last join v
on u.g = v.g

select t.id, x.n from t last join (select k, count(*) as n from u group by k) as x on t.k = x.k

select t.id, x.uid from t last join (select id as uid, upper(k) as uk, ts from u where b) as x
order by x.ts on t.k = lower(x.uk)

select t.id, u.id as uid from t left join u on t.k = u.k and t.g = u.g

select id, us, sum(i32) over w as total, distinct_count(us) over w as n from (select t.id, t.k,
t.ts, t.i32, u.s as us from t last join u order by u.ts on t.g = u.g) window w as (PARTITION BY
k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)

select t.id, sum(u.i32) over w as total from t last join u order by u.ts on t.g = u.g window w
as (PARTITION BY t.k ORDER BY t.ts ROWS_RANGE BETWEEN 2s PRECEDING AND CURRENT ROW)

select a.id1, b.n from (select id as id1, s from t) as a last join (select id as id2, count(s)
over w as n from t window w as (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT
ROW)) as b on a.id1 = b.id2

select id, sum(i32) over w as total, lag(k, 1) over w as l, case when !isnull(at(k, 0)) over w then
count_where(k, k = at(k, 0)) over w end as c from (select t.id, t.k, t.g, t.ts, t.i32 from t last
join u order by u.ts on t.g = u.g where ifnull(u.i32, 0) > 0) window w as (PARTITION BY k ORDER BY
ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)

select id, distinct_count(us) over w as n from (select t.id, t.k, t.ts, u.s as us from t last join u
order by u.ts on t.g = u.g) window w as (UNION (select id, k, ts, concat(s, 'v') as us from v)
PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW)

select id, sum(i32) over w as total from (select id, upper(k) as k, ts, i32 from t) window w as
(UNION (select id, upper(k) as k, ts, i32 from u) PARTITION BY k ORDER BY ts ROWS BETWEEN 3
PRECEDING AND CURRENT ROW)
""".strip().split("\n\n")


@pytest.mark.slow
@settings(COMMON, max_examples=80)
@given(sql=st.sampled_from(JOINS), stored=rows(0, 10), u=rows(100, 10), v=rows(200, 4))
def test_joins(sql, stored, u, v):
    check(sql, stored, {"u": u, "v": v})


EXPRESSIONS = [
    "i16 + i32", "i16 * i16", "i32 - i32", "i32 * i32", "i32 / i16", "i32 % i16", "i32 DIV i16",
    "f + d", "f * f", "f / i16", "d % f", "-i32", "-f", "ts + i32", "ts - i16", "i32 & i16",
    "i32 | i16", "i16 ^ i16", "~i32", "b and i32 > 0", "b or i32 > 0", "not b", "b xor b",
    "i32 = i16", "s < k", "s = 'x'", "'x' >= s", "f > d", "dt = dt", "ts <= ts", "s = i16",
    "i32 in (1, 2, null)", "i32 not in (1, 2)", "s in ('x', 'y')", "i32 in (i16, 3)",
    "i32 between 0 and 2", "s not between 'a' and 'y'", "s like 'k%'", "s not like '_'",
    "s ilike 'Z_'", "case when b then i32 else i16 end", "case s when 'x' then 1 when 'y' then 2 end",
    "case when i32 > 1 then 'big' when i32 < 0 then s end", "ifnull(i32, i16)", "ifnull(s, 'n')",
    "nvl2(i32, s, k)", "if(b, f, d)", "isnull(s)", "s is not null", "concat(s, i32, f)",
    "concat_ws('-', s, dt)", "substr(s, 2)", "substr(s, -2, 1)", "upper(s)", "reverse(s)",
    "strcmp(s, k)", "char_length(s)", "year(ts)", "month(dt)", "day(dt)", "dayofweek(dt)",
    "dayofyear(dt)", "week(dt)", "hour(ts)", "minute(ts)", "second(ts)", "dayofweek(timestamp(dt))",
    "date_format(dt, '%Y/%m/%d')", "date_format(ts, '%H:%M:%S')", "abs(i32)", "abs(f)", "floor(d)",
    "ceil(f)", "round(d)", "truncate(d)", "sqrt(d)", "log(d)", "exp(f)", "pow(d, 2)",
    "int(d)", "smallint(i32)", "bigint(f)", "float(d)", "double(i16)", "string(f)", "string(ts)",
    "string(dt)", "bool(i32)", "date(ts)", "timestamp(dt)", "timestamp(i32)", "cast(s as int)",
    "cast(i32 as string)", "int(b)", "date(s)", "join(split(s, ','), '+')", "greatest(i16, i32)",
    "least(f, d)", "nullif(i32, i16)", "coalesce(i16, i32, 7)", "null", "i32 + null",
]  # fmt: skip


@settings(COMMON, max_examples=120)
@given(picked=st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=6), stored=rows(0, 12))
def test_expressions(picked, stored):
    """A column at a time and a value at a time give the same."""
    check(f"select id, {', '.join(picked)} from t", stored, {})


def test_every_generated_text_compiles():
    catalog = Catalog({"t": SCHEMA, "u": SCHEMA, "v": SCHEMA})
    for e in EXPRESSIONS:
        compile_batch(f"select {e} from t", catalog, "db")
    for sql in JOINS:
        compile_request(sql, catalog, "db")
    for a in [f"{x} over w" for x in AGGREGATES] + WRAPPED:
        compile_request(
            f"select {a} from t window w as (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING "
            "AND CURRENT ROW)",
            catalog,
            "db",
        )
