"""Which answers of the API server may be followed by another try."""

import httpx
import pytest

from nightshift.errors import OpenMLDBError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb import wire
from nightshift.openmldb.protocol import Request

REQUEST = Request("POST", "/dbs/db/deployments/d", "a call")

# Recorded while a tablet of a real 0.9.2 cluster was away, or loaded its tables.
AWAY = [
    (1500, "Query rpc failed--[E112]Not connected to 127.0.0.1:10921 yet, server_id=1"),
    (1400, "get tablet client failed--main table db.t tablet accessor is null"),
    (-1, "fail to get tablet, table db.t"),
    (2000, "fail to get all tablets"),
    (2000, "cannot connect tablet"),
    (2000, "no leader for table t"),
]
# Recorded refusals with the same codes.
REFUSED = [
    (1500, "Query rpc failed----ReturnCode[1000]--Fail to get parameter type with position 1"),
    (1500, "Query rpc failed----ReturnCode[1000]--Non-support kSortPlan Op in cluster"),
    (2000, "database not exist"),
    (-1, "Invalid input data, column id"),
    (1001, "Syntax error: connection refused"),
]


def answer(code, message):
    return httpx.Response(200, json={"code": code, "msg": message})


@pytest.mark.parametrize(("code", "message"), AWAY)
def test_a_part_that_is_away_may_be_asked_again(code, message):
    with pytest.raises(ServiceUnavailable, match="refused a call"):
        wire.parse(answer(code, message), REQUEST, "http://db")


def test_a_statement_that_timed_out_may_still_go_on():
    with pytest.raises(StatementTimeout):
        wire.parse(answer(2001, "Reached timeout=3000ms"), REQUEST, "http://db")


@pytest.mark.parametrize(("code", "message"), REFUSED)
def test_a_refusal_is_final(code, message):
    with pytest.raises(OpenMLDBError) as caught:
        wire.parse(answer(code, message), REQUEST, "http://db")
    assert caught.value.code == code
