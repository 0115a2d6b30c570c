"""Airflow's connection to OpenMLDB: what a connection means, and the form that tests it."""

from __future__ import annotations

import base64

import httpx
import pytest
from airflow.sdk import Connection
from nightshift_provider.hooks.openmldb import Endpoint, OpenMLDBHook, deadline_error

from nightshift.errors import ConfigurationError, DeadlineExceeded, OpenMLDBError
from nightshift.openmldb import JobState, JobWatch, OpenMLDBClient


def of(**fields) -> Endpoint:
    return Endpoint.of(Connection(conn_id="own", conn_type="openmldb", **fields))


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "db"}, "http://db:9080"),
        ({"host": "db", "port": 8080}, "http://db:8080"),
        ({"host": "https://db", "port": 443}, "https://db:443"),
        ({"host": "db", "extra": '{"tls": "true"}'}, "https://db:9080"),
        ({"host": "db", "extra": '{"tls": false}'}, "http://db:9080"),
        ({"host": "::1"}, "http://[::1]:9080"),
        ({"host": "[::1]", "port": 1}, "http://[::1]:1"),
    ],
)
def test_where_a_connection_leads(fields, url):
    assert of(**fields).url == url


def test_the_fields_of_a_connection():
    made = of(host="db", schema="jd", extra='{"timeout_s": "2.5"}')
    assert (made.database, made.timeout_s) == ("jd", 2.5)
    cluster = of(extra='{"zk": "h:2181", "zkPath": "/openmldb"}')
    assert (cluster.url, cluster.zk, cluster.zk_path) == (None, "h:2181", "/openmldb")


def test_a_login_is_sent_as_basic_authorisation():
    assert of(host="db").headers == {}
    (value,) = of(host="db", login="ann", password="s:cret").headers.values()
    kind, text = value.split()
    assert (kind, base64.b64decode(text)) == ("Basic", b"ann:s:cret")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "neither a host"),
        ({"extra": '{"zk": "h:2181"}'}, "both zk and zk_path"),
        ({"host": "db", "extra": '{"timeout_s": "soon"}'}, "extra of own is 'soon'; .* seconds"),
        ({"host": "db", "extra": '{"timeout_s": -1}'}, r"timeout_s .* is -1"),
    ],
)
def test_a_connection_that_leads_nowhere_says_what_to_fill_in(fields, told):
    with pytest.raises(ConfigurationError, match=told):
        of(**fields)


def test_a_trigger_needs_the_api_server():
    with pytest.raises(ConfigurationError, match="deferrable=False"):
        of(extra='{"zk": "h:2181", "zk_path": "/o"}').async_client()


class Played(OpenMLDBHook):
    """A hook whose server plays a job's states, one an answer; an exception is a fault."""

    def __init__(self, *states):
        super().__init__()
        self.states, self.sleeps, self.now = list(states), [], 0.0
        transport = httpx.MockTransport(self.answer)
        self.__dict__["client"] = OpenMLDBClient("http://openmldb.test", transport=transport)

    def answer(self, request):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        row = [7, "T", state, 1, 2, "SQL", "", "", "why", "jd", "", 0, "", ""]
        schema = ["Int32"] + ["String"] * 13
        return httpx.Response(200, json={"code": 0, "data": {"schema": schema, "data": [row]}})

    def follow(self, **watch):
        def sleep(seconds):
            self.sleeps.append(seconds)
            self.now += seconds

        watch = {"deadline": 60.0, "poll_s": 1.0, "settle_s": 2.0, "outage_s": 5.0, **watch}
        return self.wait(7, JobWatch(**watch), sleep=sleep, clock=lambda: self.now)


def test_a_job_is_believed_finished_once_it_has_settled():
    hook = Played("RUNNING", "FINISHED")
    assert hook.follow().state is JobState.FINISHED
    assert sum(hook.sleeps) >= 2.0
    # A cluster says FINISHED of a job that fails a moment later.
    hook = Played("RUNNING", "FINISHED", "FAILED")
    assert hook.follow().state is JobState.FAILED


def test_a_server_that_comes_back_in_time_is_waited_for():
    hook = Played("RUNNING", httpx.ConnectError("refused"), "FINISHED")
    assert hook.follow().state is JobState.FINISHED
    with pytest.raises(Exception, match=r"openmldb\.test.*refused"):
        Played(httpx.ConnectError("refused")).follow()


def test_a_deadline_names_the_job_and_when_it_was():
    with pytest.raises(DeadlineExceeded, match="job 7 had not ended by its deadline, 1970-01-01"):
        Played("RUNNING").follow(deadline=3.0)
    assert "job_timeout_s" in str(deadline_error(7, JobWatch(0.0)))


def test_a_failed_jobs_error_says_why_though_its_log_cannot_be_had():
    hook = Played("FAILED")
    job = hook.client.job(7)
    hook.states = [httpx.ConnectError("refused")]
    error = hook.error_of(job)
    assert isinstance(error, OpenMLDBError) or "why" in str(error)
    assert "SHOW JOBLOG 7 failed" in str(error)


def test_the_connection_form_tests_the_server(airflow_home, openmldb, monkeypatch):
    def tested(uri) -> tuple[bool, str]:
        monkeypatch.setenv("AIRFLOW_CONN_TRIED", uri)
        return OpenMLDBHook("tried").test_connection()

    there = f"openmldb://127.0.0.1:{openmldb.port}"
    assert tested(there) == (True, f"http://127.0.0.1:{openmldb.port} answers; databases: none")
    good, message = tested(f"{there}/later")
    assert good and message.endswith("it has no database later yet")
    good, message = tested("openmldb://127.0.0.1:1")
    assert not good and "127.0.0.1:1" in message
