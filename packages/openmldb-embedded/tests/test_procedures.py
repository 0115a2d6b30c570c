"""Procedures as OpenMLDB 0.9.2's API server has them; figures of its own cases for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testing.embedded import ServerProcess

COLUMNS = "id int, c1 string, c3 int, c4 bigint, c5 float, c6 double, c7 timestamp"
CONST = "id int, const c1 string, c3 int, const c4 bigint, c5 float, const c6 double, c7 timestamp"
SUMS = (
    "SELECT t.id, c1, sum(c3) OVER w AS m3, sum(c4) OVER w AS m4, sum(c5) OVER w AS m5, "
    "sum(c6) OVER w AS m6, max(c7) OVER w AS m7, max(c8) OVER w AS m8, min(c9) OVER w AS m9 "
    "FROM t LAST JOIN u ORDER BY u.tc ON t.id = u.id AND t.c7 = u.tc "
    "WINDOW w AS (PARTITION BY t.c1 ORDER BY t.c7 ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
)
T0 = 1_590_738_990_000
NO_ROWS = {"common_cols": [], "input": [["aa", 11, 1_620_471_840_256]]}


def made(name: str, parameters: str, body: str) -> str:
    return f"CREATE PROCEDURE {name}({parameters}) BEGIN {body}; END;"


def made_all(server: ServerProcess) -> ServerProcess:
    """A table of seven columns with rows, one to join, one of three columns, and procedures."""
    server.do(f"CREATE TABLE t({COLUMNS}, INDEX(key=c1, ts=c7), INDEX(key=id, ts=c7))")
    server.do("CREATE TABLE u(id int, tc timestamp, c8 date, c9 string, INDEX(key=id, ts=tc))")
    server.do("CREATE TABLE small(c1 string, c3 int, c7 timestamp, INDEX(key=c1, ts=c7))")
    for id_ in (1, 3, 5, 6):
        at = T0 + 1000 * (id_ - 1)
        server.do(f"INSERT INTO t VALUES ({id_}, 'a', {id_}, {29 + id_}, 1.{id_ - 1}, 2.0, {at})")
    for id_, text in enumerate("abcdefg", 1):
        server.do(
            f"INSERT INTO u VALUES ({id_}, {T0 + 1000 * (id_ - 1)}, '2020-05-0{id_}', '{text}')"
        )
    server.do(made("plain", "c1 string, c3 int, c7 timestamp", "SELECT * FROM small"))
    server.do(made("fixed", CONST, "SELECT * FROM t"))
    server.do(made("sums", CONST, SUMS))
    server.do("DEPLOY deployed SELECT c1, c3 + 1 AS more FROM small")
    return server


@pytest.fixture(scope="module")
def house(server: ServerProcess) -> ServerProcess:
    return made_all(server)


def get(server: ServerProcess, path: str) -> dict[str, Any]:
    found: dict[str, Any] = server.client.get(f"/dbs/{path}").json()
    return found


def run(server: ServerProcess, name: str, body: Any, kind: str = "procedures") -> dict[str, Any]:
    return server.post(f"/dbs/db/{kind}/{name}", body)


def test_columns_that_are_not_constant(house: ServerProcess) -> None:
    found = run(house, "plain", {**NO_ROWS, "need_schema": True})
    assert found == {
        "code": 0,
        "msg": "ok",
        "data": {
            "schema": [
                {"name": "c1", "type": "string"},
                {"name": "c3", "type": "int32"},
                {"name": "c7", "type": "timestamp"},
            ],
            "data": [["aa", 11, 1_620_471_840_256]],
            "common_cols_data": [],
        },
    }
    assert run(house, "plain", {"input": NO_ROWS["input"]}) == {
        "code": 0,
        "msg": "ok",
        "data": {"data": NO_ROWS["input"], "common_cols_data": []},
    }
    # Where no column is constant, the other path takes it, too.
    assert run(house, "plain", NO_ROWS, "deployments")["data"]["common_cols_data"] == []


def test_constant_columns_are_given_once_and_answered_once(house: ServerProcess) -> None:
    given = {
        "common_cols": ["a", 31, 2.1],
        "input": [[2, 2, 1.1, T0], [4, 3, 1.2, T0 + 1], [7, 4, 1.3, T0 + 2]],
    }
    found = run(house, "fixed", {**given, "need_schema": True})["data"]
    assert [column["name"] for column in found["schema"]] == [f"c{n}" if n else "id" for n in (0, 1, 3, 4, 5, 6, 7)]  # fmt: skip
    assert found["common_cols_data"] == ["a", 31, 2.1]
    assert found["data"] == [
        [2, 2, pytest.approx(1.1), T0],
        [4, 3, pytest.approx(1.2), T0 + 1],
        [7, 4, pytest.approx(1.3), T0 + 2],
    ]
    names = ("id", "c3", "c5", "c7")
    objects = [dict(zip(names, row, strict=True)) for row in given["input"]]
    found = run(house, "fixed", {**given, "input": objects})["data"]
    assert found["common_cols_data"] == ["a", 31, 2.1]
    assert found["data"][1] == {"id": 4, "c3": 3, "c5": pytest.approx(1.2), "c7": T0 + 1}


def test_a_window_of_other_columns_makes_nothing_common(house: ServerProcess) -> None:
    """The window's order is not a constant column: c1 comes with every row, though it is constant."""
    given = {
        "common_cols": ["a", 31, 2.1],
        "input": [[2, 2, 1.1, T0 + 1000], [4, 3, 1.2, T0 + 3000], [7, 4, 1.3, T0 + 6000]],
    }
    found = run(house, "sums", given)["data"]
    assert found["common_cols_data"] == []
    assert [row[:4] + row[6:] for row in found["data"]] == [
        [2, "a", 3, 61, T0 + 1000, "2020-5-2", "a"],
        [4, "a", 7, 93, T0 + 3000, "2020-5-4", "a"],
        [7, "a", 15, 100, T0 + 6000, "2020-5-7", "e"],
    ]


