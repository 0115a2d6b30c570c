"""SELECT INTO beyond the job's memory: in parts, and refused only where one key is too large."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from openmldb_embedded import export, load, spill, worker
from openmldb_embedded.errors import ResourceLimitError
from openmldb_embedded.extract import counts
from openmldb_sql.types import SqlType, schema_of

from testing.embedded import ServerProcess

SCHEMA = schema_of([("id", SqlType.INT64), ("k", SqlType.STRING), ("ts", SqlType.TIMESTAMP)])
ROWS = 3_000
QUERY = (
    "SELECT id, k, count(id) OVER w AS n, ts FROM t "
    "WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
)


@pytest.fixture(scope="module", params=["parquet", "csv"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(5)
    table = pa.table(
        {
            "id": np.arange(ROWS),
            "k": [f"user {n}" for n in random.integers(0, 200, ROWS)],
            "ts": pa.array(random.integers(0, 9_000, ROWS)),
        }
    )
    path = tmp_path_factory.mktemp("source") / f"t.{request.param}"
    if request.param == "csv":
        pc.write_csv(table, path)
    else:
        table = table.set_column(2, "ts", table.column("ts").cast(pa.timestamp("ms")))
        pq.write_table(table, path)
    return path


def run(source: Path, staging: Path, memory: int, sql: str = QUERY, **options: object) -> Path:
    staging.mkdir()
    reading = load.LoadOptions.of({"format": source.suffix[1:]})
    tables = (worker.TableData("db", "t", SCHEMA, (worker.Source((str(source),), reading),)),)
    task = worker.QueryTask(
        sql, "db", tables, str(staging), export=export.ExportOptions.of(dict(options))
    )
    outcome = worker.perform(task, memory)
    assert outcome.rows == ROWS
    assert (outcome.parts > 1) == bool(memory)
    assert [path.name for path in staging.iterdir()] == ["parts"]
    assert (staging / "parts" / "_SUCCESS").exists()
    return staging / "parts"


def test_parts_hold_the_rows_of_the_whole(source: Path, tmp_path: Path) -> None:
    whole = pq.read_table(run(source, tmp_path / "whole", 0, format="parquet"))
    assert whole.column("id").to_pylist() == list(range(ROWS))
    parts = pq.read_table(run(source, tmp_path / "parts", 60_000, format="parquet"))
    assert parts.schema == whole.schema
    assert parts.column("id").to_pylist() != list(range(ROWS))
    assert parts.sort_by("id") == whole


@pytest.mark.parametrize("coalesce", [0, 1, 3])
def test_text_has_its_header_once_a_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coalesce: int
) -> None:
    monkeypatch.setattr(export, "PART_ROWS", 1_000)
    monkeypatch.setattr(export, "_GROUP_ROWS", 100)
    lines = {}
    for name, memory in (("whole", 0), ("parts", 60_000)):
        files = sorted(run(source, tmp_path / name, memory, coalesce=coalesce).glob("part-*"))
        assert len(files) == (coalesce or 3)
        texts = [path.read_text().splitlines() for path in files]
        assert all(text[0] == "id,k,n,ts" for text in texts)
        lines[name] = sorted(line for text in texts for line in text[1:])
    assert lines["parts"] == lines["whole"]
    assert len(lines["whole"]) == ROWS


def test_an_empty_result(source: Path, tmp_path: Path) -> None:
    empty = source.with_name(f"none{source.suffix}")
    if source.suffix == ".parquet":
        pq.write_table(pq.read_table(source).slice(0, 0), empty)
    else:
        empty.write_text("id,k,ts\n")
    reading = load.LoadOptions.of({"format": source.suffix[1:]})
    tables = (worker.TableData("db", "t", SCHEMA, (worker.Source((str(empty),), reading),)),)
    options = export.ExportOptions.of({"format": "parquet"})
    task = worker.QueryTask(QUERY, "db", tables, str(tmp_path), export=options)
    assert worker.perform(task, 1).rows == 0
    found = pq.read_table(tmp_path / "parts")
    assert found.num_rows == 0
    assert found.column_names == ["id", "k", "n", "ts"]


def test_a_full_disk(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: spill.Spill) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spill.Spill, "flush", full)
    with pytest.raises(ResourceLimitError, match="the disk is full.*make room") as refused:
        run(source, tmp_path / "staging", 60_000, format="parquet")
    assert str(tmp_path) in str(refused.value)
    assert [path.name for path in (tmp_path / "staging").iterdir()] == ["parts"]
    assert not (tmp_path / "staging" / "parts" / "_SUCCESS").exists()


def test_a_disk_that_the_result_fills(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(export, "stage", full)
    with pytest.raises(
        ResourceLimitError,
        match=f"disk is full: the result is written to {tmp_path}, .*; make room",
    ):
        run(source, tmp_path / "staging", 0)


def test_parts_grow_with_the_estimate() -> None:
    gib = 2**30
    assert counts(gib, 4 * gib)[0] == 1
    assert counts(gib, 4 * gib)[1] > 1  # where the estimate was too low
    few, more = counts(8 * gib, 4 * gib)
    assert 8 / few < 4
    assert more > few
    assert max(counts(10**18, gib)) <= 1_000


COPIES = 500_000


@pytest.fixture
def loaded(new_server: Callable[..., ServerProcess]) -> Callable[[np.ndarray], ServerProcess]:
    def load_keys(keys: np.ndarray) -> ServerProcess:
        server = new_server("--job-memory", "160").start()
        folder = server.data.parent
        table = pa.table({"id": np.arange(COPIES), "k": pa.array(keys.astype(np.int64))})
        pq.write_table(table, folder / "t.parquet")
        server.do("CREATE DATABASE db")
        server.do("CREATE TABLE t(id bigint, k bigint, INDEX(key=k, ts=id))")
        server.do(
            f"LOAD DATA INFILE '{folder}/t.parquet' INTO TABLE t OPTIONS(format='parquet')",
            mode="offsync",
        )
        return server

    return load_keys


WIDE = ", ".join(f"count(id) OVER w{n} AS c{n}, max(id) OVER w{n} AS m{n}" for n in range(12))
WINDOWS = ", ".join(
    f"w{n} AS (PARTITION BY k ORDER BY id ROWS BETWEEN {n} PRECEDING AND CURRENT ROW)"
    for n in range(12)
)


def test_what_memory_does_not_hold(
    loaded: Callable[[np.ndarray], ServerProcess],
) -> None:
    server = loaded(np.arange(COPIES) % 5_000)
    target = server.data.parent / "out"
    sql = f"SELECT id, k, {WIDE} FROM t WINDOW {WINDOWS} INTO OUTFILE '{target}'"
    job = server.do(f"{sql} OPTIONS(format='parquet')", mode="offsync")[0]
    assert job[2] == "FINISHED", job
    assert " parts: memory did not hold the whole" in server.do(f"SHOW JOBLOG {job[0]}")[0][0]
    found = pq.read_table(target).sort_by("id")
    assert found.num_rows == COPIES
    ids = np.arange(COPIES)
    assert (found.column("c7").to_numpy() == np.minimum(ids // 5_000 + 1, 8)).all()
    assert (found.column("m3").to_numpy() == ids).all()
    assert not list((server.data / "staging").iterdir())
    assert sorted(path.name for path in target.parent.iterdir() if path.name.startswith(".")) == []


def test_a_key_that_memory_does_not_hold(
    loaded: Callable[[np.ndarray], ServerProcess],
) -> None:
    server = loaded(np.where(np.arange(COPIES) % 10, 0, np.arange(COPIES)))
    target = server.data.parent / "out"
    sql = f"SELECT id, k, {WIDE} FROM t WINDOW {WINDOWS} INTO OUTFILE '{target}'"
    job = server.do(f"{sql} OPTIONS(format='parquet')", mode="offsync")[0]
    assert job[2] == "FAILED"
    said = server.do(f"SHOW JOBLOG {job[0]}")[0][0]
    assert "about 90% of 500000 rows have one k" in said, said
    assert "--job-memory" in said
    assert not target.exists()
