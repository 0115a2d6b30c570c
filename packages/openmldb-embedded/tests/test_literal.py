"""Request rows in a statement's CONFIG."""

from __future__ import annotations

import datetime as dt

import pytest
from openmldb_embedded.request.literal import literal_rows
from openmldb_sql.errors import SqlError
from openmldb_sql.types import SqlType

FIELDS = [
    ("id", SqlType.INT64),
    ("s", SqlType.STRING),
    ("ts", SqlType.TIMESTAMP),
    ("f", SqlType.FLOAT),
    ("d", SqlType.DATE),
]


def rows(text):
    return literal_rows(text, FIELDS, strict=True)


def test_one_row_and_several():
    assert rows("(1, 'a,(b)', timestamp(4000), 0.5, date('2020-01-02'))") == [
        (1, "a,(b)", 4000, 0.5, dt.date(2020, 1, 2))
    ]
    assert rows(
        "[(1, NULL, 4000, 1, '2020-01-02'), (-2L, concat('a', 'b'), 1 + 1, 2.5f, NULL)]"
    ) == [
        (1, None, 4000, 1.0, dt.date(2020, 1, 2)),
        (-2, "ab", 2, 2.5, None),
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("()", "expected a row"),
        ("[]", "expected a row"),
        ("(1, 'a', 4000)", "has 3 values, the request table 5 columns"),
        ("(1.5, 'a', 4000, 0.5, NULL)", "column id is of type int64"),
        ("(1, 2, 4000, 0.5, NULL)", "column s is of type string"),
        ("(1, 'a', 4000, 0.5, 'x')", "column d is of type date"),
        ("(x, 'a', 4000, 0.5, NULL)", "x"),
        ("[(1, 'a', 1, 1, NULL) (1, 'a', 1, 1, NULL)]", "row in parentheses"),
        ("[(1, 'a', 1, 1, NULL), 3]", "row in parentheses"),
        ("(1, 'a', 1, 1, NULL) from t", "row in parentheses"),
        ("(1 from t)", "no database"),
        ("((1, 'a', 1, 1, NULL)", "not closed"),
    ],
)
def test_what_is_no_row(text, wrong):
    with pytest.raises(SqlError, match=wrong):
        rows(text)


def test_a_select_over_its_own_request_rows(server):
    server.do("CREATE TABLE lit (id int, val string, ts timestamp, INDEX(KEY=id, TS=ts))")
    server.do("INSERT INTO lit VALUES (10, 'a', 1000), (10, 'b', 2000), (11, 'c', 2000)")
    sql = (
        "SELECT id, count(val) OVER w AS n FROM lit WINDOW w AS "
        "(PARTITION BY id ORDER BY ts ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) "
        "CONFIG (execute_mode = 'request', values = {})"
    )
    assert server.do(sql.format('(10, "foo", timestamp(4000))')) == [[10, 3]]
    assert server.do(sql.format("[(10, 'x', 1500), (12, 'y', 1)]")) == [[10, 2], [12, 1]]
    assert server.do("SELECT count(*) AS n FROM lit") == [[3]]  # requests are not stored
    with pytest.raises(AssertionError, match="needs values"):
        server.do("SELECT id FROM lit CONFIG (execute_mode = 'request')")
