"""Offline jobs on Spark: the real engine's rows, and jobs that survive what may befall them."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_sql.types import SqlType

from testing import jd
from testing import spark as spark_parts
from testing.embedded import ServerProcess

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(1200),  # for the slowest machines
]

TERMINAL = {"FINISHED", "FAILED", "KILLED", "LOST", "STOPPED"}
ROOT = Path(__file__).resolve().parents[5]
FEATURES = (ROOT / "include" / "sql" / "features.sql").read_text()
SQL_NAMES = {SqlType.INT32: "int", SqlType.INT64: "bigint"}


class House:
    """A folder with a server on it, which can be started anew with other settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: ServerProcess | None = None

    def start(self, **more: str) -> ServerProcess:
        given = spark_parts.arguments(spark_parts.settings(**more))
        roots = ["--root", str(self.folder), "--root", str(ROOT.parent / "shared")]
        self.server = ServerProcess(self.folder / "data", *roots, *given).start()
        self.server.client.timeout = 300
        return self.server

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.server is not None and self.server.process is not None:
            self.server.end(number)
            self.server.client.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("spark"))
    found.start().do("CREATE DATABASE db")
    yield found
    found.end()


@pytest.fixture
def server(house: House) -> ServerProcess:
    assert house.server is not None
    return house.server


@pytest.fixture(scope="module")
def jd_tables(house: House) -> Path:
    """The JD tables: one copied by Spark, the others linked."""
    shared = ROOT.parent / "shared"
    if not shared.is_dir():
        pytest.skip(f"{shared} is absent: the tutorial's data lies there")
    assert house.server is not None
    for name, schema in jd.schemas(shared).items():
        columns = ", ".join(
            f"{c.name} {SQL_NAMES.get(c.type, c.type.value)}" for c in schema.columns
        )
        house.server.do(f"CREATE TABLE {name}({columns})")
        source = shared / "data/jd" / {"flattenRequest": "flattenRequest_clean"}.get(name, name)
        deep = "true" if name == "bo_user" else "false"
        row = house.server.do(
            f"LOAD DATA INFILE '{source}' INTO TABLE {name} OPTIONS(format='parquet', "
            f"deep_copy={deep}, mode='overwrite')",
            mode="offsync",
        )[0]
        assert row[2] == "FINISHED", row
    return shared


def export(house: House, target: str) -> str:
    return f"{FEATURES} INTO OUTFILE '{house.folder}/{target}' OPTIONS(format='parquet')"


