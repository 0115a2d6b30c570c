"""Which requests can be replayed fairly, and which rows the online store must hold for it.

Batch and request mode give the same row for a request when the store holds exactly what the
batch saw before that request. docs/release.md derives the rules; here they are code:

- A window reaches rows by the equality of its partition key, a LAST JOIN by its join key. So
  rows that share no key with a sampled request cannot be seen by it and are left out.
- Other requests stand in a window only where it is not INSTANCE_NOT_IN_WINDOW, and then only
  earlier ones. So requests are fed in the order of time, each after its predecessors.
- Where order is undefined by the data there is no right answer to compare with: requests of
  one instant and key, ties at the edge of a counted frame, a LAST JOIN key with several rows.
  Those requests are excluded, and counted by reason.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.openmldb import normalise_sql

_NAME = r"`?(\w+)`?"
_PARTITION = re.compile(r"PARTITION\s+BY\s+((?:`?[\w.]+`?\s*,?\s*)+?)\s*ORDER\s+BY", re.IGNORECASE)
_UNION = re.compile(rf"UNION\s*\(\s*SELECT\b.*?\bFROM\s+{_NAME}", re.IGNORECASE | re.DOTALL)
_WINDOW = re.compile(r"\bAS\s*\(\s*(?=UNION\b|PARTITION\b)", re.IGNORECASE)
_LAST_JOIN = re.compile(
    rf"LAST\s+JOIN\s+{_NAME}(?:\s+AS\s+{_NAME})?\s+ON\s+(\S+)\s*=\s*(\S+)", re.IGNORECASE
)
_ROWS = re.compile(r"\bROWS\s+BETWEEN\s+(\d+)\s+(?:OPEN\s+)?PRECEDING", re.IGNORECASE)
_MAXSIZE = re.compile(r"\bMAXSIZE\s+(\d+)", re.IGNORECASE)
_INSTANCE_OUT = re.compile(r"\bINSTANCE_NOT_IN_WINDOW\b", re.IGNORECASE)


@dataclass(frozen=True)
class Window:
    """One window: its partition keys, the tables united, and at how many other rows it cuts."""

    keys: tuple[str, ...]
    tables: tuple[str, ...]
    holds_requests: bool
    others: int | None


@dataclass(frozen=True)
class Reach:
    """How the query reaches rows: its windows, and its LAST JOINs as (table, key column)."""

    windows: tuple[Window, ...]
    joins: tuple[tuple[str, str], ...]

    def keys_of(self, table: str, *, request_table: str) -> frozenset[str]:
        """Columns by whose equality the query reaches rows of `table`."""
        keys: set[str] = set()
        for window in self.windows:
            if table in window.tables or (table == request_table and window.holds_requests):
                keys.update(window.keys)
        keys.update(key for joined, key in self.joins if joined == table)
        return frozenset(keys)


def reach_of(sql: str) -> Reach:
    """Read windows and joins off the feature query's text."""
    text = normalise_sql(sql)
    windows = []
    for match in _WINDOW.finditer(text):
        body = _bracketed(text, match.end())
        partition = _PARTITION.search(body)
        if partition is None:
            continue
        keys = tuple(
            part.strip(" `").split(".")[-1].strip("`") for part in partition[1].split(",") if part
        )
        limits = [int(n) for n in _ROWS.findall(body)]
        limits += [int(n) - 1 for n in _MAXSIZE.findall(body)]  # the request itself counts
        windows.append(
            Window(
                keys=keys,
                tables=tuple(_UNION.findall(body)),
                holds_requests=_INSTANCE_OUT.search(body) is None,
                others=min(limits) if limits else None,
            )
        )
    joins = []
    for table, alias, left, right in _LAST_JOIN.findall(text):
        for side in (left, right):
            parts = side.replace("`", "").rstrip(")").split(".")
            if len(parts) > 1 and parts[-2] in (table, alias):
                joins.append((table, parts[-1]))
    return Reach(tuple(windows), tuple(joins))


def _bracketed(text: str, start: int) -> str:
    depth = 1
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return text[start:]


