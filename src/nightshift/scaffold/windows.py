"""What a request's keys did lately in a table of events: windows that a proposed query has.

OpenMLDB sees rows of another table in a window by WINDOW UNION: a request takes part as a row of empty
values, which the aggregates here do not count but for one more distinct value;
`INSTANCE_NOT_IN_WINDOW` keeps out other requests, and `EXCLUDE CURRENT_TIME` rows of the request's
own instant, which online may not be there yet.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from math import ceil, isfinite, log10

from nightshift.scaffold.survey import NAMES_A_KIND, WHOLE, Column, Table

DAYS = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "180d": 180}
"""How far windows may reach back."""

_PAIRS = (("1d", "7d"), ("7d", "30d"), ("30d", "90d"), ("30d", "180d"))

LABELS_AFTER = 2
"""Days after its time from which on a label is in the online store, whatever the hour: the nights
fill it, and a night takes some hours of the next day."""

_ENOUGH_LABELS = 100
"""Labels of a key that a share should be of."""

_MOST_VALUES = 8
_MOST_AGGREGATES = 12
"""Of a window: more columns of a table than that are left to the user."""
_PLAIN_VALUE = re.compile(r"[^\x00-\x1f\x7f'\"\\;`]{1,40}")
_EMPTY = {
    "bool": "false",
    "int16": "smallint(0)",
    "int32": "int(0)",
    "int64": "bigint(0)",
    "float": "float(0)",
    "double": "double(0)",
    "string": "''",
}
"""A value that says nothing, by SQL type; other types are in no window."""


@dataclass(frozen=True)
class Aggregate:
    """One column of a window.

    Attributes:
        name: what follows table, key and before the span in its name.
        expression: SQL, with `{w}` for the window.
        sql: type of the result.
        column: the column that it needs; None where it counts rows.
        decimals: to round to: a sum of fractions depends on the order of the rows in its last
            digits, which differs between a batch and a request.
    """

    name: str
    expression: str
    sql: str
    column: Column | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Windows:
    """The windows over one table of events by one key that requests have, too.

    Attributes:
        table: the events.
        key: column of both tables.
        time: the events' time.
        request: table of the requests.
        request_id: its id.
        request_time: its time.
        aggregates: what each window computes.
        spans: how far the windows reach back, of `DAYS`.
        until_days: how many days before the request the windows end; 0: at it.
    """

    table: Table
    key: str
    time: str
    request: Table
    request_id: str
    request_time: str
    aggregates: tuple[Aggregate, ...]
    spans: tuple[str, ...]
    until_days: int = 0

    @property
    def name(self) -> str:
        """What the query calls the part."""
        return f"{self.table.name}_by_{self.key}"

    @property
    def id_column(self) -> str:
        """The column by which the part is joined to the request."""
        return f"{self.name}_request_id"

    def columns(self) -> list[tuple[str, Aggregate, str]]:
        """Name in the query, aggregate and span of each feature."""
        return [
            (f"{self.name}_{one.name}_{span}", one, span)
            for span in self.spans
            for one in self.aggregates
        ]

    def to_sql(self) -> str:
        """The part of the query: a LAST JOIN to `request`."""
        taken = {c.name.lower() for c in self.table.columns}
        row_id, at, is_event = (
            f"`{free(name, taken)}`" for name in ("request_key", "row_time", "is_event")
        )
        used = {one.column.name: one.column for one in self.aggregates if one.column is not None}
        empty = [f"{_EMPTY[c.sql]} AS `{name}`" for name, c in used.items()]
        listed = [
            f"{one.expression.format(w=f'{self.name}_{span}', is_event=is_event)} AS `{name}`"
            for name, one, span in self.columns()
        ]
        kind = self.request.column(self.request_id).sql
        key, request_time = f"`{self.key}`", f"`{self.request_time}` AS {at}"
        of_request = f"`{self.request_id}` AS {row_id}", key, request_time, *empty
        of_event = (
            *(f"{_EMPTY[kind]} AS {row_id}", key, f"`{self.time}` AS {at}"),
            *(f"`{name}`" for name in used),
        )
        events = f"SELECT {', '.join(of_event)}, bigint(1) AS {is_event} FROM `{self.table.name}`"
        end, kept_out = "0s", "EXCLUDE CURRENT_TIME INSTANCE_NOT_IN_WINDOW"
        about = f"Rows of {self.table.name} before the request, by {self.key}."
        if self.until_days:
            end, kept_out = f"{self.until_days}d", "INSTANCE_NOT_IN_WINDOW"
            about = f"Labels known {self.until_days} days before the request, by {self.key}."
        frames = ",\n        ".join(
            f"{self.name}_{span} AS (\n"
            f"            UNION ({events})\n"
            f"            PARTITION BY `{self.key}` ORDER BY {at}\n"
            f"            ROWS_RANGE BETWEEN {span} PRECEDING AND {end} PRECEDING MAXSIZE 1000\n"
            f"            {kept_out})"
            for span in self.spans
        )
        computed = ",\n        ".join([f"{row_id} AS `{self.id_column}`", *listed])
        return f"""\
