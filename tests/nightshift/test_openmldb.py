"""The protocol's odd corners, which a healthy server cannot be made to show, and SQL cutting."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from nightshift.errors import (
    ConfigurationError,
    ContractError,
    JobFailed,
    JobLost,
    OpenMLDBError,
    ServiceUnavailable,
)
from nightshift.openmldb import (
    AsyncOpenMLDBClient,
    Job,
    JobState,
    JobWatch,
    OpenMLDBClient,
    first_words,
    job_error,
    normalise_sql,
    quote_literal,
    split_script,
    tail,
)

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


def make_job(state: str, error: str = "") -> Job:
    return Job.from_row(job_row(state=state, error=error))


def client(handler) -> OpenMLDBClient:
    return OpenMLDBClient("http://openmldb.test:9080", transport=httpx.MockTransport(handler))


def answer(payload, status=200):
    return lambda request: httpx.Response(status, json=payload)


class TestSplitScript:
    def test_quotes_and_comments_hide_semicolons(self):
        script = """
        -- the tables; all of them
        CREATE TABLE a(x string); # trailing ; comment
        INSERT INTO a VALUES ('it''s; fine', "a;b", 'back\\';slash'); /* ; */
        SELECT `odd;name` FROM a -- no end
        """
        assert split_script(script) == [
            "CREATE TABLE a(x string)",
            "INSERT INTO a VALUES ('it''s; fine', \"a;b\", 'back\\';slash')",
            "SELECT `odd;name` FROM a",
        ]

    def test_comments_within_a_statement_stay(self):
        assert split_script("SELECT 1, -- one\n 2;") == ["SELECT 1, -- one\n 2"]

    @pytest.mark.parametrize("script", ["", " ; ;\n;", "-- only; this", "/* a */ ; # b"])
    def test_nothing_to_run(self, script):
        assert split_script(script) == []

    def test_a_division_and_a_minus_are_no_comments(self):
        assert split_script("SELECT 4/2, 4 - -2; SELECT 2") == ["SELECT 4/2, 4 - -2", "SELECT 2"]

    def test_a_procedure_stays_whole(self):
        script = "CREATE PROCEDURE p(x int) BEGIN SELECT x; END; SELECT 1"
        assert split_script(script) == [
            "CREATE PROCEDURE p(x int) BEGIN SELECT x; END",
            "SELECT 1",
        ]

    def test_an_open_quote_names_its_line(self):
        with pytest.raises(ConfigurationError, match="line 2"):
            split_script("SELECT 1;\nSELECT 'oops;")

    def test_triple_quotes(self):
        assert split_script("SELECT '''a;'b'''; SELECT 2") == ["SELECT '''a;'b'''", "SELECT 2"]


def test_normalising_keeps_quoted_text_and_drops_comments():
    sql = "SELECT  a, -- first\n  'two  spaces'\nFROM t /* x */ ;"
    assert normalise_sql(sql) == "SELECT a, 'two  spaces' FROM t"
    assert first_words("SELECT " + "x" * 100) == "SELECT " + "x" * 50 + "..."


def test_a_literal_with_quotes_splits_as_one_statement():
    literal = quote_literal("a'; DROP TABLE t; --\\")
    assert split_script(f"SELECT {literal}") == [f"SELECT {literal}"]


class TestJobState:
    @pytest.mark.parametrize("text", ["FINISHED", "Finished", "finished", " failed ", "Killed"])
    def test_terminal_in_any_case(self, text):
        assert JobState.parse(text).is_terminal

    @pytest.mark.parametrize("text", ["Submitted", "RUNNING", "accepted", "NEW_SAVING", "weird"])
    def test_not_terminal(self, text):
        assert not JobState.parse(text).is_terminal

    def test_names(self):
        assert JobState.parse("running") is JobState.RUNNING
        assert JobState.parse("weird") is JobState.UNKNOWN


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
        with pytest.raises(OpenMLDBError, match="is no OpenMLDB API server"):
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

    def test_async_shares_the_parsing(self):
        async def run():
            transport = httpx.MockTransport(answer({"code": 2000, "msg": "Job not found: 9"}))
            async with AsyncOpenMLDBClient("http://x:1", transport=transport) as api:
                await api.job(9)

        with pytest.raises(OpenMLDBError, match="Job not found: 9") as caught:
            asyncio.run(run())
        assert caught.value.code == 2000

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


class TestJobWatch:
    def test_finished_counts_only_at_the_second_look(self):
        watch = JobWatch(deadline=1000.0, settle_s=2.0)
        assert watch.after(make_job("FINISHED"), 10.0) == 2.0
        assert watch.after(make_job("FINISHED"), 12.0) is None

    def test_finished_then_failed_is_final_at_once(self):
        watch = JobWatch(deadline=1000.0)
        assert watch.after(make_job("FINISHED"), 10.0) is not None
        assert watch.after(make_job("FAILED"), 12.0) is None

    def test_polling_slows_down_to_its_interval(self):
        watch = JobWatch(deadline=1000.0, poll_s=5.0)
        pauses = [watch.after(make_job("RUNNING"), float(n)) for n in range(10)]
        assert pauses == sorted(pauses)
        assert pauses[0] < 1.0
        assert pauses[-1] == 5.0

    def test_an_outage_is_borne_for_a_while_and_forgotten_after_an_answer(self):
        watch = JobWatch(deadline=1e9, outage_s=60.0)
        assert watch.away(0.0) is not None
        assert watch.away(59.0) is not None
        watch.after(make_job("RUNNING"), 59.5)
        assert watch.away(61.0) is not None
        assert watch.away(121.0) is None

    def test_the_deadline_is_absolute(self):
        watch = JobWatch(deadline=100.0)
        assert not watch.overdue(99.9)
        assert watch.overdue(100.0)


def test_errors_of_jobs_split_into_retryable_and_terminal():
    assert isinstance(job_error(make_job("LOST")), JobLost)
    assert isinstance(job_error(make_job("FAILED", "interrupted by a restart")), JobLost)
    failed = job_error(make_job("failed", "no such file /x"), "last line")
    assert isinstance(failed, JobFailed)
    assert "no such file /x" in str(failed)
    assert "last line" in str(failed)
    assert isinstance(job_error(make_job("KILLED")), JobFailed)


def test_tail_is_bounded():
    log = "\n".join(str(n) for n in range(100_000))
    assert tail(log, lines=2) == "99998\n99999"
    assert len(tail("x" * 10_000)) == 4000
