"""Jobs as a client sees them: rows, states, logs, stops."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testing.embedded import ServerProcess

TERMINAL = {"FINISHED", "FAILED", "KILLED", "LOST", "STOPPED"}


def wait(server: ServerProcess, number: int) -> list[object]:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        row = server.do(f"SHOW JOB {number}")[0]
        if row[2] in TERMINAL:
            return row
        time.sleep(0.02)
    raise AssertionError("the job does not end")


@pytest.fixture(scope="module")
def folder(server: ServerProcess) -> Path:
    folder = server.data.parent
    rows = pa.table({"k": ["a", "b", None], "v": pa.array([1, None, 3], pa.int32())})
    (folder / "in").mkdir()
    pq.write_table(rows, folder / "in" / "one.parquet")
    pq.write_table(rows, folder / "in" / "two.parquet")
    (folder / "in" / "_SUCCESS").touch()
    server.do("CREATE TABLE t(k string, v int)")
    return folder


def load(folder: Path, path: str = "in", options: str = "mode='append'", table: str = "t") -> str:
    return (
        f"LOAD DATA INFILE '{folder}/{path}' INTO TABLE {table} "
        f"OPTIONS(format='parquet', {options})"
    )


def test_an_asynchronous_load_answers_with_its_job(server: ServerProcess, folder: Path) -> None:
    sql = load(folder)
    found = server.ask(sql, mode="offasync")
    assert len(found["data"]["schema"]) == 14
    row = found["data"]["data"][0]
    assert row[1:3] == ["ImportOfflineData", "Submitted"]
    assert row[5] == sql
    assert row[9] is None
    ended = wait(server, row[0])
    assert ended[2] == "FINISHED"
    assert ended[3] <= ended[4]
    assert server.do("SELECT count(*) FROM t", mode="offsync") == [[6]]
    log = server.do(f"SHOW JOBLOG {row[0]}")[0][0]
    assert "6 rows read" in log


@pytest.mark.parametrize("path", ["in/*.parquet", "in/{one,two}.parquet", "in/???.parq*", "in"])
def test_globs_and_folders(server: ServerProcess, folder: Path, path: str) -> None:
    row = server.do(load(folder, path, "mode='overwrite'"), mode="offsync")[0]
    assert row[2] == "FINISHED", row
    assert server.do("SELECT count(*) FROM t", mode="offsync") == [[6]]


def test_modes_of_an_offline_load(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE m(k string, v int)")
    ask = lambda options: server.do(load(folder, "in/one.parquet", options, "m"), mode="offsync")[0]  # noqa: E731
    count = lambda: server.do("SELECT count(*) FROM m", mode="offsync")  # noqa: E731
    assert ask("mode='error_if_exists'")[2] == "FINISHED"
    refused = ask("mode='error_if_exists'")
    assert refused[2] == "FAILED"
    assert "has offline data already" in server.reason(refused)
    assert ask("mode='append'")[2] == "FINISHED"
    assert count() == [[6]]
    assert ask("mode='overwrite', deep_copy=false")[2] == "FINISHED"
    assert count() == [[3]]
    copy = folder / "in" / "one.parquet"
    whole = copy.read_bytes()
    pq.write_table(pq.read_table(copy).slice(0, 1), copy)
    assert count() == [[1]]  # a link shows what its files hold now
    copy.write_bytes(whole)
    assert len(list((server.data / "offline").rglob("*.parquet"))) <= 3


def test_links_are_added_and_dropped(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE links(k string, v int)")
    count = lambda: server.do("SELECT count(*) FROM links", mode="offsync")  # noqa: E731
    one, two = f"{folder}/in/one.parquet", f"{folder}/in/t*.parquet"
    server.do(f"ALTER TABLE links ADD OFFLINE_PATH '{one}'")
    assert count() == [[3]]
    server.do(load(folder, "in/two.parquet", table="links"), mode="offsync")
    server.do(f"alter table db.links add offline_path '{two}', drop offline_path '{one}';")
    assert count() == [[6]]
    assert server.do("SHOW TABLE STATUS")[0][12] == f"{two},"
    for sql, told in (
        (f"ADD OFFLINE_PATH '{two}'", f"The symbolic path exists: {two}"),
        (f"DROP OFFLINE_PATH '{one}'", f"The symbolic path does not exist: {one}"),
        (f"ADD OFFLINE_PATH '{one}', DROP OFFLINE_PATH 'nope'", "The symbolic path does not exist"),
        ("ADD OFFLINE_PATH '/etc/passwd'", "outside the folders this server may use"),
        (f"ADD OFFLINE_PATH '{server.data}'", "in the server's own data folder"),
        ("ADD OFFLINE_PATH 's3a://lake/x'", "outside the other file systems"),
    ):
        found = server.ask(f"ALTER TABLE links {sql}")
        assert found["code"] == 2000
        assert told in found["msg"]
    assert server.ask(f"ALTER TABLE nope ADD OFFLINE_PATH '{one}'")["code"] != 0
    assert count() == [[6]]
    server.do(f"ALTER TABLE links ADD OFFLINE_PATH '{folder}/in/later.parquet'")
    refused = server.ask("SELECT count(*) FROM links", mode="offsync")
    assert "later.parquet" in refused["msg"]
    server.do(f"ALTER TABLE links DROP OFFLINE_PATH '{folder}/in/later.parquet'")
    server.do(f"ALTER TABLE links DROP OFFLINE_PATH '{two}'")
    assert count() == [[3]]  # what was copied stays


def test_an_online_load_takes_append_only(server: ServerProcess, folder: Path) -> None:
    for options in ("mode='overwrite'", "mode='append', deep_copy=false"):
        row = server.do(load(folder, options=options), mode="onsync")[0]
        assert (row[1], row[2]) == ("ImportOnlineData", "FAILED")
        assert "mode='append'" in server.reason(row)
    assert server.do(load(folder), mode="onsync")[0][2] == "FINISHED"
    rows = server.do("SELECT k, v FROM t")
    assert sorted(rows, key=str) == sorted([["a", 1], ["b", None], [None, 3]] * 2, key=str)
    absent = load(folder, options="mode='append', put_if_absent=true")
    assert server.do(absent, mode="onsync")[0][2] == "FINISHED"
    assert server.do("SELECT count(*) FROM t") == [[6]]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("k string, v bigint", "schema mismatch"),
        ("k string, w int", "schema mismatch"),
        ("v int, k string", "schema mismatch"),
        ("k string, v int not null", "NOT NULL"),
    ],
)
def test_parquet_that_does_not_fit_fails_the_job(
    server: ServerProcess, folder: Path, schema: str, reason: str
) -> None:
    server.do("DROP TABLE IF EXISTS odd")
    server.do(f"CREATE TABLE odd({schema})")
    found = server.ask(load(folder, table="odd"), mode="offsync")
    assert found["code"] == 0  # as the real server: the state tells
    row = found["data"]["data"][0]
    assert row[2] == "FAILED"
    assert reason in server.reason(row)
    assert reason in server.do(f"SHOW JOBLOG {row[0]}")[0][0]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc", "hdfs://x/y", "", "nothing*"])
def test_paths_outside_the_roots_or_without_files_fail(server: ServerProcess, path: str) -> None:
    sql = f"LOAD DATA INFILE '{path}' INTO TABLE t OPTIONS(mode='append')"
    row = server.do(sql, mode="offsync")[0]
    assert row[2] == "FAILED"
    assert server.ask(f"SELECT 1 AS a INTO OUTFILE '{path}'", mode="offsync")["code"] != 0


def test_a_link_out_of_the_roots_does_not_help(server: ServerProcess, folder: Path) -> None:
    (folder / "way-out").symlink_to("/etc")
    row = server.do(load(folder, "way-out/passwd"), mode="offsync")[0]
    assert row[2] == "FAILED"
    assert "outside the folders this server may use" in server.reason(row)


def test_unknown_jobs(server: ServerProcess) -> None:
    for sql in ("SHOW JOB 99999", "STOP JOB 99999"):
        assert server.ask(sql) == {"code": 2000, "msg": "Job not found: 99999"}
    assert server.do("SHOW JOBLOG 99999") == [["Stdout:\n\n\nStderr:\n"]]


def test_select_into_parquet_and_csv(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE e(k string, f float, d double, day date, ts timestamp, b bool)")
    rows = "('x,\"y\"', 0.1, 1e10, '2020-1-2', 1000, true), ('', null, 0.5, null, null, false)"
    job = server.do(f"INSERT INTO e VALUES {rows}", mode="offsync")[0]
    assert job[1:3] == ["InsertOfflineData", "FINISHED"]
    for sql in (
        f"SELECT * FROM e INTO OUTFILE '{folder}/out/p' OPTIONS(format='parquet')",
        f"SELECT * FROM e INTO OUTFILE 'file://{folder}/out/c' OPTIONS(mode='overwrite')",
    ):
        assert server.do(sql, mode="offsync")[0][1:3] == ["ExportOfflineData", "FINISHED"]
    table = pq.read_table(folder / "out" / "p")
    assert table.schema.types == [
        pa.string(),
        pa.float32(),
        pa.float64(),
        pa.date32(),
        pa.timestamp("ms"),
        pa.bool_(),
    ]
    assert table.column("k").to_pylist() == ['x,"y"', ""]
    assert (folder / "out" / "c" / "_SUCCESS").exists()
    (part,) = (folder / "out" / "c").glob("part-*.csv")
    assert part.read_text() == (
        "k,f,d,day,ts,b\n"
        '"x,\\"y\\"",0.1,1.0E10,2020-01-02,1970-01-01T08:00:01.000+08:00,true\n'
        '"",null,0.5,null,null,false\n'
    )
    again = f"SELECT * FROM e INTO OUTFILE '{folder}/out/p' OPTIONS(format='parquet'"
    assert server.do(again + ")", mode="offsync")[0][2] == "FAILED"
    assert server.do(again + ", mode='append')", mode="offsync")[0][2] == "FINISHED"
    assert pq.read_table(folder / "out" / "p").num_rows == 4
    assert server.do(again + ", mode='overwrite')", mode="offsync")[0][2] == "FINISHED"
    assert pq.read_table(folder / "out" / "p").num_rows == 2
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["c", "p"]
    (folder / "out" / "p" / "thesis.txt").write_text("of three years")
    refused = server.do(again + ", mode='overwrite')", mode="offsync")[0]
    assert refused[2] == "FAILED"
    assert "thesis.txt" in server.reason(refused)
    assert (folder / "out" / "p" / "thesis.txt").read_text() == "of three years"


def test_csv_read_back_and_cells_that_do_not_parse(server: ServerProcess, folder: Path) -> None:
    (folder / "cells.csv").write_text(
        "a,b,c,d,e,f,n\n"
        '1,1.5,true,2020-01-02,2020-01-02 08:00:00,"x, ""y""",0\n'
        "oops,oops,oops,oops,oops,null,1\n"
        "40000,1e400,FALSE,June,1000,,2\n"
        ' 7 ,NaN,True,2020-1-2,2020-01-02T00:00:00.000Z,"",3\n'
    )
    server.do(
        "CREATE TABLE cells(a smallint, b double, c bool, d date, e timestamp, f string, n int)"
    )
    sql = f"LOAD DATA INFILE '{folder}/cells.csv' INTO TABLE cells OPTIONS(mode='append')"
    assert server.do(sql, mode="onsync")[0][2] == "FINISHED"
    rows = [server.do(f"SELECT * FROM cells WHERE n = {n}")[0][:-1] for n in range(4)]
    # Spark escapes by a backslash, so a text with doubled quotes stays as it is written.
    assert rows[0] == [1, 1.5, True, "2020-1-2", 1577923200000, '"x, ""y"""']
    assert rows[1] == [None] * 6
    # The column's first time is text, and so are all: Spark takes 1000 for the year, in UTC+8.
    assert rows[2] == [None, float("inf"), False, None, -30_610_252_800_000, None]
    assert rows[3][0] is None  # Spark takes no blanks beside a number
    assert rows[3][1] != rows[3][1]
    assert rows[3][2:] == [True, "2020-1-2", 1577923200000, ""]


