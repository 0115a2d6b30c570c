"""A query in parts gives the rows of the query as a whole, bit for bit; the order is another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmldb_embedded.columns import Batch, column_from_list
from openmldb_embedded.engine import compile_batch
from openmldb_embedded.parts import Tables, divides, in_parts
from openmldb_embedded.spill import bucket_of
from openmldb_sql.types import SqlType
from test_modes_agree import COMMON, FIELDS, JOINS, SCHEMA, rows, window_queries

from testing.jd import Catalog, feature_sql, schemas, tables

SOME = settings(COMMON, max_examples=50)
CATALOG = Catalog({"t": SCHEMA, "u": SCHEMA, "v": SCHEMA})


def given_tables(batches: dict[str, Batch], step: int) -> Tables:
    """Tables in memory, ``step`` rows at a time."""

    def some(db: str, name: str, columns: Sequence[int]) -> Iterator[Batch]:
        whole = batches[name]
        chosen = Batch(
            [whole.schema[i] for i in columns], [whole.columns[i] for i in columns], whole.num_rows
        )
        for start in range(0, whole.num_rows, step):
            yield chosen.slice(start, start + step)

    return Tables(lambda db, name: batches[name], some, lambda db, name: batches[name].num_rows)


def bits(batches: Sequence[Batch]) -> Counter[bytes]:
    """The rows as bytes, with the number of each."""
    found: Counter[bytes] = Counter()
    for batch in batches:
        found.update(repr(row).encode("utf-8", "surrogateescape") for row in batch.to_rows())
    return found


def check(
    sql: str,
    batches: dict[str, Batch],
    parts: Sequence[int],
    step: int = 3,
    catalog: Catalog = CATALOG,
    held: int = 2_000,
) -> None:
    query = compile_batch(sql, catalog, "db")
    assert divides(query.plan), sql
    given = given_tables(batches, step)
    whole = query.execute(given.whole)
    for count in parts:
        with TemporaryDirectory() as folder:
            found = list(in_parts(query.plan, given, Path(folder), count, held))
            assert not list(Path(folder).iterdir())
        for batch in found:
            assert batch.schema == whole.schema
        assert bits(found) == bits([whole]), (sql, count)


@SOME
@given(sql=window_queries(), stored=rows(0, 40), u=rows(100, 20), v=rows(200, 9))
def test_windows(sql, stored, u, v):
    batches = {n: Batch.from_rows(FIELDS, r) for n, r in [("t", stored), ("u", u), ("v", v)]}
    check(sql, batches, (1, 2, 7))


BESIDE = 1_000_000
"""So many bytes in memory hold the right side of any join here."""


@SOME
@given(sql=st.sampled_from(JOINS), stored=rows(0, 40), u=rows(100, 20), v=rows(200, 9))
def test_joins(sql, stored, u, v):
    batches = {n: Batch.from_rows(FIELDS, r) for n, r in [("t", stored), ("u", u), ("v", v)]}
    check(sql, batches, (1, 2, 7))
    check(sql, batches, (3,), held=BESIDE)


MORE = """
select id, sum(d) over w as x, count(s) over v as y, max(i32) over w as z, lag(s, 1) over o as l
from t window w as (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
v as (UNION u PARTITION BY g ORDER BY ts ROWS_RANGE BETWEEN 2s PRECEDING AND CURRENT ROW),
o as (PARTITION BY k, g ORDER BY i32 ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)

select k, upper(s) as us, sum(d) as total, count(*) as n, min(id) as first from t group by k, upper(s)

select g, sum(f) as total from t where b or i32 > 0 group by g having count(*) > 1

select id, f, d, b from t where i16 > 0

select t.id, x.n from t last join (select count(*) as n, k from u group by k limit 2) as x on t.k = x.k

select t.id, x.uid from t last join (select id as uid, g, ts from u union all select id, g, ts from v)
as x order by x.ts on t.g = x.g

select id, first_value(uid) over w as a, last_value(uid) over w as z from (select t.id, t.g, t.ts,
u.id as uid from t left join u on t.k = u.k) window w as (PARTITION BY g ORDER BY ts ROWS BETWEEN
20 PRECEDING AND CURRENT ROW)

select t.id, u.id as uid from t last join u on t.d = u.d last join v on t.f = v.f and t.dt = v.dt

select x.n, y.total from (select k, count(*) as n from t group by k) as x last join (select k,
sum(i32) as total from u group by k) as y on x.k = y.k
""".strip().split("\n\n")


@SOME
@given(sql=st.sampled_from(MORE), stored=rows(0, 40), u=rows(100, 20), v=rows(200, 9))
def test_other_statements(sql, stored, u, v):
    batches = {n: Batch.from_rows(FIELDS, r) for n, r in [("t", stored), ("u", u), ("v", v)]}
    check(sql, batches, (2, 5))
    check(sql, batches, (3,), held=BESIDE)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from t limit 3",
        "select count(*) as n from t",
        "select id from t union all select id from u",
        "select 1 as one",
        "select t.id, u.id as uid from t last join u on t.i32 > u.i32",
    ],
)
def test_what_is_only_whole(sql: str) -> None:
    assert not divides(compile_batch(sql, CATALOG, "db").plan)


def test_equal_keys_share_a_bucket() -> None:
    few = column_from_list(SqlType.DOUBLE, [0.0, -0.0, float("nan"), -float("nan"), None, None])
    found = bucket_of([few], 6, 1_000).tolist()
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[4] == found[5]
    texts = column_from_list(SqlType.STRING, [f"u{n}" for n in range(900)] * 2 + [None, None])
    buckets = bucket_of([texts, texts], 1_802, 7)
    assert (buckets[:900] == buckets[900:1_800]).all()
    assert buckets[1_800] == buckets[1_801]
    # A slice with few of the dictionary's texts is spread as the whole is.
    assert (bucket_of([texts.slice(5, 8)] * 2, 3, 7) == buckets[5:8]).all()
    sizes = [int((buckets[:900] == b).sum()) for b in range(7)]
    assert min(sizes) > 900 / 7 / 2, sizes


def test_the_jd_features(shared: Path) -> None:
    catalog = Catalog(schemas(shared))
    check(feature_sql(shared), tables(shared), (3,), 5_000, catalog, 1_000_000)
    check(feature_sql(shared), tables(shared), (3,), 5_000, catalog, 4_000)
