"""Streamed events: into the online store exactly once, by the id that the client gives each.

`<home>/live/<pipeline>/events.sqlite` remembers each id with the digest of its row. An id is written
there before its row is inserted and marked after, so that after a kill between the two the store
itself is asked whether the row is in it. One writer at a time, across all processes, holds
`events.lock`; the id of an event is forgotten after `live.event_id_days`.

The same file says when each event arrived, which is how the skew ledger tells a late one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.data.declared import Declared
from nightshift.errors import ServiceUnavailable, TerminalError
from nightshift.layout import DAY_MS
from nightshift.live import watermark
from nightshift.openmldb import AbstractClient, quote_literal, quote_name
from nightshift.openmldb.rows import Row, digest, fitted, stored_rows

FILE, LOCK = "events.sqlite", "events.lock"

SETTLE_S = 2.0
"""So long after an insert that was cut off the store is believed about it."""

INSERT_ROWS = 500
"""Rows of one INSERT statement."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    tbl TEXT NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, time_ms INTEGER,
    began_ms INTEGER NOT NULL, done_ms INTEGER, PRIMARY KEY (tbl, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_by_row ON event (tbl, digest);
CREATE INDEX IF NOT EXISTS event_by_age ON event (began_ms);
"""


class ReusedIds(TerminalError):
    """An event's id was given to another row before.

    Attributes:
        rows: places of such events in the batch.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(
            f"event {rows[0]}: its id was used for another row before; give every event an id of "
            "its own"
        )
        self.rows = tuple(rows)


@dataclass(frozen=True)
class Inserted:
    """What became of a batch; `duplicates` were in the store already."""

    inserted: int
    duplicates: int


@dataclass
class _Batch:
    new: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    duplicates: int = 0


class Events:
    """Inserts events of one pipeline.

    Args:
        client: the API server.
        database: of the online tables.
        folder: `live_folder` of the pipeline.
        remember_days: days that an id is remembered.
    """

    def __init__(
        self, client: AbstractClient, database: str, folder: Path, *, remember_days: int = 7
    ) -> None:
        self._client = client
        self._database = database
        self._folder = folder
        self._remember_ms = remember_days * DAY_MS
        self._pruned_ms = 0

    def insert(
        self, table: Declared, ids: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> Inserted:
        """Insert each event whose id is new.

        Args:
            table: the event table.
            ids: an id an event, unique within the table.
            rows: values in the table's order, as the API server takes them (times in
                milliseconds, dates as text).

        Raises:
            ReusedIds: ids were used for other rows; nothing was inserted.
            LockHeld: another batch takes longer than the wait for it.
            ServiceUnavailable: the store does not answer; the same batch may be sent again.
            OpenMLDBError: the store refused the rows.
        """
        if table.time is None:
            raise TerminalError(f"{table.name} is a snapshot; only event tables take events")
        kept = [fitted(row, table.columns) for row in rows]
        digests = [digest(row) for row in kept]
        at = list(table.columns).index(table.time)
        self._folder.mkdir(parents=True, exist_ok=True)
        with files.locked(self._folder / LOCK, timeout_s=10.0), connected(self._folder) as known:
            batch = self._sort(known, table.name, ids, digests)
            here = self._resolve(known, table, batch.pending, kept, digests)
            todo = [*batch.new, *(n for n in batch.pending if n not in here)]
            began = now_ms()
            with known:  # on the disk before a row is sent
                known.executemany(
                    "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, NULL)",
                    [(table.name, ids[n], digests[n], kept[n][at], began) for n in todo],
                )
            # A mark that a power cut takes is made again from the store; the ids above are not.
            known.execute("PRAGMA synchronous=NORMAL")
            for start in range(0, len(todo), INSERT_ROWS):
                part = todo[start : start + INSERT_ROWS]
                self._client.execute(
                    self._database, insert_sql(table, [rows[n] for n in part]), mode="onsync"
                )
                self._mark(known, table.name, [ids[n] for n in part])
            if here:
                self._mark(known, table.name, [ids[n] for n in here])
            times = [kept[n][at] for n in todo if kept[n][at] is not None]
            if times:
                watermark.advance(self._folder, {table.name: max(times)})
            self._prune(known)
        return Inserted(len(todo), batch.duplicates + len(here))

    def _sort(
        self, known: sqlite3.Connection, table: str, ids: Sequence[str], digests: Sequence[bytes]
    ) -> _Batch:
        """Which events are new, which were begun by a writer that was cut off."""
        batch = _Batch()
        reused: list[int] = []
        seen: dict[str, bytes] = {}
        for number, (one, mark) in enumerate(zip(ids, digests, strict=True)):
            if one in seen:
                if seen[one] != mark:
                    reused.append(number)
                batch.duplicates += 1
                continue
            seen[one] = mark
            found = known.execute(
                "SELECT digest, began_ms, done_ms FROM event WHERE tbl = ? AND id = ?", (table, one)
            ).fetchone()
            if found is None:
                batch.new.append(number)
            elif found[0] != mark:
                reused.append(number)
            elif found[2] is not None:
                batch.duplicates += 1
            elif now_ms() - found[1] < SETTLE_S * 1000:
                raise ServiceUnavailable(
                    f"event {one!r}: an earlier try was cut off a moment ago and may still reach "
                    f"the store; send the batch again in {SETTLE_S:g} s"
                )
            else:
                batch.pending.append(number)
        if reused:
            raise ReusedIds(reused)
        return batch

    def _resolve(
        self,
        known: sqlite3.Connection,
        table: Declared,
        pending: Sequence[int],
        rows: Sequence[Row],
        digests: Sequence[bytes],
    ) -> list[int]:
        """Those of the begun events that reached the store before their writer was cut off."""
        if not pending:
            return []
        time_column = str(table.time)
        at = list(table.columns).index(time_column)
        held: Counter[bytes] = Counter()
        for moment in {rows[n][at] for n in pending}:
            stored = stored_rows(
                self._client,
                self._database,
                table.name,
                table.columns,
                time_column,
                moment,
                moment + 1,
            )
            held += Counter(map(digest, stored))
        here = []
        for mark in {digests[n] for n in pending}:
            # Equal rows of other ids are in the store by right.
            (done,) = known.execute(
                "SELECT count(*) FROM event WHERE tbl = ? AND digest = ? AND done_ms IS NOT NULL",
                (table.name, mark),
            ).fetchone()
            spare = max(held[mark] - done, 0)
            here += [n for n in pending if digests[n] == mark][:spare]
        return here

    def _mark(self, known: sqlite3.Connection, table: str, ids: Sequence[str]) -> None:
        moment = now_ms()
        with known:
            known.executemany(
                "UPDATE event SET done_ms = ? WHERE tbl = ? AND id = ?",
                [(moment, table, one) for one in ids],
            )

    def _prune(self, known: sqlite3.Connection) -> None:
        if now_ms() - self._pruned_ms < 3_600_000:
            return
        self._pruned_ms = now_ms()
        with known:
            known.execute(
                "DELETE FROM event WHERE began_ms < ?", (self._pruned_ms - self._remember_ms,)
            )


@contextlib.contextmanager
def connected(folder: Path) -> Iterator[sqlite3.Connection]:
    """The file of events; made where it is not there."""
    connection = sqlite3.connect(folder / FILE, timeout=30.0)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        yield connection
    finally:
        connection.close()


def arrivals(
    folder: Path, table: str, since_ms: int | None = None, until_ms: int | None = None
) -> Mapping[bytes, list[int]]:
    """When the streamed rows of a table arrived: milliseconds by the digest of the row.

    Args:
        folder: `live_folder` of the pipeline.
        table: the event table.
        since_ms: only rows whose own time is not before this.
        until_ms: only rows whose own time is before this.
    """
    if not (folder / FILE).exists():
        return {}
    found: dict[bytes, list[int]] = {}
    with connected(folder) as known:
        for mark, done in known.execute(
            "SELECT digest, done_ms FROM event WHERE tbl = ? AND done_ms IS NOT NULL "
            "AND (? IS NULL OR time_ms >= ?) AND (? IS NULL OR time_ms < ?) ORDER BY done_ms",
            (table, since_ms, since_ms, until_ms, until_ms),
        ):
            found.setdefault(mark, []).append(done)
    return found


def arrivals_of(folder: Path, table: str, marks: Collection[bytes]) -> Mapping[bytes, list[int]]:
    """As `arrivals`, of rows with these digests."""
    if not (folder / FILE).exists():
        return {}
    found: dict[bytes, list[int]] = {}
    # In their order, as the index has them; and by it, which SQLite would not take for so many.
    listed = sorted(marks)
    with connected(folder) as known:
        for start in range(0, len(listed), INSERT_ROWS):
            part = listed[start : start + INSERT_ROWS]
            for mark, done in known.execute(
                "SELECT digest, done_ms FROM event INDEXED BY event_by_row WHERE tbl = ? "
                f"AND done_ms IS NOT NULL AND digest IN ({', '.join('?' * len(part))}) ORDER BY done_ms",
                (table, *part),
            ):
                found.setdefault(mark, []).append(done)
    return found


def came(folder: Path, table: str, since_ms: int, until_ms: int) -> bool:
    """Whether any row of a table whose own time is in a range came as an event."""
    if not (folder / FILE).exists():
        return False
    with connected(folder) as known:
        (found,) = known.execute(
            "SELECT EXISTS (SELECT 1 FROM event WHERE tbl = ? AND done_ms IS NOT NULL "
            "AND time_ms >= ? AND time_ms < ?)",
            (table, since_ms, until_ms),
        ).fetchone()
    return bool(found)


def insert_sql(table: Declared, rows: Sequence[Sequence[Any]]) -> str:
    """An INSERT of rows in the table's order."""
    names = ", ".join(quote_name(name) for name in table.columns)
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return f"INSERT INTO {quote_name(table.name)} ({names}) VALUES {values}"


def literal(value: Any) -> str:
    """A value as the API server's JSON takes it, as a literal of SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote_literal(value) if isinstance(value, str) else repr(value)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
