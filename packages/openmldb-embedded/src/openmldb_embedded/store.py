"""The data folder: a state in memory, a log of its changes, snapshots to start from.

Layout of the folder::

    LOCK                        held (flock) by the one server that uses the folder
    log/00000007.log            changes since the snapshot (see wal.py)
    log.head                    number of the newest log
    snapshots/00000007.json     the state at the start of log 7, and a checksum; names the segments
    segments/<name>-<checksum>.arrow   online rows, written once
    offline/<table id>/*.parquet   deep copies of LOAD DATA
    staging/                    what jobs have not finished; emptied at start
    jobs/<id>.log               what SHOW JOBLOG shows
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from openmldb_sql.errors import SqlError
from openmldb_sql.types import Schema, SqlType

from openmldb_embedded.catalog import OfflinePart, Record, State, Table
from openmldb_embedded.columns import Batch
from openmldb_embedded.durable import sync, write_durably
from openmldb_embedded.wal import Log, drop_before, newest_file, read_log

LOG = logging.getLogger("openmldb_embedded")

SNAPSHOT_LOG_BYTES = 32 * 2**20
"""A snapshot is taken once the log has grown beyond this."""
SNAPSHOT_SEGMENTS = 256
"""Or once it names so many segments, which are files that only the next snapshot lets go of."""
MAX_SEGMENTS = 16
"""A table of more segments is rewritten into one by the next snapshot."""


class StoreError(SqlError):
    """The data folder cannot be used."""

    default_code = 2001


def write_segment(table: pa.Table, path: Path) -> None:
    """Write rows as one Arrow file, strings as dictionaries, and fsync it."""
    columns = []
    for column in table.combine_chunks().columns:
        encoded = column
        if pa.types.is_string(column.type):
            encoded = column.dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], type=encoded.type)
        columns.append(encoded)
    whole = pa.Table.from_arrays(columns, names=table.column_names)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_segment(path: Path, schema: Schema) -> Batch:
    """Read what ``write_segment`` wrote."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    return Batch.from_arrow(table, schema.fields)


