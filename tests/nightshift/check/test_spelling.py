"""Names in a query that nothing gives."""

import pytest
from openmldb_sql.types import SqlType, schema_of

from nightshift.check.spelling import unknown_names

SCHEMAS = {
    "visit": schema_of([("visit_id", SqlType.STRING), ("person", SqlType.STRING)]),
    "page": schema_of([("page", SqlType.STRING), ("topic", SqlType.STRING)]),
}


def found(query):
    return [(one.kind, one.name, one.line) for one in unknown_names(query, SCHEMAS)]


def test_every_unknown_name_is_found_with_its_line():
    query = (
        "SELECT v.visit_id, v.persn,\n  count(v.page) OVER w2 AS n\nFROM vist AS v\n"
        "LAST JOIN page AS p ON v.page = p.topc\n"
        "WINDOW w AS (PARTITION BY person ORDER BY visit_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    )
    assert found(query) == [
        ("column", "persn", 1),
        ("window", "w2", 2),
        ("table", "vist", 3),
        ("column", "topc", 4),
    ]


def test_the_nearest_known_name_is_offered():
    (one,) = unknown_names("SELECT persn FROM visit", SCHEMAS)
    assert "person" in one.fix


@pytest.mark.parametrize(
    "query",
    [
        "SELECT PERSON FROM VISIT",
        "SELECT x.n FROM (SELECT count(person) AS n FROM visit) AS x",
        "WITH q AS (SELECT person AS who FROM visit) SELECT who FROM q",
        "SELECT topic FROM visit",  # known in some table: the rest is the compiler's
    ],
)
def test_names_that_something_gives_are_known(query):
    assert found(query) == []


def test_a_name_is_told_once_however_often_it_is_used():
    assert found("SELECT nme, nme FROM visit WHERE nme = 1") == [("column", "nme", 1)]


@pytest.mark.parametrize("query", ["SELECT", "no query", "SELECT ((((a FROM visit"])
def test_text_that_does_not_parse_has_no_names(query):
    assert found(query) == []
