"""Make the online store hold a day's rows exactly as the partition has them.

A partition may be corrected after its rows were loaded, rows may have been streamed in before it
was written, and a load may have been cut off. So a day is compared row by row, by digests, and
what is missing is added, what is not in the partition removed, what changed replaced. Nothing is
decided while the table's tablets are away or still loading: the status is asked for and two
readings must agree, since a cluster answers partial counts without an error meanwhile.

OpenMLDB deletes by `key = value AND ts = time` over an index, or a range of a `ts` column. A row
that has to go takes the others of its key and time along, which are added again. Where a key
cannot be written as a literal, or most of a day differs, the whole day is replaced.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time as clock
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from openmldb_sql.types import IndexDef

from nightshift import files, layout
from nightshift.data import reading
from nightshift.data.declared import Declared
from nightshift.errors import ContractError, NightshiftError
from nightshift.openmldb.client import AbstractClient
from nightshift.openmldb.following import finish, submit_once
from nightshift.openmldb.health import Patience, delete, settled
from nightshift.openmldb.rows import (
    Row,
    digest,
    in_range,
    partition_rows,
    stored_counts,
    stored_rows,
)
from nightshift.openmldb.text import load_data, quote_literal, quote_name
from nightshift.zones import Zone

WHOLE_DAY_SHARE: Final = 0.5
"""From this share of differing rows on, the day is replaced as a whole."""

SOON_MS: Final = 6 * 3_600_000
"""A day whose first rows expire so soon counts as expired: they could go while it is compared."""

MOST_DELETES: Final = 2_000
"""So many single deletes at most; more differing keys replace the day as a whole."""

_T = TypeVar("_T")
Known = MutableMapping[str, str]
"""By `table/day` the fingerprint of files and row count when both sides were last seen equal."""


@dataclass(frozen=True)
class DayReport:
    """What became of one day of one table.

    Attributes:
        how: `absent` (the store holds nothing of it, or there is no partition), `unchanged` (as
            when last seen equal), `equal`, `rows` (single rows were changed), `day` (all of it
            was replaced), or `skipped`.
    """

    table: str
    day: str
    partition_rows: int
    store_rows: int
    how: str
    added: int = 0
    removed: int = 0
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a report in JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class Waiting:
    """How long to wait for a healthy table, a job and an agreement of two readings.

    Attributes:
        doubt_s: how long fewer rows than were seen before are not believed: tables of a tablet
            that was started again load for up to two minutes, and answer in part meanwhile.
    """

    healthy_s: float = 300.0
    doubt_s: float = 120.0
    job_s: float = 3600.0
    between_s: float = 0.2
    poll_s: float = 1.0
    settle_s: float = 2.0

    @property
    def patience(self) -> Patience:
        """What of it concerns a table that comes to rest."""
        return Patience(self.healthy_s, self.between_s, self.poll_s)


def reconcile(
    client: AbstractClient,
    database: str,
    *,
    data: Path,
    declared: Mapping[str, Declared],
    days: Mapping[str, Sequence[dt.date]],
    work: Path,
    known: Known | None = None,
    thorough: bool = False,
    waiting: Waiting = Waiting(),
    sleep: Callable[[float], None] = clock.sleep,
) -> list[DayReport]:
    """Bring days of event tables into agreement with their partitions.

    Args:
        client: the API server.
        database: the online tables' database.
        data: root of the source partitions.
        declared: the tables with their columns and indexes.
        days: the days to compare, by event table.
        work: folder that OpenMLDB may read, for the rows to add; it is left empty.
        known: what was equal before, which is brought up to date; days whose files and count are
            as then are not read again.
        thorough: read those, too.
        waiting: time limits.
        sleep: as `time.sleep`.

    Returns:
        One report a day. Days of which the store holds nothing are `absent`: loading them is the
        business of `plan_online_loads`.

    Raises:
        ServiceUnavailable: the table's tablets stayed away, or its counts kept changing.
        ContractError: the store still differs from a partition after it was corrected.
        DataError: a partition cannot be read.
    """
    made: list[DayReport] = []
    seen: Known = {} if known is None else known
    for table, wanted in days.items():
        one = _Table(client, database, declared[table], data, work, waiting, sleep)
        counts = one.counts(wanted, seen)
        made += [
            one.day(day, count, seen, thorough=thorough)
            for day, count in zip(wanted, counts, strict=True)
        ]
    return made


def reload(
    client: AbstractClient,
    database: str,
    *,
    data: Path,
    declared: Mapping[str, Declared],
    table: str,
    day: dt.date,
    work: Path,
    waiting: Waiting = Waiting(),
    sleep: Callable[[float], None] = clock.sleep,
) -> DayReport:
    """`reconcile` of one day, which is loaded where the store holds nothing of it.

    Raises:
        ServiceUnavailable, ContractError, DataError: as `reconcile`.
    """
    one = _Table(client, database, declared[table], data, work, waiting, sleep)
    (count,) = one.counts([day], {})
    return one.day(day, count, {}, thorough=True, load_absent=True)


def rewrite(
    client: AbstractClient,
    database: str,
    *,
    declared: Declared,
    day: dt.date,
    keep: Callable[[Row], bool],
    work: Path,
    waiting: Waiting = Waiting(),
    sleep: Callable[[float], None] = clock.sleep,
) -> tuple[int, int]:
    """Remove those rows of a day that `keep` does not want, whatever the partition holds.

    Returns:
        Rows removed, and rows added again since a deletion took them along.

    Raises:
        ServiceUnavailable, ContractError: as `reconcile`.
    """
    one = _Table(client, database, declared, Path(), work, waiting, sleep)
    span = _span(day, declared.zone)
    wanted = [row for row in one.settled_rows(*span) if keep(row)]
    removed, added, _ = one.correct(wanted, span)
    return removed, added


def carry(
    client: AbstractClient,
    source: str,
    held: Mapping[str, Declared],
    target: str,
    declared: Mapping[str, Declared],
    *,
    since: Mapping[str, int],
    until_ms: int,
    work: Path,
    waiting: Waiting = Waiting(),
    sleep: Callable[[float], None] = clock.sleep,
) -> dict[str, int]:
    """Bring rows that were streamed into one database into another one of other tables.

    Rows are matched by the columns that both tables have; of a new column nothing is known.

    Args:
        client: the API server.
        source: the database that streamed rows go to.
        held: its tables.
        target: the other database.
        declared: its tables.
        since: by event table, milliseconds from which on its partitions hold nothing.
        until_ms: up to this time of a row.
        work: folder that OpenMLDB may read.
        waiting: time limits.
        sleep: as `time.sleep`.

    Returns:
        Rows added, by table.
    """
    made = {}
    for name, from_ms in since.items():
        table, old = declared.get(name), held.get(name)
        if table is None or old is None or table.time is None or old.time != table.time:
            continue
        span = from_ms, until_ms
        if not sum(stored_counts(client, source, name, old.time, [span])):
            continue
        shared = {c: sql for c, sql in table.columns.items() if old.columns.get(c) == sql}
        if table.required - set(shared):
            continue  # nothing can be put into a new column that takes no NULL
        one = _Table(client, target, table, Path(), work, waiting, sleep)
        names = list(shared)
        streamed = stored_rows(client, source, name, shared, old.time, *span)
        at = [list(table.columns).index(c) for c in names]
        end = until_ms
        if table.time in shared:
            # The target may be written to meanwhile: what is newer is not looked for, nor waited for.
            times = (row[names.index(table.time)] for row in streamed)
            end = 1 + max((moment for moment in times if moment is not None), default=from_ms)
        there = Counter(digest(tuple(row[n] for n in at)) for row in one.settled_rows(from_ms, end))
        lacking = _without(streamed, there)
        rows = [dict(zip(names, row, strict=True)) for row in lacking]
        added = one.add([tuple(row.get(c) for c in table.columns) for row in rows])
        if added:
            made[name] = added
    return made


def fingerprint(paths: Sequence[Path]) -> str:
    """What tells a partition's files from other ones: names, sizes and times of change."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:32]