def test_an_online_select_into_writes_one_csv_file(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE o(a int, b double)")
    server.do("INSERT INTO o VALUES (1, 0.5), (2, null)")
    target = folder / "one" / "rows.csv"
    into = f"SELECT * FROM o INTO OUTFILE '{target}' OPTIONS(format='csv'"
    assert server.ask(into + ")") == {"code": 0, "msg": "ok"}
    assert target.read_text() == "a,b\n2,null\n1,0.5\n"
    assert server.ask(into + ")")["code"] != 0
    assert server.ask(into + ", mode='append')")["code"] == 0
    assert target.read_text() == "a,b\n2,null\n1,0.5\n2,null\n1,0.5\n"
    joined = into.replace("FROM o", "FROM o LEFT JOIN o AS p ON o.a = p.a").replace("*", "o.a")
    refused = server.ask(joined + ", mode='overwrite')")
    assert refused["code"] == 1500
    assert "Non-support kJoinPlan Op in cluster online training" in refused["msg"]
    assert [path.name for path in target.parent.iterdir()] == ["rows.csv"]


def test_nan_as_null(server: ServerProcess) -> None:
    server.do("CREATE TABLE nan(a int)")
    server.do("INSERT INTO nan VALUES (1)")
    for sql in ("SELECT log(-1.0) AS a FROM nan", "SELECT log(-1.0) AS a"):
        mode = "onsync"
        value = server.do(sql, mode=mode)[0][0]
        assert value is None or value != value
        assert server.do(sql, mode=mode, write_nan_and_inf_null=True) == [[None]]


def test_duplicate_output_names_fail_the_job(server: ServerProcess, folder: Path) -> None:
    sql = f"SELECT k, k FROM t INTO OUTFILE '{folder}/out/twice' OPTIONS(format='parquet')"
    row = server.do(sql, mode="offsync")[0]
    assert row[2] == "FAILED"
    assert not (folder / "out" / "twice").exists()


def test_an_asynchronous_select_is_a_job(server: ServerProcess) -> None:
    row = server.do("SELECT count(*) AS n FROM t CONFIG (execute_mode='offline')", mode="offasync")[
        0
    ]
    assert row[1] == "RunBatchSql"
    assert wait(server, row[0])[2] == "FINISHED"


def test_config_overrides_the_mode(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE both(k string, v int)")
    server.do("INSERT INTO both VALUES ('online', 1)")
    server.do(load(folder, table="both"), mode="offsync")
    assert server.do("SELECT count(*) FROM both") == [[1]]
    assert server.do("SELECT count(*) FROM both CONFIG (execute_mode='offline')") == [[6]]


def test_stop_job(server: ServerProcess, folder: Path) -> None:
    size = 400_000
    big = pa.table({"g": pa.array([0] * size, pa.int32()), "k": pa.array(range(size), pa.int64())})
    pq.write_table(big, folder / "big.parquet")
    server.do("CREATE TABLE big(g int, k bigint)")
    server.do(load(folder, "big.parquet", table="big"), mode="offsync")
    frames = [f"ROWS BETWEEN {n + 3000} PRECEDING AND CURRENT ROW" for n in range(20)]
    slow = server.do(
        "SELECT "
        + ", ".join(f"topn_frequency(k, 3) OVER w{n} AS s{n}" for n in range(20))
        + " FROM big WINDOW "
        + ", ".join(
            f"w{n} AS (PARTITION BY g ORDER BY k {frame})" for n, frame in enumerate(frames)
        )
        + f" INTO OUTFILE '{folder}/out/never'",
        mode="offasync",
    )[0]
    time.sleep(0.3)
    row = server.do(f"STOP JOB {slow[0]}")[0]
    assert row[0] == slow[0]
    assert wait(server, slow[0])[2] == "STOPPED"
    assert server.do(f"STOP JOB {slow[0]}")[0][2] == "STOPPED"
    assert not list((folder / "out").glob("*never*"))


def test_two_jobs_at_once_and_a_queue(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE many(k string, v int)")
    numbers = [server.do(load(folder, table="many"), mode="offasync")[0][0] for _ in range(6)]
    assert numbers == sorted(set(numbers))
    assert all(wait(server, number)[2] == "FINISHED" for number in numbers)
    assert server.do("SELECT count(*) FROM many", mode="offsync") == [[36]]


def test_many_who_wait_do_not_keep_others_waiting(server: ServerProcess, folder: Path) -> None:
    server.do("CREATE TABLE crowd(k string, v int)")
    rows: list[list[object]] = []
    threads = [
        threading.Thread(
            target=lambda: rows.extend(server.do(load(folder, table="crowd"), mode="offsync"))
        )
        for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    assert server.client.get("/health").text == "OK"
    assert server.do("SHOW DATABASES") == [["db"]]
    for thread in threads:
        thread.join()
    assert [row[2] for row in rows] == ["FINISHED"] * 30
    assert server.do("SELECT count(*) FROM crowd", mode="offsync") == [[30 * 6]]
