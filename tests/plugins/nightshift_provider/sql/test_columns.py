"""Names of a select list."""

from __future__ import annotations

import pytest
from nightshift_provider.sql.columns import column_names

TABLES = {"t": ["k", "v"]}


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT k, v AS w FROM t", ["k", "w"]),
        ("select `odd name`, t.v x from t", ["odd name", "x"]),
        ("SELECT count(*), sum(v) total FROM t", ["column_1", "total"]),
        ("SELECT 'a, from b' AS s, concat(k, ',') FROM t", ["s", "column_2"]),
        ("SELECT distinct k FROM t", ["k"]),
        ("SELECT * FROM t WHERE v > 1", ["k", "v"]),
        ("SELECT t.*, 1 AS one FROM db.t", ["k", "v", "one"]),
        ("SELECT sum(v) OVER w AS s, v FROM t WINDOW w AS (PARTITION BY k)", ["s", "v"]),
        ("SELECT sum(v) OVER w FROM t WINDOW w AS (PARTITION BY k)", ["column_1"]),
        ("SELECT CASE WHEN v > 1 THEN 1 ELSE 0 END, k FROM t", ["column_1", "k"]),
        ("SELECT CAST(v AS double), -1, true FROM t", ["column_1", "column_2", "column_3"]),
        ("-- names\nSELECT (SELECT 1 FROM t) AS a, /* b, */ k\nFROM t", ["a", "k"]),
        ("SELECT * FROM (SELECT k FROM t)", ["column_1"]),
        ("SHOW DEPLOYMENTS", ["database", "deployment"]),
        ("DESC t", ["column_1"]),
    ],
)
def test_names(sql, names):
    def columns(database, table):
        return TABLES.get(table, [])

    assert column_names(sql, len(names), columns) == names


def test_a_list_that_does_not_fit_the_result_is_not_trusted():
    assert column_names("SELECT * FROM u", 2, lambda db, t: ["a"]) == ["column_1", "column_2"]


def test_jobs_have_their_known_columns():
    assert column_names("SHOW JOBS", 14, lambda db, t: [])[:3] == ["job_id", "job_type", "state"]
