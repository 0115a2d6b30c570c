"""The protocol's odd corners, which a healthy server cannot be made to show."""

from __future__ import annotations

import json

import httpx
import pytest

from nightshift.errors import (
    ConfigurationError,
    ContractError,
    OpenMLDBError,
    ServiceUnavailable,
    StatementTimeout,
)
from nightshift.openmldb import JobState, OpenMLDBClient

JOB_TYPES = [
    "Int32",
    "String",
    "String",
    "Timestamp",
    "Timestamp",
    "String",
    "String",
    "String",
    "String",
    "String",
    "String",
    "Int32",
    "String",
    "String",
]


def job_row(job_id=7, state="Submitted", error="", parameter="LOAD DATA"):
    return [job_id, "ImportOfflineData", state, 1, None, parameter, "local", "", error, "jd", "",
            0, "", "TaskManager"]  # fmt: skip


def client(handler) -> OpenMLDBClient:
    return OpenMLDBClient("http://openmldb.test:9080", transport=httpx.MockTransport(handler))


def answer(payload, status=200):
    return lambda request: httpx.Response(status, json=payload)


class TestClient:
    def test_a_submission_returns_its_job(self):
        seen = []

        def handler(request):
            seen.append((request.url.raw_path, json.loads(request.content)))
            return httpx.Response(
                200, json={"code": 0, "data": {"schema": JOB_TYPES, "data": [job_row(41)]}}
            )

        job = client(handler).submit("j d", "LOAD DATA INFILE 'x' INTO TABLE t", "offasync")
        assert (job.job_id, job.state, job.db) == (41, JobState.SUBMITTED, "jd")
        path, body = seen[0]
        assert path == b"/dbs/j%20d"
        assert body["mode"] == "offasync"
        assert body["timeout"] == 60000

    def test_a_refusal_carries_code_statement_and_place(self):
        handler = answer({"code": 1000, "msg": "create logic plan tree failed--boom"})
        with pytest.raises(OpenMLDBError) as caught:
            client(handler).execute("jd", "SELEC 1")
        assert caught.value.code == 1000
        for part in ("SELEC 1", "openmldb.test:9080", "boom", "jd"):
            assert part in str(caught.value)

    @pytest.mark.parametrize(
        ("code", "message"),
        [(-1, "Fail to get taskmanager client"), (2001, "rpc fail: Connection refused")],
    )
    def test_a_part_that_is_away_is_retryable(self, code, message):
        with pytest.raises(ServiceUnavailable, match=message):
            client(answer({"code": code, "msg": message})).execute("jd", "SHOW JOBS")

    def test_no_connection_is_retryable_and_names_the_place(self):
        def handler(request):
            raise httpx.ConnectError("refused", request=request)

        with pytest.raises(ServiceUnavailable, match=r"openmldb\.test:9080.*SELECT 1.*refused"):
            client(handler).execute("jd", "SELECT 1")

    def test_another_service_on_the_port_is_named(self):
        handler = answer({"detail": "Not Found"}, 404)
        with pytest.raises(OpenMLDBError, match="is not an OpenMLDB API server"):
            client(handler).execute("jd", "SELECT 1")
        with pytest.raises(ServiceUnavailable, match="HTTP 502"):
            client(answer({}, 502)).execute("jd", "SELECT 1")

    def test_a_statement_that_starts_no_job(self):
        with pytest.raises(ContractError, match="started no job"):
            client(answer({"code": 0, "msg": "ok"})).submit("jd", "CREATE DATABASE x")
        with pytest.raises(ConfigurationError, match="offasync"):
            client(answer({})).submit("jd", "LOAD DATA", "offsync")

    def test_a_proxy_in_the_environment_is_not_used(self, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        seen = []

        def handler(request):
            seen.append(request.url.host)
            return httpx.Response(200, text="OK")

        client(handler).health()
        assert seen == ["openmldb.test"]

    def test_request_mode_and_not_a_number(self):
        text = (
            '{"code":0,"msg":"ok","data":{"data":[[1,NaN]],"schema":[{"name":"a","type":"int32"},'
            '{"name":"b","type":"double"}]}}'
        )
        rows, schema = client(lambda request: httpx.Response(200, text=text)).call(
            "jd", "d", [[1, "x"]]
        )
        assert rows[0][0] == 1
        assert rows[0][1] != rows[0][1]
        assert schema == [("a", "int32"), ("b", "double")]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1500, "Query rpc failed--[E112]Not connected to 127.0.0.1:10921 yet, server_id=9"),
        (1400, "get tablet client failed--main table jd.flatten tablet accessor is null"),
        (2000, "fail to get jd.flatten tablets"),
        (2000, "cannot connect tablet"),
        (-1, "fail to get tablet, table jd.flatten"),
        (-1, "there is already a task running"),
        (2000, "create index failed--there is already a task running"),
    ],
)
def test_a_cluster_on_a_bad_day_is_tried_again(code: int, message: str) -> None:
    found = client(lambda request: httpx.Response(200, json={"code": code, "msg": message}))
    with pytest.raises(ServiceUnavailable, match=r"code -?\d+"):
        found.execute("jd", "SELECT 1")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1500, "Query rpc failed----ReturnCode[1000]--Non-support kSortPlan Op in cluster online"),
        (1000, "get tablet client failed--fail to explain select x--table t not exists"),
        (2000, "table already exists"),
        (1001, "create logic plan tree failed--Syntax error: timeout"),
    ],
)
def test_a_refusal_is_final(code: int, message: str) -> None:
    found = client(lambda request: httpx.Response(200, json={"code": code, "msg": message}))
    with pytest.raises(OpenMLDBError) as raised:
        found.execute("jd", "SELECT 1")
    assert raised.value.code == code


def test_a_statement_that_reached_its_timeout_may_go_on() -> None:
    answer = {"code": 2001, "msg": "Reached timeout=3000ms"}
    found = client(lambda request: httpx.Response(200, json=answer))
    with pytest.raises(StatementTimeout, match="SHOW JOBS"):
        found.execute("jd", "LOAD DATA INFILE 'x' INTO TABLE t", mode="offsync")