LAST JOIN
(
    -- {about} The request itself takes part
    -- as a row of empty values.
    SELECT
        {computed}
    FROM (
        SELECT {", ".join(of_request)}, bigint(0) AS {is_event} FROM `{self.request.name}`
    )
    WINDOW
        {frames}
) AS {self.name}
ON request.request_id = {self.name}.`{self.id_column}`"""


def spans(table: Table, key: str, time: str) -> tuple[str, str]:
    """How far windows by a key reach back: as far as it takes to see one more row of the key.

    Half of the days that there are is the most, so that most rows see whole windows.

    Args:
        table: its rows.
        key: column that windows are kept by.
        time: column of the rows' time.
    """
    days, a_day = _pace(table, key, time)
    if not days:
        return _PAIRS[0]
    able = [pair for pair in _PAIRS if DAYS[pair[1]] <= days / 2] or [_PAIRS[0]]
    return next((pair for pair in able if a_day * DAYS[pair[1]] >= 1), able[-1])


def aggregates(table: Table, without: Collection[str | None]) -> list[Aggregate]:
    """What a window over a table's rows computes.

    Args:
        table: the events.
        without: columns that are not features: keys and times.
    """
    found = [Aggregate("rows", "sum({is_event}) OVER {w}", "int64")]
    for column in table.columns:
        if column.name in without or column.sql not in _EMPTY:
            continue
        kind = table.kind_of(column)
        if kind == "numeric" or (kind == "categorical" and _is_amount(column)):
            found.append(_mean(column))
        elif kind == "categorical":
            found += _counts(column)
    return found[:_MOST_AGGREGATES]


def _pace(table: Table, key: str, time: str) -> tuple[float, float]:
    """How many days a table's rows cover, and rows of one key a day; zeros where no time is known."""
    at = table.column(time)
    if at.least is None:
        return 0.0, 0.0
    days = max(1.0, (at.greatest - at.least).total_seconds() / 86_400)
    return days, table.seen / max(1, table.column(key).distinct) / days


def label_span(table: Table, key: str, time: str) -> str | None:
    """How far a window over past labels reaches back: as far as it takes to see some of a key.

    Args:
        table: the labels.
        key: column that the window is kept by.
        time: column of the labels' time.

    Returns:
        One of `DAYS`; None where the days are too few for any.
    """
    days, a_day = _pace(table, key, time)
    able = [span for span in DAYS if LABELS_AFTER < DAYS[span] <= days / 4]
    found = (span for span in able if a_day * (DAYS[span] - LABELS_AFTER) >= _ENOUGH_LABELS)
    return next(found, able[-1] if able else None)


def past_labels(label: Column | None) -> tuple[Aggregate, ...]:
    """What a window over past labels computes: how many there were, and the positives' share.

    Args:
        label: column of the label; None where each row is a positive.
    """
    if label is None:
        return (Aggregate("rows", "count({is_event}) OVER {w}", "int64"),)
    quoted = f"`{label.name}`"
    count = f"count({quoted}) OVER {{w}}"
    one = "true" if label.sql == "bool" else "1"
    share = (
        f"CASE WHEN {count} > 0\n             THEN double(count_where({quoted}, {quoted} = {one}) "
        f"OVER {{w}}) / {count} ELSE NULL END"
    )
    return (
        Aggregate("rows", count, "int64", label),
        Aggregate(f"{label.name}_share", share, "double", label),
    )


def _is_amount(column: Column) -> bool:
    """Whether whole numbers are more than a few, and are not called a kind of something."""
    many = column.sql in WHOLE and column.distinct > _MOST_VALUES
    return many and not NAMES_A_KIND.search(column.name)


def _mean(column: Column) -> Aggregate:
    """The mean of the values there are: the request's own row adds a 0, which is not counted."""
    exact = column.sql not in ("float", "double")
    total = f"sum({'bigint' if exact else 'double'}(`{column.name}`)) OVER {{w}}"
    count = f"count(`{column.name}`) OVER {{w}}"
    return Aggregate(
        f"{column.name}_mean",
        f"CASE WHEN {count} > 1\n             THEN double({total}) / ({count} - 1) ELSE NULL END",
        "double",
        column,
        None if exact else _decimals(column),
    )


def _decimals(column: Column) -> int:
    """About nine digits of the largest value."""
    bounds = [abs(v) for v in (column.least, column.greatest) if v is not None and isfinite(v)]
    largest = max(bounds, default=0.0)
    return max(0, min(15, 9 - ceil(log10(largest)))) if largest > 0 else 9


def _counts(column: Column) -> list[Aggregate]:
    """How often the frequent values were seen, and how many values there were if they are many."""
    quoted = f"`{column.name}`"
    if column.sql == "bool":
        text = f"count_where({quoted}, {quoted} = true) OVER {{w}}"
        return [Aggregate(column.name, text, "int64", column)]
    found = []
    names: set[str] = set()
    for value in column.common[:_MOST_VALUES]:
        literal = str(value)
        if column.sql == "string":
            if not _PLAIN_VALUE.fullmatch(literal):
                continue
            literal = f"'{literal}'".replace("{", "{{").replace("}", "}}")
        short = re.sub(r"[^A-Za-z0-9]+", "_", str(value)).strip("_").lower()[:24]
        name = free(f"{column.name}_{short}" if short else f"{column.name}_value", names)
        names.add(name.lower())
        text = f"count_where({quoted}, {quoted} = {literal}) OVER {{w}}"
        found.append(Aggregate(name, text, "int64", column))
    if column.distinct > len(found):
        text = f"distinct_count({quoted}) OVER {{w}}"
        found.append(Aggregate(free(f"{column.name}_distinct", names), text, "int64", column))
    return found


def free(name: str, taken: Collection[str]) -> str:
    """A name that is not among those taken (in lower case): as it is, or with a number."""
    found, n = name, 1
    while found.lower() in taken:
        n += 1
        found = f"{name}_{n}"
    return found
