"""Requests that count as fair have one answer: in batch, in any order of the files, and online.

Small tables full of ties, replayed in process by the embedded engine, whose two modes are the two
sides of the check. What `prepare` loads must be enough, and what it does not exclude must agree.
"""

from __future__ import annotations

import functools
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.memtable import MemTable
from openmldb_sql import statements

from nightshift.features.tables import SourceTables
from nightshift.gates.parity import replay as consistency
from nightshift.serving.pair import plain_rows

CREATE = """
CREATE TABLE visit(id string, at timestamp, person string, page string, shop int,
    INDEX(key=person, ts=at));
CREATE TABLE click(who string, seen timestamp, what string, kind string, INDEX(key=who, ts=seen));
CREATE TABLE page(page string, since timestamp, topic string, valid bool,
    INDEX(key=page, ts=since));
CREATE TABLE topic(name string, country string, INDEX(key=name));
"""
TABLES = SourceTables(
    "tables.yaml", {"visit": "at", "click": "seen"}, ("page", "topic"), "visit", "id"
)
SCHEMAS = {
    made.table.name: made.schema
    for made in map(statements.parse, statements.split(CREATE))
    if isinstance(made, statements.CreateTable)
}
ARROW = {"string": pa.string(), "timestamp": pa.timestamp("ms"), "int32": pa.int32(),
         "bool": pa.bool_()}  # fmt: skip
PLAN = {"partitions": {"visit": ["2026-01-01"], "click": ["2026-01-01"]}}

CLICKS = "(SELECT '' AS id, seen AS at, who AS person, what AS page, 0 AS shop FROM click{})"

STYLES = {
    "inline over": """SELECT id, count(page) OVER (PARTITION BY person ORDER BY at
        ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS n, max(page) OVER (PARTITION BY person, page
        ORDER BY at ROWS_RANGE BETWEEN 2s PRECEDING AND CURRENT ROW MAXSIZE 2) FROM visit""",
    "join of the page as it was": """select v.id, p.topic from visit v last join page p order by
        p.since on v.page = p.page and p.since <= v.at""",
    "join by two keys": """SELECT v.id, p.since FROM visit AS v LAST JOIN page AS p
        ON p.topic = v.person AND v.page = p.page""",
    "join in descending order": """SELECT v.id, p.topic FROM visit AS v LAST JOIN page AS p
        ORDER BY p.since DESC ON v.page = p.page""",
    "join of the newest": """SELECT v.id, p.topic FROM visit AS v LAST JOIN page AS p
        ORDER BY p.since ON v.page = p.page""",
    "joins in a chain": """SELECT v.id, t.country FROM visit AS v LAST JOIN page AS p
        ORDER BY p.since ON v.page = p.page LAST JOIN topic AS t ON p.topic = t.name""",
    "join of a filtered subquery": """SELECT v.id, p.t FROM visit AS v LAST JOIN (SELECT page AS pg,
        topic AS t, since FROM page WHERE valid) AS p ORDER BY p.since ON v.page = p.pg""",
    "join of groups": """SELECT v.id, p.n FROM visit AS v LAST JOIN (SELECT page AS pg, count(topic)
        AS n FROM page GROUP BY page) AS p ON v.page = p.pg""",
    "request joined to itself": """SELECT a.id, b.n FROM (SELECT id, page FROM visit) AS a LAST JOIN
        (SELECT id AS other, count(page) OVER w AS n FROM visit WINDOW w AS (PARTITION BY person
        ORDER BY at ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW)) AS b ON a.id = b.other""",
    "the visit before": """SELECT v.id, b.page FROM visit AS v LAST JOIN visit AS b ORDER BY b.at
        ON v.person = b.person AND b.at < v.at""",
    "union by position": f"""SELECT id, topn_frequency(page, 2) OVER w FROM visit WINDOW w AS (
        UNION {CLICKS.format("")} PARTITION BY person ORDER BY at
        ROWS BETWEEN 3 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)""",
    "union beside the visits": f"""SELECT id, first_value(page) OVER w, count(id) OVER w FROM visit
        WINDOW w AS (UNION {CLICKS.format("")} PARTITION BY person, page ORDER BY at
        ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW MAXSIZE 3)""",
    "filtered union": f"""SELECT id, topn_frequency(page, 2) OVER w FROM visit WINDOW w AS (
        UNION {CLICKS.format(" WHERE kind = 'x'")} PARTITION BY person ORDER BY at
        ROWS BETWEEN 2 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)""",
    "keys of another name": """SELECT id, count(what) OVER (UNION (SELECT '' AS id, who, seen, what
        FROM click) PARTITION BY who, what ORDER BY seen ROWS_RANGE BETWEEN 3s PRECEDING AND
        0s OPEN PRECEDING INSTANCE_NOT_IN_WINDOW)
        FROM (SELECT id, person AS who, at AS seen, page AS what FROM visit) AS v""",
    "without the current time": """SELECT id, distinct_count(page) OVER (PARTITION BY person
        ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME) FROM visit""",
    "without the current row": """SELECT id, distinct_count(page) OVER (PARTITION BY person ORDER BY
        at ROWS_RANGE BETWEEN 9s PRECEDING AND CURRENT ROW MAXSIZE 2 EXCLUDE CURRENT_ROW)
        FROM visit""",
    "rows some way back": """SELECT id, distinct_count(page) OVER (PARTITION BY person ORDER BY
        at ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING) FROM visit""",
    "time some way back": """SELECT id, distinct_count(page) OVER (PARTITION BY person ORDER BY
        at ROWS_RANGE BETWEEN 4s PRECEDING AND 1s PRECEDING MAXSIZE 2) FROM visit""",
    "window over a join": """SELECT v.id, distinct_count(p.topic) OVER (PARTITION BY v.person
        ORDER BY v.at ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW) FROM visit AS v
        LAST JOIN page AS p ORDER BY p.since ON v.page = p.page""",
    "window over a filter by what is joined": """SELECT id, count(page) OVER (PARTITION BY person
        ORDER BY at ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW) FROM (SELECT v.* FROM visit
        AS v LAST JOIN page AS p ORDER BY p.since ON v.page = p.page WHERE p.valid) AS v""",
    "window beside a join": """SELECT v.id, p.topic, count(v.page) OVER (PARTITION BY v.person
        ORDER BY v.at ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW) FROM visit AS v
        LAST JOIN page AS p ORDER BY p.since ON v.page = p.page""",
    "window over a filtered subquery": """WITH good AS (SELECT * FROM visit WHERE shop > 0)
        SELECT id, distinct_count(page) OVER (PARTITION BY person ORDER BY at
        ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM good""",
}  # fmt: skip

