"""Strict mode refuses what OpenMLDB's own compiler refuses, without that compiler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.errors import NotFound
from openmldb_embedded.referee import Referee
from openmldb_embedded.service.planning import EXPLAINING, check_online, planning
from openmldb_sql import parse
from openmldb_sql.errors import SqlError
from openmldb_sql.types import SqlType, schema_of

from testing.jd import Catalog

VERDICTS = json.loads((Path(__file__).parent / "verdicts.json").read_text(encoding="utf-8"))


class Tables:
    def table_schema(self, db, name):
        columns = VERDICTS["tables"].get(f"{db}.{name}")
        if columns is None:
            raise NotFound(f"table {db}.{name} not found")
        return schema_of((n, SqlType.from_sql_name(t)) for n, t in columns)


def accepted(sql, mode):
    compiled = compile_batch if mode == "batch" else compile_request
    try:
        compiled(sql, Tables(), "db", strict=True)
    except SqlError:
        return False
    return True


NEVER_ANSWERED = (
    "select 1 from t where 1=1 limit 1",
    "select id from t where i32 > 1",
    "select id from (select id, s from t) where s = 'a'",
)
"""OpenMLDB compiles these for a deployment, and then fails every request to it."""


@pytest.mark.parametrize("mode", ["batch", "request"])
def test_verdicts(mode):
    """Statements of all kinds; where the engine knows less than OpenMLDB, it refuses too."""
    wrong = []
    for sql, batch, request in VERDICTS["statements"]:
        expected = batch if mode == "batch" else request
        if mode == "request" and sql in NEVER_ANSWERED:
            expected = False
        if accepted(sql, mode) is not bool(expected):
            wrong.append(sql)
    assert wrong == []


REWRITES = {
    "SELECT i32 IS NOT NULL AS x FROM t": r"!isnull\(i32\)",
    "SELECT s || 'a' AS x FROM t": r"concat\(a, b\)",
    "SELECT coalesce(i32, 1) AS x FROM t": r"ifnull\(a, b\)",
    "SELECT greatest(i32, 1) AS x FROM t": r"maximum\(a, b\)",
    "SELECT trim(s) AS x FROM t": "replace",
    "SELECT count(1) AS x FROM t": r"count\(\*\) counts rows",
    "SELECT fz_top1_ratio(s) AS x FROM t": "top1_ratio",
    "SELECT upper(NULL) AS x FROM t": "CAST\\(NULL AS type\\)",
    "SELECT s LIKE NULL AS x FROM t": "CAST\\(NULL AS string\\)",
}


@pytest.mark.parametrize(("sql", "instead"), REWRITES.items())
def test_a_refusal_says_what_to_write(sql, instead):
    with pytest.raises(SqlError, match=instead):
        compile_batch(sql, Tables(), "db", strict=True)
    compile_batch(sql, Tables(), "db")  # lenient mode takes it


def test_a_text_is_parsed_once() -> None:
    sql = "select id, k from t where x > 4711"
    catalog = Catalog(
        {"t": schema_of([("id", SqlType.INT32), ("k", SqlType.STRING), ("x", SqlType.INT32)])}
    )
    before = parse._parsed.cache_info().misses
    with planning(EXPLAINING, sql, strict=True):
        query = compile_batch(sql, catalog, "db", strict=True)
    check_online(sql)
    Referee().confirm(query, sql, catalog, "db", online=True)
    assert parse._parsed.cache_info().misses == before + 1