def wait(
    server: ServerProcess, number: int, until: Callable[[list[Any]], bool], seconds: float = 300
) -> list[Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        row = server.do(f"SHOW JOB {number}")[0]
        if until(row):
            return row
        time.sleep(0.05)
    raise AssertionError(f"{row}\n{server.do(f'SHOW JOBLOG {number}')[0][0][-3000:]}")


def ended(row: list[Any]) -> bool:
    return row[2] in TERMINAL


def at_work(row: list[Any]) -> bool:
    """The application is known and Spark works on its stages; or the job has ended."""
    return ended(row) or "stage" in (row[12] or "")


def drivers(house: House, number: int) -> list[int]:
    """The processes of a job's application."""
    needle = f"applications/{number}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if needle in line and str(house.folder).encode() in line:
                found.append(int(entry.name))
    return found


def check_jd(shared: Path, folder: Path) -> None:
    """The tutorial's counts, and every value as the embedded engine has it."""
    from openmldb_embedded.engine import compile_batch

    found = pq.read_table(folder)
    assert found.num_rows == 13_916
    data = jd.tables(shared)
    query = compile_batch(FEATURES, jd.Catalog(jd.schemas(shared)), "db")
    ours = query.execute(lambda db, name: data[name]).to_arrow()
    counts = sorted(len(set(found[name].to_pylist())) for name in found.column_names)
    sizes = jd.table_sizes(shared)
    assert len(sizes) == 41
    remaining = list(counts)
    for size in sizes:
        remaining.remove(size)
    assert len(remaining) == 1  # the label is not a feature
    first = found.sort_by("request_id").to_pylist()
    second = ours.sort_by("request_id").to_pylist()
    for one, other in zip(first, second, strict=True):
        for name in ("request_time", "product_ingestion_time", "user_ingestion_time"):
            if one[name] is not None:
                one[name] = one[name].replace(tzinfo=None)
        assert one == other


def test_jd_in_local_mode(house: House, server: ServerProcess, jd_tables: Path) -> None:
    job = server.do(export(house, "jd"), mode="offasync")[0]
    assert job[6] == "local[2]"
    seen = wait(server, job[0], at_work)
    assert seen[2] == "RUNNING"
    assert seen[7].startswith("local-")
    row = wait(server, job[0], ended)
    assert row[2] == "FINISHED", row
    log = server.do(f"SHOW JOBLOG {job[0]}")[0][0]
    assert f"application {row[7]} on local[2]; Spark UI: http://127.0.0.1:" in log
    assert "13916 rows written" in log
    check_jd(jd_tables, house.folder / "jd")
    kinds = {
        column.physical_type
        for path in (house.folder / "jd").glob("*.parquet")
        for column in (pq.ParquetFile(path).schema[i] for i in range(42))
    }
    assert "INT96" not in kinds
    assert not list((house.folder / "data" / "applications").iterdir())


EDGES: dict[str, tuple[str, pa.DataType, list[Any]]] = {
    "k": ("string", pa.string(), ["", "null", "ü 😀 \U00020000", 'a"b,c\\\n', None]),
    "b": ("bool", pa.bool_(), [True, False, None, True, None]),
    "s": ("smallint", pa.int16(), [-32768, 32767, 0, None, -1]),
    "i": ("int", pa.int32(), [-(2**31), 2**31 - 1, 0, None, 7]),
    "l": ("bigint", pa.int64(), [-(2**63), 2**63 - 1, 0, None, 2**53 + 1]),
    "f": ("float", pa.float32(), [0.1, float("nan"), -0.0, None, 3.4028235e38]),
    "d": ("double", pa.float64(), [0.1, float("inf"), 5e-324, None, 2.0**53 + 2]),
    "day": (
        "date",
        pa.date32(),
        [
            dt.date(1900, 1, 1),
            dt.date(2024, 2, 29),
            dt.date(1969, 12, 31),
            None,
            dt.date(9999, 12, 31),
        ],
    ),
    "ts": ("timestamp", pa.timestamp("ms"), [0, 1, 1_700_000_000_123, None, 253_402_300_799_999]),
}


def test_types_are_exact_both_ways(house: House, server: ServerProcess) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in EDGES.items())
    wanted = pa.table({name: pa.array(values, kind) for name, (_, kind, values) in EDGES.items()})
    (house.folder / "edges").mkdir()
    # In several files and folders.
    for name, part in (
        ("day=1/a b", slice(0, 2)),
        ("day=2/x", slice(2, 3)),
        ("z", slice(3, 5)),
    ):
        path = house.folder / "edges" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(wanted.slice(part.start, part.stop - part.start), path)
    for table, source in (("edges", "edges/{day=*/*,z.parquet}"), ("back", "edges-out")):
        server.do(f"CREATE TABLE {table}({columns})")
        row = server.do(
            f"LOAD DATA INFILE '{house.folder}/{source}' INTO TABLE {table} "
            f"OPTIONS(format='parquet', mode='overwrite')",
            mode="offsync",
        )[0]
        assert row[2] == "FINISHED", row
        row = server.do(
            f"SELECT * FROM {table} INTO OUTFILE '{house.folder}/{table}-out' "
            f"OPTIONS(format='parquet')",
            mode="offsync",
        )[0]
        assert row[2] == "FINISHED", row
        out = pq.read_table(house.folder / f"{table}-out")
        assert out.schema.names == wanted.schema.names
        # Bit for bit, times as the moment that they are.
        found = out.cast(wanted.schema).to_pylist()
        assert sorted(map(repr, found)) == sorted(map(repr, wanted.to_pylist()))
    rows = server.ask("SELECT * FROM back CONFIG (execute_mode='offline')", mode="offsync")
    assert rows["code"] == 0, rows
    assert rows["data"]["schema"] == [
        *("String", "Bool", "Int16", "Int32", "Int64"),
        *("Float", "Double", "Date", "Timestamp"),
    ]
    for place, name in ((0, "k"), (4, "l"), (8, "ts")):
        told = [row[place] for row in rows["data"]["data"]]
        assert sorted(map(repr, told)) == sorted(map(repr, EDGES[name][2]))


def test_a_refused_statement_gives_the_engines_words(server: ServerProcess) -> None:
    server.do("CREATE TABLE small(k string, v int)")
    found = server.ask("SELECT nope FROM small CONFIG (execute_mode='offline')", mode="offsync")
    assert found["code"] == 2000
    assert "Fail to find column nope" in found["msg"]
    row = server.do("SHOW JOBS")[-1]
    assert (row[1], row[2]) == ("RunBatchAndShow", "FAILED")
    assert "Fail to find column nope" in server.reason(row)


def test_stop_job_ends_the_application(
    house: House, server: ServerProcess, jd_tables: Path
) -> None:
    job = server.do(export(house, "stopped"), mode="offasync")[0]
    assert not ended(wait(server, job[0], at_work))
    assert drivers(house, job[0])
    server.do(f"STOP JOB {job[0]}")
    assert wait(server, job[0], ended)[2] == "STOPPED"
    assert not drivers(house, job[0])
    assert not list(house.folder.glob("*stopped*"))