def test_a_window_of_constant_columns_leaves_them_common(new_server: Any) -> None:
    server = new_server().start()
    server.do("CREATE DATABASE db")
    columns = "c1 string, c3 int, c4 bigint, c7 timestamp"
    server.do(f"CREATE TABLE trans({columns}, INDEX(key=c1, ts=c7))")
    server.do(f"INSERT INTO trans VALUES ('bb', 24, 34, {T0 + 4000})")
    window = "WINDOW w AS (PARTITION BY c1 ORDER BY c7 ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
    parameters = "const c1 string, const c3 int, c4 bigint, const c7 timestamp"
    chosen = "c1, c3, sum(c4) OVER w AS s4, sum(c3) OVER w AS s3, c3 + c4 AS both, c3 + 1 AS one"
    server.do(made("sp", parameters, f"SELECT {chosen} FROM trans {window}"))
    shown = get(server, "db/procedures/sp")["data"]
    assert shown["output_common_cols"] == ["c1", "c3", "s3", "one"]
    given = {"common_cols": ["bb", 23, T0 + 4000], "input": [[123], [234]]}
    assert run(server, "sp", given)["data"] == {
        "data": [[157, 146], [268, 257]],
        "common_cols_data": ["bb", 23, 47, 24],
    }


WRONG = [
    ("plain", {"common_cols": None, "input": NO_ROWS["input"]}, "common_cols is not array"),
    ("plain", {"common_cols": "", "input": NO_ROWS["input"]}, "common_cols is not array"),
    ("plain", {"common_cols": [111], "input": NO_ROWS["input"]}, "Invalid common cols size"),
    ("plain", {"common_cols": [], "input": [["aa", 11, 5, 16]]}, "Invalid input data size"),
    ("plain", {"common_cols": [], "input": [[]]}, "Invalid input data size"),
    ("plain", {"common_cols": [], "input": []}, "input is invalid"),
    ("plain", {"common_cols": [], "input": None}, "input is invalid"),
    ("plain", {"common_cols": []}, "input is invalid"),
    ("fixed", {"common_cols": [], "input": [[2, 2, 1.1, T0]]}, "Invalid common cols size"),
    ("fixed", {"common_cols": ["a", 3, 2.0], "input": [[2, 2, T0]]}, "Invalid input data size"),
    ("fixed", {"common_cols": ["a", "x", 2.0], "input": [[2, 2, 1.1, T0]]}, "failed on c4"),
    ("none", NO_ROWS, "none does not exist in db"),
]


