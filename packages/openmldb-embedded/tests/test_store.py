"""The store in one process: snapshots, segments, sweeps, and a disk that fails."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from openmldb_embedded import store as store_module
from openmldb_embedded.catalog import schema_record
from openmldb_embedded.columns import Batch
from openmldb_embedded.service.collector import Collector
from openmldb_embedded.store import Store, StoreError, read_segment, write_segment
from openmldb_sql.errors import SqlError
from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType

SCHEMA = Schema(
    (ColumnDef("k", SqlType.STRING), ColumnDef("v", SqlType.INT64)),
    (IndexDef(("k",), "v", name="INDEX_0"),),
)


def create(store: Store, name: str) -> int:
    number = store.state.next_table
    store.commit(
        {
            "op": "create_table",
            "id": number,
            "db": "db",
            "name": name,
            "schema": schema_record(SCHEMA),
            "options": {},
        }
    )
    return number


def rows(store: Store, name: str) -> list[Any]:
    return store.state.table("db", name).memory.scan().to_rows()


def filled(data: Path) -> Path:
    """A data folder whose snapshot names a segment of two rows; returns the segment."""
    store = Store(data)
    store.commit({"op": "create_database", "db": "db"})
    number = create(store, "t")
    store.commit({"op": "insert", "id": number, "rows": [["a", 1], ["b", 2]]})
    store.close()
    (segment,) = (data / "segments").iterdir()
    return segment


def test_a_flipped_bit_of_a_segment_or_a_snapshot_is_seen_at_start(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    (snapshot,) = (tmp_path / "snapshots").glob("*.json")
    for path in (segment, snapshot):
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 50)):
            damaged = bytearray(whole)
            damaged[place] ^= 4
            path.write_bytes(damaged)
            with pytest.raises(StoreError, match=path.name):
                Store(tmp_path)
        path.write_bytes(whole)
    store = Store(tmp_path)
    assert rows(store, "t") == [("a", 1), ("b", 2)]
    store.close()


def test_a_data_folder_without_checksums_is_read(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    bare = f"{segment.stem.partition('-')[0]}.arrow"
    segment.rename(segment.with_name(bare))
    (snapshot,) = (tmp_path / "snapshots").glob("*.json")
    text = snapshot.read_text().splitlines()[0].replace(segment.name, bare)
    snapshot.write_text(text)
    store = Store(tmp_path)
    assert rows(store, "t") == [("a", 1), ("b", 2)]
    store.close()


def test_a_segment_reads_back_every_type(tmp_path: Path) -> None:
    names = ["BOOL", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "DATE", "TIMESTAMP"]
    schema = Schema(tuple(ColumnDef(name, SqlType[name]) for name in names))
    given = [
        (True, 1, 2, 3, 0.5, 1.5, "é", dt.date(1969, 12, 31), -1),
        (None,) * 9,
        (False, -1, -2, -3, float("inf"), float("-inf"), "", dt.date(9999, 1, 1), 2**50),
    ]
    write_segment(Batch.from_rows(schema.fields, given).to_arrow(), tmp_path / "x")
    assert read_segment(tmp_path / "x", schema).to_rows() == given


def test_a_broken_snapshot_is_told_and_not_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    store.commit({"op": "create_database", "db": "db"})
    store.close()
    (snapshot,) = (tmp_path / "d" / "snapshots").iterdir()
    snapshot.write_bytes(b"{")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / "d")
    assert snapshot.read_bytes() == b"{"


def test_a_refused_change_leaves_no_trace(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    store.commit({"op": "create_database", "db": "db"})
    create(store, "t")
    before = json.dumps(store.state.dump())
    for record in (
        {"op": "create_database", "db": "db"},
        {"op": "drop_database", "db": "db"},
        {"op": "drop_table", "db": "db", "name": "x"},
        {"op": "drop_index", "id": 1, "name": "INDEX_0"},
        {"op": "insert", "id": 9, "rows": []},
        {"op": "drop_deployment", "db": "db", "name": "x"},
    ):
        with pytest.raises(SqlError):
            store.commit(record)
    assert json.dumps(store.state.dump()) == before
    store.close()


class StoreMachine(RuleBasedStateMachine):
    """Changes, snapshots, crashes and clean ends in any order, against a plain dict of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-machine-"))
        self.store = Store(self.folder / "d")
        self.store.commit({"op": "create_database", "db": "db"})
        self.model: dict[str, list[tuple[str, int]]] = {}
        self.number = 0

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(name=st.sampled_from("ab"))
    def make(self, name: str) -> None:
        if name not in self.model:
            create(self.store, name)
            self.model[name] = []

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(1, 100))
    def insert(self, data: Any, count: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        fresh = [("x" if n % 3 else "y", self.number + n) for n in range(count)]
        self.number += count
        table = self.store.state.table("db", name)
        self.store.commit({"op": "insert", "id": table.id, "rows": [list(r) for r in fresh]})
        self.model[name] += fresh

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(1, 200))
    def load(self, data: Any, count: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        fresh = [("z", self.number + n) for n in range(count)]
        self.number += count
        table = self.store.state.table("db", name)
        staged = self.store.staging() / "rows"
        write_segment(
            pa.table(
                {"k": [k for k, _ in fresh], "v": pa.array([v for _, v in fresh], pa.int64())}
            ),
            staged,
        )
        segment = self.store.adopt_segment(staged)
        self.store.commit({"op": "segment", "id": table.id, "file": segment})
        self.model[name] += fresh

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        key = data.draw(st.sampled_from("xyz"))
        low = data.draw(st.integers(0, max(1, self.number)))
        table = self.store.state.table("db", name)
        record = {"equals": {"k": key}, "ts": "v", "min": low, "max": None}
        self.store.commit({"op": "delete", "id": table.id, **record})
        self.model[name] = [r for r in self.model[name] if not (r[0] == key and r[1] >= low)]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), drop=st.booleans())
    def clear(self, data: Any, drop: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        if drop:
            self.store.commit({"op": "drop_table", "db": "db", "name": name})
            del self.model[name]
        else:
            table = self.store.state.table("db", name)
            self.store.commit({"op": "truncate", "id": table.id})
            self.model[name] = []

    @rule()
    def snapshot(self) -> None:
        self.store.snapshot()

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        if clean:
            self.store.close()
        else:  # as after SIGKILL: nothing more is written
            self.store.log.close()
            self.store._guard.close()
        self.store = Store(self.folder / "d")

    @invariant()
    def the_same(self) -> None:
        found = {name: rows(self.store, name) for name in self.store.state.databases["db"]}
        assert found == self.model


StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestStoreMachine = StoreMachine.TestCase


def test_snapshots_leave_no_file_behind(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    store.commit({"op": "create_database", "db": "db"})
    number = create(store, "t")
    for n in range(40):
        store.commit({"op": "insert", "id": number, "rows": [["x", n]]})
        store.snapshot()
    assert len(list((tmp_path / "d" / "segments").iterdir())) <= store_module.MAX_SEGMENTS + 1
    assert len(list((tmp_path / "d" / "snapshots").iterdir())) == 1
    assert len(list((tmp_path / "d" / "log").iterdir())) == 1
    store.commit({"op": "drop_table", "db": "db", "name": "t"})
    store.close()
    assert not list((tmp_path / "d" / "segments").iterdir())


def test_a_disk_that_is_full_at_a_snapshot_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "d")
    store.commit({"op": "create_database", "db": "db"})
    number = create(store, "t")
    store.commit({"op": "insert", "id": number, "rows": [["x", 1]]})

    def full(table: pa.Table, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "write_segment", full)
        store.snapshot()
    store.commit({"op": "insert", "id": number, "rows": [["x", 2]]})
    store.log.close()
    store._guard.close()
    again = Store(tmp_path / "d")
    assert rows(again, "t") == [("x", 1), ("x", 2)]
    again.close()
    assert rows(Store(tmp_path / "d"), "t") == [("x", 1), ("x", 2)]


def expiring(store: Store, *indexes: IndexDef) -> int:
    number = store.state.next_table
    schema = Schema(
        (ColumnDef("k", SqlType.STRING), ColumnDef("g", SqlType.STRING),
         ColumnDef("at", SqlType.TIMESTAMP)),
        indexes,
    )  # fmt: skip
    store.commit(
        {"op": "create_table", "id": number, "db": "db", "name": f"t{number}",
         "schema": schema_record(schema), "options": {}}
    )  # fmt: skip
    return number


DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("indexes", "kept"),
    [
        ([IndexDef(("k",), "at", "absolute", 5 * DAY_MS)], {1, 2, 3, 4}),
        ([IndexDef(("k",), "at", "latest", 0, 2)], {1, 2, 3, 4}),
        ([IndexDef(("k",), "at", "absandlat", 2 * DAY_MS, 3)], {1, 2, 3, 4, 5, 6}),
        ([IndexDef(("k",), "at", "absorlat", 4 * DAY_MS, 3)], {1, 2, 3}),
        # A row goes only once no index keeps it.
        ([IndexDef(("k",), "at", "absolute", 3 * DAY_MS), IndexDef(("g",), "at", "latest", 0, 7)],
         {1, 2, 3, 4, 5, 6, 7}),
        ([IndexDef(("k",), "at", "absolute", 3 * DAY_MS), IndexDef(("g",), "at")],
         set(range(1, 9))),
    ],
)  # fmt: skip
def test_what_no_index_keeps_is_collected_and_stays_gone(
    tmp_path: Path, indexes: list[IndexDef], kept: set[int]
) -> None:
    store = Store(tmp_path)
    store.commit({"op": "create_database", "db": "db"})
    number = expiring(store, *(replace(i, name=f"INDEX_{n}") for n, i in enumerate(indexes)))
    now = int(time.time() * 1000)
    # Row n is n days and an hour old; odd ones are a's, even ones b's.
    made = [["ab"[(n + 1) % 2], "g", now - n * DAY_MS - DAY_MS // 24] for n in range(8, 0, -1)]
    store.commit({"op": "insert", "id": number, "rows": made})
    memory = store.state.by_id[number].memory
    index = memory.ensure_index(("k",), "at")
    before = [index.window(key) for key in "ab"]
    seen = [rows[start:] for _, rows, start, _ in before]
    collector = Collector(store, every_s=0.0)
    assert collector.look() == 8 - len(kept)
    ages = {(now - row[2]) // DAY_MS for row in memory.scan().to_rows()}
    assert ages == kept
    after = [index.window(key) for key in "ab"]
    assert [rows[start:] for _, rows, start, _ in after] == seen
    assert collector.look() == 0
    store.close()
    again = Store(tmp_path)
    assert sorted(again.state.by_id[number].memory.scan().to_rows()) == sorted(
        memory.scan().to_rows()
    )
    again.close()


def test_a_store_of_nights_keeps_one_snapshot_of_a_table_and_few_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit({"op": "create_database", "db": "db"})
    number = expiring(store, IndexDef(("k",), None, "latest", 0, 1, "INDEX_0"))
    collector = Collector(store)
    fields = store.state.by_id[number].schema.fields
    for night in range(60):
        batch = Batch.from_rows(fields, [(str(n), str(night), night) for n in range(4000)])
        path = store.staging() / "rows.arrow"
        write_segment(batch.to_arrow(), path)
        name = store.adopt_segment(path)
        store.commit({"op": "segment", "id": number, "file": name}, batch)
        collector.look()
        assert store.state.by_id[number].memory.num_rows <= 3 * 4000
        assert len(list((tmp_path / "segments").iterdir())) <= 16
    newest = store.state.by_id[number].memory.visible().to_rows()
    assert len(newest) == 4000
    assert {row[1] for row in newest} == {"59"}
    store.close()