class _Table:
    """One event table of the online store."""

    def __init__(
        self,
        client: AbstractClient,
        database: str,
        declared: Declared,
        data: Path,
        work: Path,
        waiting: Waiting,
        sleep: Callable[[float], None],
    ) -> None:
        if declared.time is None:
            raise ContractError(f"{declared.name} is a snapshot; only event tables have days")
        self.client, self.database, self.declared = client, database, declared
        self.name, self.time = declared.name, declared.time
        self.data, self.work, self.waiting, self.sleep = data, work, waiting, sleep
        self.at = list(declared.columns).index(self.time)

    # -- one day

    def day(
        self, day: dt.date, count: int, known: Known, *, thorough: bool, load_absent: bool = False
    ) -> DayReport:
        """Bring one day into agreement; `count` rows of it are in the store."""
        paths = reading.parquet_files(layout.partition(self.data, self.name, day))
        rows = reading.rows(paths)
        span = _span(day, self.declared.zone)

        def report(how: str, **more: Any) -> DayReport:
            return DayReport(self.name, day.isoformat(), rows, count, how, **more)

        if not paths:
            # No partition says nothing: rows may have been streamed for a day not written yet.
            return report("absent", why="there is no partition")
        why = self.uncountable(day)
        if why is not None:
            return report("skipped", why=why)
        if rows and not count and not load_absent:
            return report("absent", why="the store holds nothing of it")
        mark, key = f"{fingerprint(paths)} {count}", known_key(self.name, day)
        if not thorough and known.get(key) == mark and count == rows:
            return report("unchanged")
        if not rows and not count:
            known[key] = mark
            return report("equal")
        known.pop(key, None)
        wanted = list(partition_rows(paths, self.declared.columns))
        outside = [
            row for row in wanted if row[self.at] is None or not span[0] <= row[self.at] < span[1]
        ]
        if outside:
            raise ContractError(
                f"{len(outside)} of {len(wanted)} rows of {paths[0].parent} are of another day by "
                f"{self.time}, or have none; write each row into its own day's partition"
            )
        removed, added, whole = self.correct(wanted, span)
        changed = "day" if whole else "rows"
        how = changed if removed or added else "equal"
        known[key] = f"{fingerprint(paths)} {len(wanted)}"
        return report(how, added=added, removed=removed)

    def correct(self, wanted: list[Row], span: tuple[int, int]) -> tuple[int, int, bool]:
        """(rows removed, rows added, whether the whole day was replaced)."""
        goal = Counter(map(digest, wanted))
        stored = self.settled_rows(*span)
        removed = added = 0
        whole = False
        for attempt in range(3):
            held = Counter(map(digest, stored))
            surplus, lacking = held - goal, goal - held
            if not surplus and not lacking:
                return removed, added, whole
            if attempt == 2:
                break
            gone = self.single_deletes(stored, surplus) if attempt == 0 else None
            if gone is None:
                whole = True
                self.delete_span(*span)
                removed, added = len(stored), self.add(wanted)
            else:
                statements, touched = gone
                for statement, condition in statements:
                    count = partial(self.count_where, condition)
                    delete(self.client, self.database, statement, count, self.sleep)
                removed = sum(surplus.values())
                added = sum(lacking.values())
                kept = Counter(digest(row) for row in stored if not touched(row))
                self.add(_without(wanted, kept))
            stored = self.settled_rows(*span)
        raise ContractError(
            f"the online table {self.database}.{self.name} still differs from its partition after "
            f"it was corrected: {sum((Counter(map(digest, stored)) - goal).values())} rows too "
            f"many, {sum((goal - Counter(map(digest, stored))).values())} missing between "
            f"{span[0]} and {span[1]} ms; does something else write to it, or does it have an "
            "index with a time to live that the declaration lacks?"
        )

    # -- deleting

    def single_deletes(
        self, stored: Sequence[Row], surplus: Counter[bytes]
    ) -> tuple[list[tuple[str, str]], Callable[[Row], bool]] | None:
        """How the surplus rows go, and which rows are touched; None: they are too many.

        Each DELETE comes with the condition by which a SELECT finds its rows.
        """
        if not surplus:
            return [], lambda row: False
        if sum(surplus.values()) > max(WHOLE_DAY_SHARE * len(stored), 1):
            return None
        index = self.usable_index()
        if index is None:
            return None
        names = list(self.declared.columns)
        places = [names.index(key) for key in index.keys]
        pairs = set()
        left = surplus.copy()
        for row in stored:
            if left[digest(row)] > 0:
                left[digest(row)] -= 1
                pairs.add((tuple(row[at] for at in places), row[self.at]))
        if len(pairs) > MOST_DELETES:
            return None
        statements = []
        for values, moment in sorted(pairs, key=repr):
            literals = [_literal(value) for value in values]
            if None in literals:
                return None
            terms = [f"{quote_name(k)} = {v}" for k, v in zip(index.keys, literals, strict=True)]
            where = " AND ".join([*terms, f"{quote_name(self.time)} = {moment}"])
            condition = " AND ".join([*terms, in_range(self.time, moment, moment + 1)])
            statements.append((f"DELETE FROM {quote_name(self.name)} WHERE {where}", condition))
        return statements, lambda row: (tuple(row[at] for at in places), row[self.at]) in pairs

    def usable_index(self) -> IndexDef | None:
        """An index by which single rows can be named: ordered by the day's own column."""
        good = ("string", "int16", "int32", "int64", "timestamp")
        return next(
            (
                index
                for index in self.declared.indexes
                if index.ts == self.time
                and all(self.declared.columns[key] in good for key in index.keys)
            ),
            None,
        )

    def delete_span(self, from_ms: int, until_ms: int) -> None:
        """Remove a time range.

        Raises:
            ContractError: no index is ordered by the day's column, so that nothing can.
        """
        if not any(index.ts == self.time for index in self.declared.indexes):
            raise ContractError(
                f"rows of {self.database}.{self.name} have to go, but no index of it has "
                f"ts={self.time}, by which OpenMLDB could find them; declare one"
            )
        name = quote_name(self.time)
        delete(
            self.client,
            self.database,
            f"DELETE FROM {quote_name(self.name)} WHERE {name} >= {from_ms} AND {name} < {until_ms}",
            partial(self.count_where, in_range(self.time, from_ms, until_ms)),
            self.sleep,
        )

    def count_where(self, condition: str) -> int:
        """Rows that a condition finds."""
        result = self.client.execute(
            self.database,
            f"SELECT count(*) FROM {quote_name(self.name)} WHERE {condition}",
            mode="onsync",
        )
        return int(result.rows[0][0]) if result is not None and result.rows else 0

    # -- adding

    def add(self, rows: Sequence[Row]) -> int:
        """Load rows by a file of their own, which goes afterwards."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not rows:
            return 0
        schema = self.declared.arrow_schema()
        columns = []
        for at, item in enumerate(schema):
            values = [row[at] for row in rows]
            if pa.types.is_timestamp(item.type):
                millis = pa.array(values, pa.int64()).cast(pa.timestamp("ms"))
                columns.append(millis.cast(item.type))
            else:
                columns.append(pa.array(values, item.type))
        folder = self.work / f"{self.name}-{clock.time_ns()}"
        with files.staged_dir(folder) as staged:
            pq.write_table(
                pa.Table.from_arrays(columns, schema=schema),
                staged / "part-0.parquet",
                data_page_version="1.0",
            )
        path = folder / "part-0.parquet"
        try:
            self.load(path)
        finally:
            path.unlink(missing_ok=True)
            folder.rmdir()
        return len(rows)

    def load(self, path: Path) -> None:
        """LOAD DATA online, waited for.

        Raises:
            JobFailed, JobLost: the job did.
        """
        job = submit_once(
            self.client,
            self.database,
            load_data(str(path), self.name, "append"),
            "online",
            sleep=self.sleep,
        )
        finish(
            self.client,
            job,
            clock.time() + self.waiting.job_s,
            settle_s=self.waiting.settle_s,
            poll_s=self.waiting.poll_s,
            sleep=self.sleep,
        )

    # -- reading

    def counts(self, days: Sequence[dt.date], known: Known) -> list[int]:
        """Rows of each day that two readings of a healthy table agree on."""

        def read() -> list[int]:
            spans = [_span(day, self.declared.zone) for day in days]
            return stored_counts(self.client, self.database, self.name, self.time, spans)

        counts = self._settled(read)
        before = [
            0 if self.uncountable(day) else _count_of(known.get(known_key(self.name, day), ""))
            for day in days
        ]
        until = clock.monotonic() + (0.0 if self.client.consistent else self.waiting.doubt_s)
        while any(now < then for now, then in zip(counts, before, strict=True)):
            # Rows do not go by themselves: more likely a tablet is still loading them.
            if clock.monotonic() >= until:
                break
            self.sleep(self.waiting.poll_s * 3)
            counts = self._settled(read)
        return counts

    def uncountable(self, day: dt.date) -> str | None:
        """Why the store need not hold each row of a day; None where it must."""
        if self.declared.keeps_latest:
            return "the table keeps the latest rows of a key only"
        oldest = self.oldest_kept()
        if oldest is not None and _span(day, self.declared.zone)[0] < oldest:
            return "rows of this day have expired"
        return None

    def settled_rows(self, from_ms: int, until_ms: int) -> list[Row]:
        """Rows that two readings of a healthy table agree on."""

        def read() -> list[Row]:
            return sorted(
                stored_rows(
                    self.client,
                    self.database,
                    self.name,
                    self.declared.columns,
                    self.time,
                    from_ms,
                    until_ms,
                ),
                key=digest,
            )

        return self._settled(read)

    def _settled(self, read: Callable[[], _T]) -> _T:
        patience = self.waiting.patience
        return settled(self.client, self.database, self.name, read, patience, self.sleep)

    def oldest_kept(self) -> int | None:
        """The oldest moment, in milliseconds, that every index keeps for a while; None: all."""
        age = self.declared.expires_ms
        return None if age is None else int(clock.time() * 1000) - age + SOON_MS


def known_key(table: str, day: dt.date) -> str:
    """Key of a day in `Known`."""
    return f"{table}/{day.isoformat()}"


def is_known(known: Known, data: Path, table: str, day: dt.date) -> bool:
    """Whether a day's files are those that were loaded, whatever the store still holds of them."""
    mark = known.get(known_key(table, day), "")
    paths = reading.parquet_files(layout.partition(data, table, day))
    return mark.partition(" ")[0] == fingerprint(paths)


