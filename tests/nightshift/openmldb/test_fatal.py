"""Statements that end the real API server's process are not sent."""

from __future__ import annotations

import httpx
import pytest

from nightshift.errors import ConfigurationError
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.fatal import check_statement


@pytest.mark.parametrize(
    "sql",
    [
        "EXIT",
        "exit;",
        "select 1; Exit",
        "DELETE FROM t WHERE k IN ('a', 'b')",
        "delete from t where k between 1 and 2",
        "select 1; DELETE FROM t WHERE k = 'x' AND ts BETWEEN 1 AND 2;",
        "/* all */ exit",
        "# all\nEXIT",
        "DEPLOY d SELECT 1 AS one",
        "SELECT 1; DEPLOY d OPTIONS(LONG_WINDOWS='w:1d') SELECT 'x FROM y' AS a",
    ],
)
def test_fatal_statements_are_refused(sql: str) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"code": 0, "msg": "ok"})

    client = OpenMLDBClient("http://openmldb.test:9080", transport=httpx.MockTransport(answer))
    with pytest.raises(ConfigurationError, match="ends OpenMLDB's API server"):
        client.execute("db", sql)
    assert sent == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t WHERE k = 'IN' AND ts >= 1L",
        "DELETE FROM `in` WHERE k = 'a'",
        "DELETE FROM t WHERE k = 'a'; SELECT * FROM t WHERE k IN ('a')",
        "SELECT 'exit' AS `exit`",
        "SELECT exit FROM t",
        "DEPLOY d SELECT a FROM t",
        "SHOW DEPLOYMENT d",
        "DROP DEPLOYMENT d",
        "SELECT '#' AS a; SELECT 2",
        "INSERT INTO t VALUES ('it\\'s; EXIT')",
    ],
)
def test_other_statements_pass(sql: str) -> None:
    check_statement(sql)
