"""A day of a pipeline's partitions, played to the predict server as live traffic.

Requests are posted to `predict` and the other event tables' rows to `events`, in the order of
their times. Rows keep their own times and their ids follow from their place, so playing a day
twice inserts nothing twice.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from nightshift import layout
from nightshift.data import reading
from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError, PartitionMissing, ServiceUnavailable
from nightshift.live.events import arrivals_of
from nightshift.live.folders import live_folder
from nightshift.live.skew.history import Loaded
from nightshift.openmldb.rows import digest, fitted
from nightshift.pipeline import Pipeline
from nightshift.serving.access import predict_access
from nightshift.serving.pair import plain_rows
from nightshift.zones import Zone

BATCH = 200
"""Rows of one post."""

TOGETHER_MS = 50.0
"""Events that are due within so many milliseconds go in one post."""

RETRY_S = 60.0
"""How long a server that is away is asked again."""


@dataclass(frozen=True)
class Moment:
    """A row at the time at which it is sent.

    Attributes:
        sent_ms: when, in the day's own time: the row's time, or later where it is late.
        table: its table.
        id: its event id.
        row: by column, as JSON.
        request: whether it is scored.
    """

    sent_ms: int
    table: str
    id: str
    row: dict[str, Any]
    request: bool


@dataclass
class Played:
    """What was sent.

    Attributes:
        receipts: of the answers, in their order.
    """

    requests: int = 0
    events: int = 0
    duplicates: int = 0
    receipts: list[str] = field(default_factory=list)


def timeline(
    pipeline: Pipeline,
    day: dt.date,
    *,
    labels: bool = False,
    late: Sequence[tuple[float, float]] = (),
    seed: int = 10,
    tables: Sequence[str] | None = None,
) -> list[Moment]:
    """All rows of a day in the order in which they are sent.

    Events of a request's own instant go before it where `live.same_instant` is `before`, and else
    after it.

    Args:
        pipeline: its partitions.
        day: the day, UTC+8.
        labels: send the table of labels, too.
        late: (share, seconds) pairs: that share of the events is sent so much later.
        seed: of the choice of late ones.
        tables: only these; None for all.

    Raises:
        PartitionMissing: there is no request of that day.
    """
    source = pipeline.features.tables
    declared = declared_tables(source, pipeline.features.create_script())
    chance = random.Random(seed)  # noqa: S311 (not for secrets)
    found: list[Moment] = []
    for name, column in source.events.items():
        if (name == source.label_table and not labels) or (tables and name not in tables):
            continue
        paths = reading.parquet_files(layout.partition(pipeline.data, name, day))
        if not paths:
            if name == source.request_table:
                raise PartitionMissing(
                    f"no partition of {name} for {day} under {pipeline.data}; give another --day"
                )
            continue
        names = list(declared[name].columns)
        is_request = name == source.request_table
        for number, values in enumerate(plain_rows(reading.table(paths, columns=names))):
            row = dict(zip(names, values, strict=True))
            if row[column] is None:
                continue
            delay = 0.0 if is_request else _delay(chance, late)
            found.append(
                Moment(
                    row[column] + int(delay * 1000),
                    name,
                    f"{name}-{day}-{number}",
                    row,
                    is_request,
                )
            )
    return ordered(pipeline, found)


def loaded_already(pipeline: Pipeline, moments: Sequence[Moment]) -> dict[str, int]:
    """Events that the online store has from a night: playing them would put each in it twice.

    Args:
        pipeline: its record of the nights, and of what was streamed.
        moments: rows of one day.

    Returns:
        How many there are by table. Rows that came as events are known by their ids, and are not
        among them; neither are requests, which are not inserted for a day that a night has loaded.
    """
    source = pipeline.features.tables
    declared = declared_tables(source, pipeline.features.create_script())
    loaded = Loaded.read(pipeline.runs).first
    rows: dict[str, Counter[bytes]] = {}
    for one in moments:
        at = one.row[source.events[one.table]]
        day = pipeline.zone.day_of(dt.datetime.fromtimestamp(at / 1000, dt.timezone.utc))
        if not one.request and (one.table, day) in loaded:
            columns = declared[one.table].columns
            row = fitted([one.row[name] for name in columns], columns)
            rows.setdefault(one.table, Counter())[digest(row)] += 1
    folder = live_folder(pipeline.settings, pipeline.name)
    found = {}
    for table, marks in rows.items():
        streamed = {mark: len(at) for mark, at in arrivals_of(folder, table, marks.keys()).items()}
        found[table] = sum(max(0, n - streamed.get(mark, 0)) for mark, n in marks.items())
    return {table: count for table, count in found.items() if count}


def ordered(pipeline: Pipeline, moments: Iterable[Moment]) -> list[Moment]:
    """Rows in the order in which they are sent; see `timeline`."""
    first = pipeline.config.live.same_instant == "after"
    return sorted(moments, key=lambda one: (one.sent_ms, one.request != first))


def _delay(chance: random.Random, late: Sequence[tuple[float, float]]) -> float:
    drawn = chance.random()
    for share, seconds in late:
        if drawn < share:
            return seconds
        drawn -= share
    return 0.0


def play(
    pipeline: Pipeline,
    moments: Sequence[Moment],
    *,
    speed: float,
    said: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Played:
    """Send rows at the times they have, `speed` times as fast; 0: as fast as they are taken.

    Raises:
        ServiceUnavailable: the predict server stays away.
        ConfigurationError: it refuses a row.
    """
    if speed < 0:
        raise ConfigurationError(f"--speed is {speed:g}; give 0 (no pause) or more")
    made = Played()
    access = predict_access(pipeline.settings)
    base = f"{pipeline.settings.predict_url}/v1/pipelines/{pipeline.name}"
    began, told = time.monotonic(), time.monotonic()
    with httpx.Client(timeout=60.0, **access) as http:
        for group in _groups(moments, max(1000.0, speed * TOGETHER_MS)):
            if speed:
                due = began + (group[0].sent_ms - moments[0].sent_ms) / 1000 / speed
                pause = due - time.monotonic()
                if pause > 0:
                    sleep(pause)
            if group[0].request:
                answer = _post(http, f"{base}/predict", [one.row for one in group], sleep)
                made.requests += len(group)
                made.receipts.append(answer["receipt"]["id"])
            else:
                events = [{"id": one.id, "row": one.row} for one in group]
                url = f"{base}/events/{group[0].table}"
                answer = _post(http, url, {"events": events}, sleep)
                made.events += answer["inserted"]
                made.duplicates += answer["duplicates"]
            if time.monotonic() - told > 10:
                told = time.monotonic()
                at = dt.datetime.fromtimestamp(group[0].sent_ms / 1000, Zone().tzinfo)
                said(f"  {at:%Y-%m-%d %H:%M:%S}  {made.requests} requests, {made.events} events")
    return made


def _groups(moments: Sequence[Moment], within_ms: float) -> Iterator[list[Moment]]:
    """Neighbours that may go in one post: events of one table, or requests of one time.

    Events of a short time of the day go together; a request between them parts them.
    """
    group: list[Moment] = []
    for one in moments:
        last = group[-1] if group else None
        if last is not None and (
            last.table != one.table
            or len(group) >= BATCH
            or (one.request and one.sent_ms != last.sent_ms)
            or one.sent_ms - group[0].sent_ms > within_ms
        ):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _post(http: httpx.Client, url: str, body: Any, sleep: Callable[[float], None]) -> Any:
    deadline = time.monotonic() + RETRY_S
    while True:
        why = ""
        try:
            answer = http.post(url, json=body)
            if answer.status_code == 200:
                return answer.json()
            why = f"{url} answered {answer.status_code}: {answer.text[:500]}"
            if answer.status_code < 500 and answer.status_code != 429:
                raise ConfigurationError(why)
        except httpx.TransportError as error:
            why = f"no predict server at {url} ({error}); ./nightshift up starts it"
        if time.monotonic() >= deadline:
            raise ServiceUnavailable(why)
        sleep(0.5)