@dataclass(frozen=True)
class Table:
    """Rows of one source table: columns in the table's order, its time column if it has one."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    time: str | None = None

    def at(self, column: str) -> int:
        """Position of a column."""
        return self.columns.index(column)


@dataclass
class Excluded:
    """Why sampled requests were not compared: reason -> request ids."""

    by_reason: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, request_id: str) -> None:
        """Count one."""
        self.by_reason.setdefault(reason, []).append(request_id)

    @property
    def ids(self) -> set[str]:
        """All of them."""
        return {request_id for ids in self.by_reason.values() for request_id in ids}


def exclude(
    requests: Table, sample: Iterable[tuple[Any, ...]], tables: Mapping[str, Table], reach: Reach,
    *, request_id: str,
) -> Excluded:  # fmt: skip
    """Find the sampled requests that have no single right answer.

    Args:
        requests: rows of the request table that the sample can see, the sample included; its
            `time` is the column that orders requests.
        sample: the sampled rows of the request table.
        tables: every other table by name, its rows those that the sample can see.
        reach: how the query reaches them.
        request_id: the request table's id column.

    Returns:
        The excluded requests by reason.
    """
    out = Excluded()
    assert requests.time is not None
    id_at, time_at = requests.at(request_id), requests.at(requests.time)
    twice = _counts(row[id_at] for row in requests.rows)
    peers: dict[tuple[str, ...], dict[Any, int]] = {}
    for window in reach.windows:
        if window.holds_requests and set(window.keys) <= set(requests.columns):
            ats = [requests.at(key) for key in window.keys]
            peers[window.keys] = _counts(
                (row[time_at], *(row[at] for at in ats)) for row in requests.rows
            )
    joined = {
        (name, key): _counts(row[tables[name].at(key)] for row in tables[name].rows)
        for name, key in reach.joins
        if name in tables and key in tables[name].columns
    }
    edges = [_Edges.of(w, requests, tables) for w in reach.windows if w.others is not None]
    for row in sample:
        name = str(row[id_at])
        if twice[row[id_at]] > 1:
            out.add("request id given twice", name)
        elif any(
            counts[(row[time_at], *(row[requests.at(key)] for key in keys))] > 1
            for keys, counts in peers.items()
        ):
            out.add("another request of the same instant and key", name)
        elif any(
            key in requests.columns and counts[row[requests.at(key)]] > 1
            for (_, key), counts in joined.items()
        ):
            out.add("several rows for a LAST JOIN key", name)
        elif any(edge.tied(row) for edge in edges):
            out.add("equal times at the edge of a counted window", name)
    return out


def _counts(values: Iterable[Any]) -> defaultdict[Any, int]:
    counts: defaultdict[Any, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return counts


@dataclass(frozen=True)
class _Edges:
    """Times of the rows that each key's window can hold, to see ties where the frame is cut."""

    others: int
    key_ats: tuple[int, ...]
    time_at: int
    holds_requests: bool
    times: Mapping[tuple[Any, ...], npt.NDArray[np.int64]]

    @classmethod
    def of(cls, window: Window, requests: Table, tables: Mapping[str, Table]) -> _Edges:
        assert requests.time is not None and window.others is not None
        sources = [tables[name] for name in window.tables if name in tables]
        if window.holds_requests:
            sources.append(requests)
        times: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        known = set(window.keys) <= set(requests.columns)
        for table in sources:
            if not known or table.time is None or not set(window.keys) <= set(table.columns):
                continue
            ats = [table.at(key) for key in window.keys]
            time_at = table.at(table.time)
            for row in table.rows:
                times[tuple(row[at] for at in ats)].append(row[time_at])
        return cls(
            window.others,
            tuple(requests.at(key) for key in window.keys) if known else (),
            requests.at(requests.time),
            window.holds_requests,
            {key: np.sort(np.array(found, dtype=np.int64)) for key, found in times.items()},
        )

    def tied(self, row: tuple[Any, ...]) -> bool:
        """Whether the last row inside the frame and the first one outside have one time."""
        found = self.times.get(tuple(row[at] for at in self.key_ats))
        if found is None:
            return False
        seen = found[: int(np.searchsorted(found, row[self.time_at], side="right"))]
        if self.holds_requests:
            seen = seen[:-1]  # the request itself
        edge = len(seen) - self.others
        return bool(0 < edge < len(seen) and seen[edge - 1] == seen[edge])
