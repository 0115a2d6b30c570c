"""LAST JOIN against subqueries: which row is the last, in both modes."""

from __future__ import annotations

import pytest
import vectors

COLUMNS = [["id", "bigint"], ["k", "string"], ["ts", "timestamp"], ["v", "int"]]
U = [[1, "a", 100, 10], [2, "a", 300, 20], [3, "a", 200, 30], [4, "b", 50, 40]]
Z = [[1, "a", 500, 1], [2, "a", 400, 2], [3, "b", 9, 3]]
CHAIN = (
    "select u.id as uid, u.k as k, u.ts as ts, z.id as zid, z.ts as zts "
    "from u last join z order by z.ts {} on u.k = z.k and u.v > z.v {}"
)
WINDOW = "(partition by k order by ts rows between 1 preceding and current row)"


def both(sql, request):
    """The answer to one request, which batch mode must give for the same row."""
    out = []
    for mode in ("batch", "request"):
        engine = vectors.make()
        for name, rows in (("t", []), ("u", U), ("z", Z)):
            engine.create_table(name, COLUMNS, [[["k"], "ts"]])
            engine.insert(name, rows)
        if mode == "batch":
            engine.insert("t", [request])
            out += engine.query(sql)[1]
        else:
            out += engine.request(sql, "t", [request])[1]
    batch, online = out
    assert batch == online
    return online


@pytest.mark.parametrize(
    ("right", "uid"),
    [
        ("(select id as uid, k, ts from u)", 2),
        ("(select id as uid, k from u)", 2),  # the time of the index orders, though it is not shown
        ("(select id as uid, k from u where v > 20)", 3),
        ("(select id as uid, k, ts from u union all select id as uid, k, ts from z)", 1),
        ("(select ts, k, id as uid from u union all select ts, k, id as uid from z)", 1),
        ("(select id as uid, k from u union all select id as uid, k from z)", 1),
        ("(select uid, k from (select k, id as uid, v from u) as p where v < 15)", 1),
        (f"(select id as uid, k, ts, sum(v) over w as s from u window w as {WINDOW})", 2),
    ],
)
def test_without_order_the_newest_of_the_index_is_joined(right, uid):
    request = [9, "a", 1000, 0]
    assert both(f"select t.id, q.uid from t last join {right} as q on t.k = q.k", request) == (
        9,
        uid,
    )


def test_a_joined_join_may_be_ordered_by_what_it_joins():
    sql = (
        f"select t.id, q.uid, q.zid from t last join ({CHAIN.format('', '')}) as q "
        f"order by q.zts {{}} on t.k = q.k"
    )
    assert both(sql.format(""), [9, "a", 1000, 0])[2] == 1
    assert both(sql.format("desc"), [9, "b", 1000, 0]) == (9, 4, 3)
    assert both(sql.format(""), [9, "c", 1000, 0]) == (9, None, None)


def test_the_time_that_orders_is_no_column_of_the_result():
    sql = "select * from t last join (select id as uid, k as uk from u) as q on t.k = q.uk"
    engine = vectors.make()
    for name in ("t", "u"):
        engine.create_table(name, COLUMNS, [[["k"], "ts"]])
    assert [n for n, _ in engine.query(sql)[0]] == ["id", "k", "ts", "v", "uid", "uk"]


@pytest.mark.parametrize(
    ("left", "right", "meets"),
    [
        (("bigint", 1_000), ("timestamp", 1_000), True),
        (("timestamp", 1_000), ("int", 1_000), True),
        (("bool", True), ("int", 1), False),
        (("bool", True), ("string", "true"), True),
        (("date", "2020-01-02"), ("string", "2020-01-02"), False),
        (("date", "2020-01-02"), ("int", 120 << 16 | 0 << 8 | 2), True),
        (("string", "01"), ("int", 1), False),
        (("smallint", 7), ("bigint", 7), True),
    ],
)
@pytest.mark.parametrize("mode", ["batch", "request"])
def test_keys_of_different_types_meet_as_the_indexes_spell_them(left, right, meets, mode):
    engine = vectors.make()
    engine.create_table(
        "t", [["id", "bigint"], ["k", left[0]], ["ts", "timestamp"]], [[["k"], "ts"]]
    )
    engine.create_table(
        "u", [["uid", "int"], ["k", right[0]], ["ts", "timestamp"]], [[["k"], "ts"]]
    )
    engine.insert("u", [[5, right[1], 1]])
    sql = "select t.id, u.uid from t last join u order by u.ts on t.k = u.k"
    row = [1, left[1], 2]
    if mode == "batch":
        engine.insert("t", [row])
        found = engine.query(sql)[1]
    else:
        found = engine.request(sql, "t", [row])[1]
    assert found == [(1, 5 if meets else None)]
