"""Operations of the API server's protocol, without a server."""

import asyncio

import pytest

from nightshift.errors import ConfigurationError, ContractError, OpenMLDBError
from nightshift.openmldb import protocol
from nightshift.openmldb.jobs import JOB_COLUMNS
from nightshift.openmldb.protocol import Request, ResultSet, drive, drive_async


class Server:
    """Answers in turn; keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, request):
        self.asked.append(request)
        return self.answers.pop(0)


def rows(*found, types=("String",)):
    return {"code": 0, "msg": "ok", "data": {"schema": list(types), "data": list(found)}}


DONE = {"code": 0, "msg": "ok"}


def test_a_statement_goes_to_its_database_and_gives_rows_or_none():
    server = Server(rows(["a"], ["b"]), DONE)
    assert drive(protocol.execute("db", "SELECT 1", "online", 5.0), server) == ResultSet(
        ["String"], [["a"], ["b"]]
    )
    assert drive(protocol.execute("db", "SET @@x=1", "online", 5.0), server) is None
    assert {(one.method, one.path) for one in server.asked} == {("POST", "/dbs/db")}


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE t (a int)", " drop table t", "DEPLOY d SELECT a FROM t"]
)
def test_what_defines_something_makes_the_server_look(sql):
    server = Server(DONE, DONE)
    drive(protocol.execute("db", sql, "online", 5.0), server)
    assert server.asked[-1] is protocol.REFRESH


def test_the_same_operation_runs_in_an_event_loop():
    server = Server(rows(["db1"], ["db2"]))

    async def send(request):
        return server(request)

    found = asyncio.run(drive_async(protocol.first_column("x", "SHOW DATABASES", 5.0), send))
    assert found == ["db1", "db2"]


def test_a_job_is_submitted_in_an_asynchronous_mode_only():
    with pytest.raises(ConfigurationError, match="offasync"):
        drive(protocol.submit("db", "LOAD DATA INFILE 'x' INTO TABLE t", "offsync", 5.0), Server())


def job_row():
    head = [7, "ImportOfflineData", "FINISHED", 0, 0]
    return head + [""] * (JOB_COLUMNS - len(head))


def test_an_answer_without_a_job_is_a_broken_contract():
    types = ["Int32"] * JOB_COLUMNS
    assert protocol.is_job(ResultSet(types, [job_row()]))
    for other in (None, ResultSet([], []), ResultSet(["Int32"], [[7]])):
        assert not protocol.is_job(other)
        with pytest.raises(ContractError, match="started no job"):
            protocol.submitted_job(other, "SELECT 1")
    assert protocol.submitted_job(ResultSet(types, [job_row()]), "LOAD DATA").job_id == 7


def test_a_job_that_is_not_there_is_an_error():
    with pytest.raises(OpenMLDBError, match="0 rows instead of one"):
        drive(protocol.job(7, 5.0), Server(rows(types=["Int32"])))


def test_deployments_are_those_of_the_database():
    server = Server(rows(["db", "d1"], ["other", "d2"], types=["String", "String"]))
    assert drive(protocol.deployments("db", 5.0), server) == ["d1"]


def test_names_are_one_part_of_a_path():
    server = Server({"data": {"data": [[1]], "schema": [{"name": "a", "type": "int32"}]}})
    found = drive(protocol.call("a/b", "d?x", [[1], (2,)], True), server)
    assert found == ([[1]], [("a", "int32")])
    (request,) = server.asked
    assert request.path == "/dbs/a%2Fb/deployments/d%3Fx"
    assert request.body == {"input": [[1], [2]], "need_schema": True}


def test_columns_have_the_types_of_replies():
    described = [
        {"name": "a", "data_type": "kBigInt"},
        {"name": "b", "data_type": "kVarchar"},
        {"name": "c", "data_type": "kTimestamp"},
    ]
    server = Server({"table": {"column_desc": described}})
    assert drive(protocol.columns("db", "t"), server) == [
        ("a", "Int64"),
        ("b", "String"),
        ("c", "Timestamp"),
    ]


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (protocol.columns("db", "t"), {"code": 0}),
        (protocol.columns("db", "t"), {"table": {"column_desc": [{"name": "a", "data_type": "kX"}]}}),
        (protocol.deployment("db", "d"), {"data": {"name": "d"}}),
        (protocol.call("db", "d", [], False), {"data": None}),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_shown(operation, answer):
    with pytest.raises(ContractError, match="the answer"):
        drive(operation, Server(answer))


def test_a_request_names_itself_in_errors():
    server = Server({"data": {"data": [], "schema": []}})
    drive(protocol.call("db", "d", [], False), server)
    assert isinstance(server.asked[0], Request)
    assert "deployment d in database db" in server.asked[0].about
