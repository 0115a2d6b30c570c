"""Frames remember what they computed of stored rows: never of rows that are others by now."""

from __future__ import annotations

import random

import pytest
from openmldb_embedded.engine import compile_request
from openmldb_embedded.memtable import MemTable
from openmldb_embedded.request import frames
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
        assert repr(kept(many)) == repr([afresh([one])[0] for one in many])
        table = online[pick.choice("tu")]
        what = pick.random()
        if what < 0.85:
            table.append([row(number)])
        elif what < 0.95:
            table.delete({"k": pick.choice("ab")}, "ts", 0, pick.randrange(25))
        else:
            table.truncate()
    assert len(told) > len(requests)