def note_loaded(known: Known, data: Path, table: str, day: dt.date, rows: int) -> None:
    """Remember that a day was loaded as a whole, and that its rows are all there."""
    paths = reading.parquet_files(layout.partition(data, table, day))
    known[known_key(table, day)] = f"{fingerprint(paths)} {rows}"


def _span(day: dt.date, zone: Zone) -> tuple[int, int]:
    return zone.start_ms(day), zone.end_ms(day)


def _count_of(mark: str) -> int:
    count = mark.rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


def _without(wanted: Sequence[Row], kept: Counter[bytes]) -> list[Row]:
    """The wanted rows that are not among those kept, each as often as it lacks."""
    left = kept.copy()
    lacking = []
    for row in wanted:
        one = digest(row)
        if left[one] > 0:
            left[one] -= 1
        else:
            lacking.append(row)
    return lacking


def _literal(value: object) -> str | None:
    """A key's value in a DELETE; None where it cannot be written there for sure."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value and value.isprintable() and "\\" not in value:
        return quote_literal(value) if "'" not in value else None
    return None


def load_known(path: Path) -> dict[str, str]:
    """The `Known` that `save_known` wrote; empty where there is none or it cannot be read."""
    try:
        value = files.read_json(path)
    except NightshiftError:
        return {}
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def forget_known(known: Known, before: dt.date) -> None:
    """Forget days before a date; one that comes again is compared row by row."""
    for key in [one for one in known if one.rpartition("/")[2] < before.isoformat()]:
        del known[key]


def save_known(path: Path, known: Mapping[str, str]) -> None:
    """Keep what was equal for the next night."""
    files.write_json(path, dict(known))