@pytest.mark.parametrize(("name", "body", "reason"), WRONG)
def test_requests_that_do_not_fit(
    house: ServerProcess, name: str, body: dict[str, Any], reason: str
) -> None:
    found = run(house, name, body)
    assert found["code"] == -1
    assert reason in found["msg"]


def test_constant_columns_are_refused_where_they_end_the_real_server(house: ServerProcess) -> None:
    found = run(house, "fixed", {"input": [[2, "a", 2, 31, 1.1, 2.1, T0]]}, "deployments")
    assert found["code"] == -1
    assert "/dbs/db/procedures/fixed" in found["msg"]


def test_get_shows_a_procedure(house: ServerProcess) -> None:
    found = get(house, "db/procedures/fixed")["data"]
    assert found["name"] == "fixed"
    assert found["procedure"] == made("fixed", CONST, "SELECT * FROM t")
    assert found["input_common_cols"] == found["output_common_cols"] == ["c1", "c4", "c6"]
    assert found["input_schema"] == found["output_schema"]
    assert (found["dbs"], found["tables"]) == (["db"], ["t"])
    joined = get(house, "db/procedures/sums")["data"]
    assert (joined["input_common_cols"], joined["output_common_cols"]) == (["c1", "c4", "c6"], [])
    assert joined["tables"] == ["t", "u"]
    assert get(house, "db/procedures/deployed") == {"code": -1, "msg": "procedure not found"}
    assert get(house, "db/deployments/plain") == {"code": -1, "msg": "deployment not found"}
    assert get(house, "db/procedures/none")["msg"] == "none does not exist in db"


def test_show(house: ServerProcess) -> None:
    every = [["db", "deployed"], ["db", "fixed"], ["db", "plain"], ["db", "sums"]]
    assert house.do("SHOW PROCEDURE STATUS") == every
    assert house.do("SHOW PROCEDURES", db="elsewhere") == every
    assert house.do("SHOW DEPLOYMENTS") == [["db", "deployed"]]
    assert house.ask("SHOW DEPLOYMENT plain") == {"code": 2000, "msg": "not a deployment"}
    assert house.ask("SHOW CREATE PROCEDURE plain") == {"code": 0, "msg": "ok"}
    found = house.ask("SHOW CREATE PROCEDURE none")
    assert (found["code"], found["msg"]) == (
        2000,
        "Failed to show procedure, none does not exist in db",
    )


def test_call(house: ServerProcess) -> None:
    assert house.ask("CALL db.plain('12', 99, timestamp(8000))")["data"] == {
        "schema": ["String", "Int32", "Timestamp"],
        "data": [["12", 99, 8000]],
    }
    # Each argument is cast to its column's type.
    assert house.do('CALL db.plain(concat("a", 1), "7", bigint(1) + 8)') == [["a1", 7, 9]]
    assert house.do("CALL db.plain(null, 1.9, null)") == [[None, 1, None]]
    assert house.do("CALL db.deployed('x', 1, timestamp(0))", mode="offsync") == [["x", 2]]
    window = f"2, 'a', 2, 31, 1.1, 2.1, timestamp({T0 + 1000})"
    assert house.do(f"CALL db.sums({window})")[0][:4] == [2, "a", 3, 61]


def test_call_heeds_use_and_no_request(house: ServerProcess) -> None:
    arguments = "('x', 1, timestamp(0))"
    found = house.ask(f"CALL plain{arguments}")
    assert found["code"] == 1203
    assert "CALL db.plain (...)" in found["msg"]
    house.do("USE db")
    assert house.do(f"CALL plain{arguments}", db="elsewhere") == [["x", 1, 0]]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ("1", 2001, "expect 3, but got 1"),
        ("", 2001, "expect 3, but got 0"),
        ("'a', 1, c7", 2001, "c7"),
        ("'a', 1, timestamp(0) AS x", 1001, "Syntax error"),
        ("'a', 1,", 1001, "Syntax error"),
        ("'a', true, date('x'), 4", 2001, "expect 3, but got 4"),
    ],
)
def test_calls_that_are_refused(
    house: ServerProcess, arguments: str, code: int, reason: str
) -> None:
    found = house.ask(f"CALL db.plain({arguments})")
    assert found["code"] == code, found
    assert reason in found["msg"]
    assert house.ask("CALL db.none(1)") == {
        "code": 1203,
        "msg": "db-none--none does not exist in db",
    }


