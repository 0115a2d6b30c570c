"""How long tables keep rows: what the query reaches and a margin, in the units of a real server."""

import pytest
from openmldb_compiler import advice, available
from openmldb_sql import statements
from openmldb_sql.types import IndexDef

from nightshift.features import lineage, ttl
from nightshift.features.tables import SourceTables
from nightshift.layout import DAY_MS

SCRIPT = """
CREATE TABLE ask(id string, who string, moment timestamp, {ask});
CREATE TABLE act(who string, what string, moment timestamp, {act});
CREATE TABLE ordered(id string, moment timestamp, y int, {ordered});
CREATE TABLE person(who string, age int, {person});
"""
PLAIN = {
    "ask": "INDEX(key=who, ts=moment)",
    "act": "INDEX(key=who, ts=moment)",
    "ordered": "INDEX(key=id, ts=moment)",
    "person": "INDEX(key=who)",
}
TABLES = {
    "version": 1,
    "events": {"ask": "moment", "act": "moment", "ordered": "moment"},
    "snapshots": ["person"],
    "requests": {"table": "ask", "id": "id"},
    "label": {"table": "ordered"},
}


def reach_needs(query):
    tables = SourceTables.parse(TABLES, source="tables.yaml")
    columns = lineage.columns_of(SCRIPT.format(**PLAIN), tables)
    reach = lineage.reach_of(query, tables=tables, columns=columns)
    return ttl.needs_of(reach, tables.label_table)


OVER_OWN = (
    "SELECT id, count(id) OVER w AS n FROM ask WINDOW w AS (PARTITION BY who ORDER BY moment {})"
)
OVER_ACTS = (
    "SELECT id, count(what) OVER w AS n FROM (SELECT who, '' AS what, moment, id FROM ask) WINDOW w AS ("
    "UNION (SELECT who, what, moment, '' AS id FROM act) PARTITION BY who ORDER BY moment {} "
    "INSTANCE_NOT_IN_WINDOW)"
)
JOINED = "SELECT ask.id, act.what FROM ask LAST JOIN act ORDER BY act.moment ON ask.who = act.who"
LABELLED = (
    "SELECT ask.id, ordered.y FROM ask LAST JOIN ordered ORDER BY ordered.moment ON "
    "ask.id = ordered.id"
)
RANGE, ROWS = "ROWS_RANGE BETWEEN {} PRECEDING AND {}", "ROWS BETWEEN {} PRECEDING AND CURRENT ROW"


@pytest.mark.parametrize(
    ("query", "table", "expected"),
    [
        (OVER_OWN.format(RANGE.format("3d", "CURRENT ROW")), "ask", "ttl=10d, ttl_type=absolute"),
        (OVER_OWN.format(RANGE.format("49h", "1s PRECEDING")), "ask", "ttl=10d, ttl_type=absolute"),
        (OVER_ACTS.format(RANGE.format("3d", "CURRENT ROW")), "act", "ttl=10d, ttl_type=absolute"),
        (OVER_ACTS.format(RANGE.format("0s", "CURRENT ROW")), "act", "ttl=8d, ttl_type=absolute"),
        (OVER_ACTS.format(ROWS.format(20)), "act", "ttl=(7d, 20), ttl_type=absandlat"),
        # Nothing bounds these.
        (OVER_ACTS.format(RANGE.format("UNBOUNDED", "CURRENT ROW")), "act",
         "ttl=0m, ttl_type=absolute"),
        (OVER_ACTS.format(ROWS.format(2000)), "act", "ttl=0m, ttl_type=absolute"),
        (JOINED + " AND act.moment < ask.moment", "act", "ttl=0m, ttl_type=absolute"),
        (JOINED, "act", "ttl=(7d, 1), ttl_type=absandlat"),
        # No request that is served sees a label.
        (LABELLED, "ordered", "ttl=7d, ttl_type=absolute"),
    ],
)  # fmt: skip
def test_an_index_keeps_what_the_query_reaches_and_a_week(query, table, expected):
    key = "id" if table == "ordered" else "who"
    index = IndexDef((key,), "moment")
    wanted = ttl.proposed(index, table, reach_needs(query), event=True)
    assert ttl.spelled(wanted) == expected
    # The text is one that a real server takes, and it means the same.
    text = f"CREATE TABLE t(who string, id string, moment timestamp, INDEX(key={key}, ts=moment, {expected}))"
    assert statements.parse(text).schema.indexes == (wanted,)
    assert all(ttl.holds(wanted, need) for need in reach_needs(query) if need.table == table)