def checksum(path: Path) -> str:
    """CRC-32 of a file, as the names of segments end with it."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found = zlib.crc32(piece, found)
    return f"{found:08x}"


class Store:
    """The durable state. ``commit`` is thread-safe; readers take what they need from ``state``."""

    def __init__(
        self,
        data: Path,
        snapshot_bytes: int = SNAPSHOT_LOG_BYTES,
        offline_prefix: Path | None = None,
        *,
        repair: bool = False,
    ) -> None:
        self._repair = repair
        self.data = data.absolute()
        self.offline = self.data / "offline"
        if offline_prefix is not None:
            # A folder of our own below it: what nothing names in it is removed at start.
            own = hashlib.sha256(str(self.data.resolve()).encode()).hexdigest()[:12]
            self.offline = offline_prefix / f"openmldb-{own}"
        self.snapshot_bytes = snapshot_bytes
        self.lock = threading.RLock()
        try:
            for name in ("log", "snapshots", "segments", "jobs"):
                (self.data / name).mkdir(parents=True, exist_ok=True)
            self.offline.mkdir(parents=True, exist_ok=True)
            self._guard = (self.data / "LOCK").open("a+")
        except OSError as error:
            raise StoreError(f"the data folder {data} cannot be used: {error}") from error
        self._take_guard()
        shutil.rmtree(self.data / "staging", ignore_errors=True)
        (self.data / "staging").mkdir()
        self.state = State(self._whole_segment)
        self._snapshotting = threading.Lock()
        self._adopting: set[str] = set()
        self._snapshotted: set[str] = set()
        """Segments that the snapshot names: the next start reads them, dropped since or not."""
        self.superseded: list[tuple[OfflinePart, ...]] = []
        """Offline parts that a commit under way replaces; removed once it is durable."""
        try:
            self._recover()
        except BaseException:
            self._guard.close()
            raise

    def _take_guard(self) -> None:
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._guard.seek(0)
            holder = self._guard.read().strip() or "unknown"
            raise StoreError(
                f"the data folder {self.data} is in use by another server (process {holder}): "
                f"stop it or choose another --data"
            ) from None
        self._guard.truncate(0)
        self._guard.write(f"{os.getpid()}\n")
        self._guard.flush()

    def _segment(self, name: str) -> Path:
        return self.data / "segments" / name

    def _whole_segment(self, name: str, schema: Schema) -> Batch:
        """Read a segment of ours.

        Raises:
            StoreError: It is gone, or not as it was written.
        """
        path = self._segment(name)
        # A data folder that an earlier server wrote has names without one.
        _, _, written = path.stem.partition("-")
        try:
            if written and checksum(path) != written:
                raise StoreError(
                    f"the segment {path} is not as it was written (its checksum differs): the disk "
                    f"or something else changed it; restore the data folder from a copy"
                )
            return read_segment(path, schema)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"the segment {path} cannot be read ({error}): restore the data folder from a copy"
            ) from error

    def _snapshots(self) -> list[tuple[int, Path]]:
        folder = self.data / "snapshots"
        return sorted((int(p.stem), p) for p in folder.glob("*.json") if p.stem.isdecimal())

    def _recover(self) -> None:
        first = 0
        snapshots = self._snapshots()
        if snapshots:
            first, path = snapshots[-1]
            try:
                dump = _unsealed(path.read_bytes())
                self.state.load(dump)
                self._snapshotted = _segments_of(dump)
            except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
                raise StoreError(
                    f"the snapshot {path} cannot be read ({error}): restore the data folder from "
                    f"a copy"
                ) from error
        folder = self.data / "log"
        for record in read_log(folder, first, snapshot=bool(snapshots), repair=self._repair):
            self.state.apply(record)
        self.log = Log(folder, newest_file(folder, first))
        drop_before(self.data / "log", first)
        self._sweep()

    def commit(self, record: Record | Callable[[State], Record], batch: Batch | None = None) -> Any:
        """Apply a change and return once it is on the disk.

        Args:
            record: The change, or what makes it of the state at that moment.
            batch: The content of the segment that the change names, if it is at hand.

        Raises:
            SqlError: The change was refused (nothing happened), or the log cannot be written.
        """
        with self.lock:
            self.log.check()
            made = record(self.state) if callable(record) else record
            told = self.state.apply(made, batch)
            number = self.log.append(made)
            self._adopting.discard(made.get("file", ""))
            superseded, self.superseded = self.superseded, []
        self.log.sync(number)
        for parts in superseded:
            self.discard_offline(parts)
        if self.log.size > self.snapshot_bytes or len(self.state.logged) > SNAPSHOT_SEGMENTS:
            self.snapshot()
        return told

    def staging(self) -> Path:
        """A fresh folder for something unfinished, on the data folder's file system."""
        folder = self.data / "staging" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder as ``staging`` makes it, removed at the end."""
        folder = self.staging()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt_segment(self, staged: Path) -> str:
        """Move a staged segment to its place and return its name."""
        name = f"{uuid.uuid4().hex}-{checksum(staged)}.arrow"
        with self.lock:
            self._adopting.add(name)  # before it is there: no sweep may take it
            staged.rename(self._segment(name))
        sync(self.data / "segments")
        return name

    def adopt_offline(self, table: Table, staged: list[Path]) -> list[str]:
        """Give staged parquet files a second name in a table's offline folder.

        The first names stay: a load that is followed after a restart may come here again.

        Returns:
            Paths below the data folder, or absolute ones where the offline data lies elsewhere.
        """
        folder = self.offline / str(table.id)
        folder.mkdir(exist_ok=True)
        names = []
        for path in staged:
            target = folder / f"{uuid.uuid4().hex}.parquet"
            try:
                target.hardlink_to(path)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(path, target)
                with target.open("rb") as file:
                    os.fsync(file.fileno())
            inside = target.is_relative_to(self.data)
            names.append(str(target.relative_to(self.data) if inside else target))
        sync(folder)
        sync(folder.parent)
        return names

    # ---------------------------------------------------------------- snapshots

    def snapshot(self) -> None:
        """Write what the log says into a snapshot and start a new log.

        Writers wait only while the tables' new rows are taken, not while they are written.
        """
        if not self._snapshotting.acquire(blocking=False):
            return
        try:
            with self.lock:
                number = self.log.rotate()
                dump = self.state.dump()
                work = list(self._unsaved())
                superseded, self.state.logged = self.state.logged, set()
            try:
                self._write_snapshot(number, dump, work)
            except BaseException:
                with self.lock:
                    self.state.logged |= superseded
                    for table, *_ in work:
                        table.rewritten = True
                raise
            with self.lock:
                self._adopting.difference_update(*(table.segments for table, *_ in work))
                self._sweep_segments()
                self._sweep_job_logs()
        except (OSError, pa.ArrowException) as error:
            # The log still holds everything: a snapshot is only for a quick start.
            LOG.warning("no snapshot could be written in %s: %s", self.data, error)
        finally:
            self._snapshotting.release()

    def _write_snapshot(
        self, number: int, dump: Record, work: list[tuple[Table, Batch, int, list[str]]]
    ) -> None:
        records = {record["id"]: record for record in dump["tables"]}
        for table, rows, start, kept in work:
            if rows.num_rows:
                with self.scratch() as folder:
                    write_segment(_arrow(rows), folder / "rows.arrow")
                    kept = [*kept, self.adopt_segment(folder / "rows.arrow")]
            records[table.id]["segments"] = kept
            table.segments = kept
            table.persisted = start + rows.num_rows
        payload = _sealed(dump)
        write_durably(self.data / "snapshots" / f"{number:08d}.json", payload)
        self._snapshotted = _segments_of(dump)
        for old, path in self._snapshots():
            if old < number:
                path.unlink()
        drop_before(self.data / "log", number)

    def _unsaved(self) -> Iterator[tuple[Table, Batch, int, list[str]]]:
        """For each table with rows not in its segments: those rows, and the segments to keep."""
        for table in self.state.by_id.values():
            whole = table.rewritten or len(table.segments) >= MAX_SEGMENTS
            start = 0 if whole else table.persisted
            if whole or table.memory.num_rows > table.persisted:
                rows = table.memory.scan()
                table.rewritten = False
                yield (
                    table,
                    rows.slice(start, rows.num_rows),
                    start,
                    [] if whole else list(table.segments),
                )

    def _sweep_segments(self) -> None:
        """Remove segments that no table, no snapshot and no log names."""
        named = {name for table in self.state.by_id.values() for name in table.segments}
        named |= self.state.logged | self._adopting | self._snapshotted
        for path in (self.data / "segments").iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove, at start, every file that nothing names."""
        self._sweep_segments()
        for folder in self.offline.iterdir():
            table = self.state.by_id.get(int(folder.name)) if folder.name.isdecimal() else None
            if table is None:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            kept = {Path(part.path).name for part in table.parts if not part.link}
            for path in folder.iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)
        self._sweep_job_logs()

    def _sweep_job_logs(self) -> None:
        """Remove the logs of jobs that were forgotten; a job's log may be there before it."""
        for path in (self.data / "jobs").glob("*.log"):
            number = int(path.stem) if path.stem.isdecimal() else self.state.next_job
            if number < self.state.next_job and number not in self.state.jobs:
                path.unlink(missing_ok=True)

    def discard_offline(self, parts: Iterable[OfflinePart]) -> None:
        """Remove the files of parts that a table has no more; links' targets are not ours."""
        for part in parts:
            if not part.link:
                (self.data / part.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Take a snapshot and let go of the folder."""
        with contextlib.suppress(SqlError):
            if self.log.size:
                self.snapshot()
        self.log.close()
        self._guard.close()


def _sealed(dump: Record) -> bytes:
    """A snapshot's text: a line of JSON, and one of its checksum."""
    payload = json.dumps(dump, separators=(",", ":")).encode()
    return payload + f"\n{zlib.crc32(payload):08x}\n".encode()


def _unsealed(text: bytes) -> Record:
    """What ``_sealed`` was given; the snapshots of an earlier server have no checksum.

    Raises:
        ValueError: It is not as it was written.
    """
    payload, _, seal = text.partition(b"\n")
    if seal and seal.strip() != f"{zlib.crc32(payload):08x}".encode():
        raise ValueError("its checksum differs")
    dump: Record = json.loads(payload)
    return dump


def _segments_of(dump: Record) -> set[str]:
    """The segments that a snapshot names."""
    return {name for table in dump["tables"] for name in table["segments"]}


def _arrow(batch: Batch) -> pa.Table:
    """A batch as Arrow data, strings as dictionaries."""
    arrays = []
    for (_, kind), column in zip(batch.schema, batch.columns, strict=True):
        array = column.to_arrow()
        arrays.append(array.dictionary_encode() if kind is SqlType.STRING else array)
    return pa.Table.from_arrays(arrays, names=[name for name, _ in batch.schema])