REFUSED = [
    (made("plain", "c1 string, c3 int, c7 timestamp", "SELECT * FROM small"), "already exists"),
    (made("x", "c1 string, c3 int", "SELECT * FROM small"), "check input parameter failed"),
    (made("x", "c1 string, c3 bigint, c7 timestamp", "SELECT * FROM small"), "c3 int32"),
    (made("x", "c3 int, c1 string, c7 timestamp", "SELECT * FROM small"), "in their order"),
    (made("x", "c1 string", "SELECT none FROM small"), "fail to explain sql"),
    (made("x", "c1 string", "SELECT c1 FROM nowhere"), "fail to explain sql"),
    # What OpenMLDB's own compiler refuses in a deployment, it refuses here.
    (made("x", "c1 string", "SELECT trim(c1) FROM small"), "fail to explain sql"),
    (made("x", "c1 string", "INSERT INTO small VALUES (1)"), "one SELECT"),
    (made("x", "c1 string", "SELECT 1; SELECT 2"), "one SELECT"),
    ("CREATE PROCEDURE x(c1 string) BEGIN SELECT c1 FROM small", "END"),
    ("CREATE PROCEDURE x(c1 nothing) BEGIN SELECT c1 FROM small; END", "nothing"),
    (
        made(
            "x",
            "c1 string, c3 int, c7 timestamp",
            "SELECT sum(c3) OVER w AS s FROM small WINDOW w AS (PARTITION BY c3 ORDER BY c7 "
            "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
        ),
        "none of db.small with key=(c3), ts=c7",
    ),
]


@pytest.mark.parametrize(("sql", "reason"), REFUSED)
def test_procedures_that_are_refused(house: ServerProcess, sql: str, reason: str) -> None:
    before = house.do("SHOW PROCEDURE STATUS")
    found = house.ask(sql)
    assert found["code"] != 0, found
    assert reason in found["msg"], found
    assert house.do("SHOW PROCEDURE STATUS") == before


def test_functions_of_shared_objects(house: ServerProcess) -> None:
    head = "CREATE AGGREGATE FUNCTION f(x bigint, y varchar(3)) RETURNS bigint"
    assert house.ask(head)["msg"].startswith("missing FILE option")
    assert house.ask(f"{head} OPTIONS (file='f.so')")["msg"].startswith("missing FILE option")
    found = house.ask(f"{head} OPTIONS (FILE='f.so', ARG_NULLABLE=true)")
    assert found["code"] == 2001
    assert "loads no shared objects such as f.so" in found["msg"]
    assert house.ask("CREATE FUNCTION f(x nothing) RETURNS int")["code"] != 0
    assert house.do("SHOW FUNCTIONS") == []
    assert house.ask("DROP FUNCTION f")["code"] == 2001
    assert house.ask("DROP FUNCTION IF EXISTS f")["code"] == 0


def test_they_are_dropped_and_outlive_a_kill(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    server.do("CREATE DATABASE db")
    made_all(server)
    assert server.ask("DROP TABLE t")["code"] == 2000
    assert server.ask("DROP DEPLOYMENT plain") == {"code": 2000, "msg": "not a deployment"}
    assert (
        server.ask("DROP PROCEDURE none")["msg"] == "Failed to drop, storage procedure not found!"
    )
    assert "send DROP PROCEDURE plain to other" in server.ask("DROP PROCEDURE other.plain")["msg"]
    shown = get(server, "db/procedures/sums")
    server.end(9)
    server.start()
    assert get(server, "db/procedures/sums") == shown
    server.end()  # a snapshot is taken
    server.start()
    assert get(server, "db/procedures/sums") == shown
    assert run(server, "plain", NO_ROWS)["data"]["data"] == NO_ROWS["input"]
    for name in ("plain", "fixed", "sums", "deployed"):  # the last is a deployment
        server.do(f"DROP PROCEDURE {name}")
    assert server.do("SHOW PROCEDURE STATUS") == []
    server.do("DROP TABLE t")