def test_a_snapshot_keeps_its_one_row():
    found = reach_needs(
        "SELECT ask.id, person.age FROM ask LAST JOIN person ON ask.who = person.who"
    )
    wanted = ttl.proposed(IndexDef(("who",)), "person", found, event=False)
    assert ttl.spelled(wanted) == "ttl=1, ttl_type=latest"


def test_the_longest_of_several_windows_counts_and_the_days_that_nights_load():
    found = reach_needs(
        "SELECT id, count(id) OVER a AS n, count(id) OVER b AS m FROM ask WINDOW "
        "a AS (PARTITION BY who ORDER BY moment ROWS_RANGE BETWEEN 5d PRECEDING AND CURRENT ROW), "
        "b AS (PARTITION BY who ORDER BY moment ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
    )
    index = IndexDef(("who",), "moment")
    assert ttl.spelled(ttl.proposed(index, "ask", found, event=True)) == (
        "ttl=(12d, 3), ttl_type=absandlat"
    )
    longer = ttl.proposed(index, "ask", found, event=True, lookback_days=30)
    assert longer.ttl_ms_abs == 37 * DAY_MS


@pytest.mark.parametrize(
    ("frame", "index", "kept"),
    [
        ("ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW", "ttl=3d", True),
        ("ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW", "ttl=71h", False),
        ("ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW", "ttl=(2d, 9), ttl_type=absandlat", False),
        ("ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW MAXSIZE 9",
         "ttl=(2d, 9), ttl_type=absandlat", True),
        ("ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW MAXSIZE 9",
         "ttl=7, ttl_type=latest", False),
        ("ROWS BETWEEN 4 PRECEDING AND CURRENT ROW", "ttl=365d", False),
        ("ROWS BETWEEN 4 PRECEDING AND CURRENT ROW", "ttl=4, ttl_type=latest", True),
        ("ROWS BETWEEN 4 PRECEDING AND CURRENT ROW", "ttl=(3d, 4), ttl_type=absandlat", True),
        ("ROWS BETWEEN 4 PRECEDING AND CURRENT ROW", "ttl=(3d, 4), ttl_type=absorlat", False),
    ],
)  # fmt: skip
def test_an_index_that_forgets_too_soon_is_found(frame, index, kept):
    script = SCRIPT.format(**{**PLAIN, "ask": f"INDEX(key=who, ts=moment, {index})"})
    declared = {
        made.table.name: made.schema.indexes
        for made in map(statements.parse, statements.split(script))
    }
    found = list(ttl.forgetful(declared, reach_needs(OVER_OWN.format(frame))))
    assert (found == []) is kept
    if found:
        why, fix = ttl.forgotten(*found[0], event=True)
        assert "window w" in why
        assert fix.startswith("write ttl=")


@pytest.mark.skipif(not available(), reason="OpenMLDB's compiler is not on this machine")
@pytest.mark.parametrize(
    "frame",
    [
        "ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW", "ROWS BETWEEN 20 PRECEDING AND CURRENT ROW",
        "ROWS_RANGE BETWEEN 36h PRECEDING AND 1h PRECEDING MAXSIZE 50",
    ],
)  # fmt: skip
def test_openmldbs_own_genddl_asks_for_no_more(frame):
    query = OVER_ACTS.format(frame)
    schemas = {
        made.table.name: made.schema
        for made in map(statements.parse, statements.split(SCRIPT.format(**PLAIN)))
    }
    for table, asked in advice.propose_indexes(query, "db", schemas).items():
        for index in asked:
            mine = ttl.proposed(index, table, reach_needs(query), event=True)
            assert mine.ttl_ms_abs >= index.ttl_ms_abs
            assert mine.ttl_lat >= index.ttl_lat
            if index.ttl_ms_abs:
                assert mine.ttl_ms_abs <= index.ttl_ms_abs + (ttl.MARGIN_DAYS + 1) * DAY_MS


def test_a_script_without_ages_keeps_all_but_the_surplus():
    script = (
        "CREATE TABLE a(k string, `ttl` int, moment timestamp, -- ttl=9d, (\n"
        "INDEX(key=(k, `ttl`), ts=moment, ttl=(9d, 3), ttl_type=absandlat), INDEX (key=k, ttl = 9d),\n"
        "INDEX(ttl_type=latest, key=k, ttl=3)) OPTIONS(partitionnum=2);\nCREATE TABLE b(k string);"
    )
    made = ttl.everlasting(script)
    indexes = statements.parse(statements.split(made)[0]).schema.indexes
    assert [(one.ttl_type, one.ttl_ms_abs, one.ttl_lat) for one in indexes] == [
        ("absolute", 0, 0), ("absolute", 0, 0), ("latest", 0, 3),
    ]  # fmt: skip
    assert "OPTIONS(partitionnum=2)" in made
    assert ttl.everlasting(made) == made
