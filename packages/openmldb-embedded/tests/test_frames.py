"""Frames remember what they computed of stored rows: never of rows that are others by now."""

from __future__ import annotations

import random

import pytest
from openmldb_embedded.engine import compile_request
from openmldb_embedded.memtable import MemTable
from openmldb_embedded.request import RequestPlan, frames
from openmldb_sql.types import IndexDef, SqlType, schema_of

from testing.jd import Catalog

FIELDS = [
    ("id", SqlType.INT64),
    ("k", SqlType.STRING),
    ("ts", SqlType.TIMESTAMP),
    ("x", SqlType.INT32),
    ("d", SqlType.DOUBLE),
    ("s", SqlType.STRING),
]
ITEMS = (
    "distinct_count(s) over w as a, top1_ratio(s) over w as b, count(x) over w as c, "
    "sum(x) over w as d, topn_frequency(s, 2) over w as e, min(d) over w as f, lag(x, 1) over w as g"
)
WINDOWS = {
    "rows": "PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
    "range": "PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 5 PRECEDING AND CURRENT ROW MAXSIZE 4",
    "before": "PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 9 PRECEDING AND 2 PRECEDING",
    "exclude": "PARTITION BY k ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW "
    "EXCLUDE CURRENT_ROW",
    "union": "UNION u PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 9 PRECEDING AND CURRENT ROW",
    "not in window": "UNION u PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW "
    "INSTANCE_NOT_IN_WINDOW",
    "filtered": "UNION (select * from u where x > 1) PARTITION BY k ORDER BY ts "
    "ROWS BETWEEN 5 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW",
}
SHAPES = {
    **{name: f"select id, {ITEMS} from t window w as ({w})" for name, w in WINDOWS.items()},
    # The request row brings nothing of its own: the aggregates themselves are remembered.
    "constant": f"select id, {ITEMS} from (select id, k, ts, int(0) as x, double(0) as d, '' as s "
    f"from t) window w as (UNION (select id, k, ts, x, d, s from u) PARTITION BY k ORDER BY ts "
    f"ROWS BETWEEN 5 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)",
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("room", [frames.KEPT_ROWS, 40])
def test_repeated_requests_see_the_rows_of_their_moment(
    name: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "KEPT_ROWS", room)
    pick = random.Random(f"{name} {room}")
    schema = schema_of(FIELDS, [IndexDef(("k",), "ts")])
    online = {"t": MemTable(schema), "u": MemTable(schema)}
    query = compile_request(SHAPES[name], Catalog({"t": schema, "u": schema}), "db")

    def row(number: int) -> tuple[object, ...]:
        return (
            number,
            pick.choice("ab"),
            pick.randrange(0, 25),
            pick.choice([0, 1, 2, None]),
            pick.choice([0.0, -0.0, 1.5, float("nan"), None]),
            pick.choice(["", "p", "q", None]),
        )

    kept = query.bind(lambda db, table: online[table])
    columns = RequestPlan(query.plan, lambda db, table: online[table])
    requests = [row(-n) for n in range(1, 9)]
    told: set[str] = set()
    for number in range(60):
        for _ in range(3):  # a frame keeps what is asked for a second time
            request = pick.choice(requests)
            answer = kept([request])
            assert repr(answer) == repr(query.bind(lambda db, table: online[table])([request]))
            told.add(repr(answer))
        many = pick.choices(requests, k=6)
        afresh = query.bind(lambda db, table: online[table])
        alone = repr([afresh([one])[0] for one in many])
        assert repr(kept(many)) == alone
        try:
            assert repr(columns.by_columns(many)) == alone
        except frames.ByRow:  # a request at time 0 of a frame that ends before its own row
            assert name == "before"
            assert 0 in [row[2] for row in many]
        table = online[pick.choice("tu")]
        what = pick.random()
        if what < 0.85:
            table.append([row(number)])
        elif what < 0.95:
            table.delete({"k": pick.choice("ab")}, "ts", 0, pick.randrange(25))
        else:
            table.truncate()
    assert len(told) > len(requests)


EDGES = {
    "range": "ROWS_RANGE BETWEEN 6 PRECEDING AND CURRENT ROW",
    "few of a range": "ROWS_RANGE BETWEEN 9 PRECEDING AND CURRENT ROW MAXSIZE 3",
    "rows": "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
    "all": "ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "rows before": "ROWS_RANGE BETWEEN 7 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW",
    "all before": "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME",
    "times before": "ROWS_RANGE BETWEEN 8 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME",
}


@pytest.mark.parametrize("named", [[name] for name in EDGES] + [list(EDGES)])
def test_what_is_known_of_a_key_holds_up_to_the_next_edge(named: list[str]) -> None:
    """Requests of every moment, in any order, while rows come."""
    schema = schema_of(FIELDS, [IndexDef(("k",), "ts")])
    online = {"t": MemTable(schema), "u": MemTable(schema)}
    items = ", ".join(
        f"count(x) over w{n} as a{n}, max(d) over w{n} as b{n}" for n, _ in enumerate(named)
    )
    windows = ", ".join(
        f"w{n} as (UNION (select id, k, ts, x, d, s from u) PARTITION BY k ORDER BY ts {EDGES[one]} "
        "INSTANCE_NOT_IN_WINDOW)"
        for n, one in enumerate(named)
    )
    sql = f"select id, {items} from (select id, k, ts, int(0) as x, double(0) as d, s from t) window {windows}"
    query = compile_request(sql, Catalog({"t": schema, "u": schema}), "db")
    plan = RequestPlan(query.plan, lambda db, table: online[table])
    pick = random.Random(str(named))
    told = set()
    for number in range(60):
        online["u"].append(
            [(number, pick.choice("ab"), pick.randrange(0, 40, 3), 1, number + 1.0, "p")]
        )
        for _ in range(8):
            moment = pick.randrange(1, 60)
            rows = [(-1, key, moment + late, 1, 1.0, "q") for key in "abc" for late in (0, 0, 1)]
            found = repr(plan.by_columns(rows))
            assert found == repr(plan.by_rows(rows))
            told.add(found)
    assert len(told) > 20


def test_a_row_that_comes_while_windows_are_computed_is_in_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = schema_of(FIELDS, [IndexDef(("k",), "ts")])
    online = {"t": MemTable(schema), "u": MemTable(schema)}
    query = compile_request(SHAPES["constant"], Catalog({"t": schema, "u": schema}), "db")
    plan = RequestPlan(query.plan, lambda db, table: online[table])
    late: list[tuple[object, ...]] = []
    together = frames.Frame.together

    def with_a_late_row(frame: frames.Frame, spots: list[frames.Spot]) -> list[frames.Slice]:
        found = together(frame, spots)
        while late:
            online["u"].append([late.pop()])
        return found

    monkeypatch.setattr(frames.Frame, "together", with_a_late_row)
    online["u"].append([(1, "a", 5, 1, 1.0, "p"), (2, "b", 5, 1, 1.0, "p")])
    asked = [(-1, key, 9, 0, 0.0, "") for key in "abc"]
    for number in range(3, 6):
        online["u"].append([(number, "a", 5 + number // 3, -number, 2.0, "q")])
        late.append((-number, "a", 5 + number // 3, number, 2.0, "r"))
        plan.by_columns(asked)
        assert not late
        assert repr(plan.by_columns(asked)) == repr(plan.by_rows(asked))