def test_a_killed_driver_is_lost_and_leaves_nothing(
    house: House, server: ServerProcess, jd_tables: Path
) -> None:
    job = server.do(export(house, "killed"), mode="offasync")[0]
    wait(server, job[0], at_work)
    java = [
        pid
        for pid in drivers(house, job[0])
        if b"java" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    ]
    os.kill(java[0], signal.SIGKILL)
    row = wait(server, job[0], ended)
    assert row[2] == "LOST"
    assert "driver died" in server.reason(row)
    assert not list(house.folder.glob("*killed*"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_restarted_server_follows_its_jobs(
    house: House, server: ServerProcess, jd_tables: Path, how: int
) -> None:
    target = f"followed-{how}"
    job = server.do(export(house, target), mode="offasync")[0]
    before = wait(server, job[0], lambda row: row[7].startswith("local-1") and bool(row[12]))
    house.end(how)
    assert drivers(house, job[0])
    again = house.start()
    row = wait(again, job[0], ended)
    assert row[2] == "FINISHED", row
    assert row[7] == before[7]  # the same application
    assert pq.read_table(house.folder / target).num_rows == 13_916
    assert "is followed" in again.do(f"SHOW JOBLOG {job[0]}")[0][0]


def test_other_file_systems_are_read_and_written(tmp_path: Path) -> None:
    """By Hadoop's own viewfs, whose URLs lead to a folder here; s3a and hdfs need their servers."""
    there = tmp_path / "there"
    (there / "in").mkdir(parents=True)
    pq.write_table(pa.table({"id": [1, 2, 3], "s": ["a", None, ""]}), there / "in" / "x.parquet")
    (tmp_path / "house").mkdir()
    house = House(tmp_path / "house")
    link = {"spark.hadoop.fs.viewfs.mounttable.lake.link./night": there.as_uri()}
    server = house.start(
        **link, **{"spark.kerberos.access.hadoopFileSystems": "viewfs://lake/night"}
    )
    try:
        server.do("CREATE DATABASE db")
        server.do("CREATE TABLE t(id bigint, s string)")
        read = "LOAD DATA INFILE 'viewfs://lake/{}' INTO TABLE t OPTIONS(format='parquet'{})"
        linked = read.format("night/in", ", deep_copy=false")
        assert server.do(linked, mode="offsync")[0][2] == "FINISHED"
        out = "SELECT id, s FROM t WHERE id > 1 INTO OUTFILE 'viewfs://lake/night/out' OPTIONS(format='parquet')"
        row = server.do(out, mode="offsync")[0]
        assert row[2] == "FINISHED", row
        assert sorted(map(str, pq.read_table(there / "out").to_pylist())) == [
            "{'id': 2, 's': None}",
            "{'id': 3, 's': ''}",
        ]
        outside = server.do(read.format("elsewhere", ""), mode="offsync")[0]
        assert outside[2] == "FAILED", outside
        assert "outside the other file systems" in server.reason(outside)
    finally:
        house.end()


def test_a_job_that_does_not_fit_says_so(house: House) -> None:
    assert house.server is not None
    house.end()
    server = house.start(**{"spark.driver.memory": "512m"})
    (house.folder / "big").mkdir()
    text = "x" * 150_000_000
    pq.write_table(
        pa.table({"k": [text] * 4}), house.folder / "big" / "rows.parquet", use_dictionary=False
    )
    server.do("CREATE TABLE big(k string)")
    row = server.do(
        f"LOAD DATA INFILE '{house.folder}/big' INTO TABLE big "
        f"OPTIONS(format='parquet', mode='overwrite')",
        mode="offsync",
    )[0]
    shutil.rmtree(house.folder / "big")
    assert row[2] == "FAILED"
    reason = server.reason(row)
    assert "spark.driver.memory" in reason
    assert "raise it" in reason


def test_jd_on_a_cluster_that_loses_a_worker(house: House, jd_tables: Path, tmp_path: Path) -> None:
    cluster = spark_parts.Cluster(tmp_path)
    try:
        house.end()
        server = house.start(
            **{
                "spark.master": cluster.url,
                "spark.executor.memory": "700m",
                "spark.executor.cores": "1",
            }
        )
        job = server.do(export(house, "cluster"), mode="offasync")[0]
        assert job[6] == cluster.url
        wait(server, job[0], lambda row: bool(cluster.executors(2)) and at_work(row))
        cluster.kill_worker(2)
        row = wait(server, job[0], ended)
        assert row[2] == "FINISHED", row
        assert row[7].startswith("app-")
        check_jd(jd_tables, house.folder / "cluster")
    finally:
        cluster.end()
