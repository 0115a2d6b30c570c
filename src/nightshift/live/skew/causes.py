"""Why rows were not there: the steps from the store as it was to the data as training sees it.

A step repairs one cause for one table. Replays after each step in turn attribute every differing
value to the step at which it takes the value that training has, and every step has a price: the
difference of the measures before and after it. The prices add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nightshift.live.skew.world import NEVER, Rows, World

LATE = "event late"
NOT_LOADED = "table not loaded"
REQUEST_MISSING = "request row missing"
HISTORY = "history not loaded"
SNAPSHOT = "snapshot changed"
SAME_INSTANT = "same-instant event"
BEYOND = "history not trained on"
AGAIN = "asked again"
CHANGED = "partition changed"
CODE = "code"
QUERY = "query changed"

MEANINGS = {
    LATE: "a streamed table's event reached the store after the request",
    NOT_LOADED: "the table is filled by the nights alone, and the night came after the request",
    REQUEST_MISSING: "an earlier request was not in the store: scored requests are not inserted",
    HISTORY: "the night loads fewer days than training reads, and a frame of rows reaches further",
    BEYOND: "the store holds days before those that training reads, and a frame of rows reaches them",
    AGAIN: "the request's own row was in the store already: a client's second try",
    SNAPSHOT: "the snapshot has other rows than at the request",
    SAME_INSTANT: "training counts events of the request's own instant, which come after it",
    CHANGED: "a partition was corrected, or streamed rows removed, after the request",
    CODE: "serving and training compute the release's own query differently",
    QUERY: "not counted above: the pipeline's query is another one than the release's by now",
}

PLAYED_MS = 3_600_000
"""Requests that were asked so far from their own times, in the median, were played."""

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """One cause repaired for one table.

    Attributes:
        late: of the rows that it brings, how many seconds each came after its own time, by the
            row's hash; infinite for one that has not come.
    """

    cause: str
    table: str
    late: tuple[tuple[int, float], ...] = ()

    @property
    def name(self) -> str:
        """What its price goes by."""
        return f"{self.cause}: {self.table}"


def arrival_cause(world: World, table: str) -> str:
    """What it is called when rows of an event table are not there in time."""
    if table == world.pipeline.features.tables.request_table:
        return REQUEST_MISSING
    return LATE if world.events[table].streamed else NOT_LOADED


def steps(
    world: World,
    times: Longs,
    began: Longs,
    changed_snapshots: Sequence[str],
    same_instant: Sequence[str],
) -> list[Step]:
    """The steps that can change anything, in the order in which they are taken.

    Args:
        world: the rows in reach of the requests.
        times: of each request, its own time, milliseconds, ascending.
        began: of each request, when its features were asked for, in the order of `times`.
        changed_snapshots: snapshot tables that the store held otherwise.
        same_instant: tables with rows of a request's own key and time.
    """
    found: list[Step] = []
    for table in _tables(world):
        rows = world.events[table]
        at = np.array(rows.times, dtype=np.int64)
        came = np.array(rows.arrived, dtype=np.int64)
        # The first request after the row's time: did it come before the row did?
        place = np.searchsorted(times, at, side="right")
        inside = place < len(times)
        missing = np.zeros(len(at), dtype=bool)
        missing[inside] = came[inside] > began[place[inside]]
        waits = np.where(came == NEVER, np.inf, (on_clock(came, times, began) - at) / 1000)
        for cause, which in (
            (arrival_cause(world, table), missing & ~_old(rows)),
            (HISTORY, missing & _old(rows)),
        ):
            if which.any():
                late = tuple((hash(rows.rows[n]), float(waits[n])) for n in np.flatnonzero(which))
                found.append(Step(cause, table, late))
    found += [
        Step(BEYOND, table)
        for table in _tables(world)
        if (np.array(world.events[table].times) < world.trained_from.get(table, 0)).any()
    ]
    found += [Step(SNAPSHOT, table) for table in changed_snapshots]
    found += [Step(SAME_INSTANT, table) for table in world.events if table in same_instant]
    return found


def order(world: World, changed_snapshots: Sequence[str]) -> list[Step]:
    """All steps there may be, in the order in which `steps` gives those that there are."""
    tables = _tables(world)
    return [
        *(Step(cause, name) for name in tables for cause in (arrival_cause(world, name), HISTORY)),
        *(Step(BEYOND, table) for table in tables),
        *(Step(SNAPSHOT, table) for table in changed_snapshots),
        *(Step(SAME_INSTANT, table) for table in world.events),
    ]


def _tables(world: World) -> list[str]:
    """Event tables in the order in which what lacked of them is added."""
    return sorted(world.events, key=lambda name: _ORDER.index(arrival_cause(world, name)))


def on_clock(moments: Longs, times: Longs, began: Longs) -> npt.NDArray[np.float64]:
    """Moments of the server's clock on the clock of the requests' own times.

    Live requests are asked at about their own times, and both clocks are one. A day that is played
    later, or faster, has a clock of its own: between two requests it runs as they say, and before
    and after them as the server's.

    Args:
        moments: milliseconds of the server's clock.
        times: of each request, its own time, milliseconds, ascending.
        began: of each request, when its features were asked for.

    Returns:
        Milliseconds, float64.
    """
    if not len(times) or np.median(np.abs(began - times)) < PLAYED_MS:
        return moments.astype(np.float64)
    order = np.argsort(began, kind="stable")
    asked, own = began[order], np.maximum.accumulate(times[order])
    made = np.interp(moments, asked, own)
    made = np.where(moments < asked[0], own[0] - (asked[0] - moments), made)
    return np.asarray(np.where(moments > asked[-1], own[-1] + (moments - asked[-1]), made))


def _old(rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows are of days before those that the nights have loaded."""
    at = np.array(rows.times, dtype=np.int64)
    return at < rows.horizon if rows.horizon != NEVER else np.zeros(len(at), dtype=bool)


_ORDER = (LATE, NOT_LOADED, REQUEST_MISSING)


def places(
    world: World,
    table: str,
    repaired: Sequence[Step],
    times: Longs,
    began: Longs,
) -> list[int]:
    """For each row of a table the first request (by place in `times`) that may see it.

    Args:
        world: the rows.
        table: the event table.
        repaired: the steps that were taken.
        times: of each request, its own time, milliseconds, ascending.
        began: of each request, when its features were asked for.
    """
    rows = world.events[table]
    at = np.array(rows.times, dtype=np.int64)
    # Requests that came in another order than their times see a row from the first that may.
    arrived = np.array(rows.arrived, dtype=np.int64)
    found = np.searchsorted(np.maximum.accumulate(began), arrived)
    old = _old(rows)
    for step in repaired:
        if step.table != table:
            continue
        if step.cause == BEYOND:
            found = np.where(at < world.trained_from[table], len(times), found)
            continue
        side: Literal["left", "right"] = "left" if step.cause == SAME_INSTANT else "right"
        right = np.searchsorted(times, at, side=side)
        if step.cause == HISTORY:
            which = old
        elif step.cause == SAME_INSTANT:
            which = np.isin(at, times)
        else:
            which = ~old
        found = np.where(which, np.minimum(found, right), found)
    return [int(place) for place in found]