SELDOM_TIED = {"join of groups", "join of a filtered subquery", "union by position",
               "filtered union", "keys of another name", "without the current time",
               "time some way back"}  # fmt: skip
"""Styles of whose few excluded requests none happens to differ in these tables."""


def make(draw: random.Random) -> dict[str, list[tuple]]:
    def some(*values):
        return draw.choice(values)

    def time():
        # Not the epoch itself: there OpenMLDB's frames that end before the row are cut off at 0.
        return 100_000 + draw.randrange(12) * 500

    return {
        "visit": [
            (f"v{n}", time(), some("a", "b", None), some("x", "y"), draw.randrange(3))
            for n in range(draw.randrange(3, 10))
        ],
        "click": [
            (some("a", "b", None), time(), some("x", "y"), some("x", "y"))
            for _ in range(draw.randrange(16))
        ],
        "page": [
            (some("x", "y", "z"), time(), some("a", "b", "c"), some(True, False))
            for _ in range(draw.randrange(8))
        ],
        "topic": [(some("a", "b", "c"), str(n)) for n in range(draw.randrange(4))],
    }


def write(data, tables):
    for name, rows in tables.items():
        fields = [(c.name, ARROW[c.type.value]) for c in SCHEMAS[name].columns]
        columns = list(zip(*rows, strict=True)) or [()] * len(fields)
        arrays = [pa.array(list(c), t) for c, (_, t) in zip(columns, fields, strict=True)]
        folder = data / name / "ds=2026-01-01" if name in TABLES.events else data / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), folder / "p.parquet")


class Catalog:
    def table_schema(self, db, name):
        return SCHEMAS[name]


@functools.cache
def compiled(sql):
    return compile_batch(sql, Catalog(), "db"), compile_request(sql, Catalog(), "db")


def batch(sql, tables):
    """The rows of each id; without those that a WHERE takes away."""
    batches = {n: Batch.from_rows(SCHEMAS[n].fields, rows) for n, rows in tables.items()}
    found = compiled(sql)[0].execute(lambda db, name: batches[name])
    return {row[0]: row for row in found.to_rows()}


def online(sql, prepared, draw):
    stores = {name: MemTable(schema) for name, schema in SCHEMAS.items()}
    for name, table in prepared.tables.items():
        rows = plain_rows(table)
        draw.shuffle(rows)
        stores[name].append_batch(Batch.from_rows(SCHEMAS[name].fields, rows))
    answer = compiled(sql)[1].bind(lambda db, name: stores[name])
    feed = list(prepared.requests.rows)
    found = {}
    for request in prepared.sample:
        while feed and feed[0][1] < request[1]:
            stores["visit"].append([feed.pop(0)])
        found[request[0]] = next(iter(answer([request])), None)
    return found


@pytest.mark.parametrize(
    "style",
    # The fast tier takes one in four; each draws forty small worlds.
    [
        pytest.param(style, marks=[pytest.mark.slow] if at % 4 else [])
        for at, style in enumerate(STYLES)
    ],
)
def test_fair_requests_have_one_answer(style, tmp_path):
    sql = STYLES[style]
    compared = excluded = arbitrary = 0
    for seed in range(40):
        draw = random.Random(seed)
        tables = make(draw)
        write(tmp_path, tables)
        offline = batch(sql, tables)
        if not offline:
            continue
        ids = draw.sample(sorted(offline), min(len(offline), 4))
        prepared = consistency.prepare(tmp_path, PLAN, ids, tables=TABLES, sql=sql, create=CREATE)
        answers = online(sql, prepared, draw)
        orders = [
            batch(sql, {n: draw.sample(rows, len(rows)) for n, rows in tables.items()})
            for _ in range(3)
        ]
        for one in ids:
            differs = any(offline[one] != other.get(one) for other in (*orders, answers))
            if one in prepared.excluded.ids:
                excluded += 1
                arbitrary += differs
                continue
            compared += 1
            assert not differs, (seed, one, offline[one], orders, answers.get(one), tables)
    # A good part is compared, and what is left out does differ at times.
    assert compared >= 40
    assert arbitrary or style in SELDOM_TIED, excluded
