"""The files of a proposed pipeline, from its roles."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from nightshift.scaffold import meanings
from nightshift.scaffold.roles import Joined, Roles
from nightshift.scaffold.survey import Column, Table
from nightshift.scaffold.windows import (
    DAYS,
    LABELS_AFTER,
    Windows,
    aggregates,
    free,
    past_labels,
    spans,
)
from nightshift.zones import Zone

_SQL_NAMES = {
    "bool": "bool",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "date": "date",
    "timestamp": "timestamp",
}
_GROWING_DAYS = 7
"""So many days longer than a window needs, the history may still be that of the first nights."""
_YEARS = 10
"""So many years beyond the data, a query knows when the clocks of its zone change."""


@dataclass(frozen=True)
class Feature:
    """One column of the query.

    Attributes:
        name: its name there.
        sql: its SQL type.
        kind: `categorical` or `numeric`; or `key`, `ignored: <why>`.
        decimals: to which a number is rounded; None: as it is.
    """

    name: str
    sql: str
    kind: str
    decimals: int | None = None


@dataclass(frozen=True)
class Window:
    """Days of requests, and how they are used.

    Attributes:
        first: first day with requests.
        last: last day.
        train_days: days that a night learns from, held-out days included.
        valid_days: validation days.
        test_days: held-out days.
        settle_days: days that a label needs.
    """

    first: dt.date
    last: dt.date
    train_days: int
    valid_days: int
    test_days: int
    settle_days: int


def quoted(name: str) -> str:
    """A name as OpenMLDB's SQL takes it, whatever word it is."""
    return f"`{name}`"


# create_tables.sql


Expiry = Callable[[str, str, str | None], str]
"""(table, key, time column) -> the options of an index that say how long it keeps rows."""

_LIVE = (
    "-- A ttl is what the query reaches back and 7 days; age counts from now. Where nothing bounds\n"
    "-- what the query reads, it is 0m: rows are kept for ever. ./nightshift check compares both.\n"
)
_RECORDED = (
    "-- ttl=0m never expires: the rows are of long ago, and age counts from now. With a feed of new\n"
    "-- rows, ./nightshift check says what to write instead.\n"
)


def create_tables(roles: Roles, expiry: Expiry | None = None) -> str:
    """CREATE TABLE of every table, with the indexes that the query needs.

    Args:
        roles: the tables.
        expiry: how long indexes of event tables keep rows; None: for ever.
    """
    keeps: Expiry = expiry or (lambda table, key, time: "ttl=0m, ttl_type=absolute")
    parts = [
        (
            "-- The source tables: names and types of the files. The indexes are the ones that the\n"
            "-- feature query needs, declared here so that DEPLOY finds them and moves no data.\n"
            + (_RECORDED if expiry is None else _LIVE)
        )
    ]
    indexes: dict[str, list[str]] = {roles.requests.name: []}
    for key in roles.keys or [roles.request_id]:
        indexes[roles.requests.name].append(
            _index(roles.requests.name, key, roles.request_time, keeps)
        )
    indexes[roles.labels.name] = [
        _index(roles.labels.name, key, roles.label_time, keeps)
        for key in (roles.label_key, *roles.label_spans)
    ]
    for joined in roles.joined:
        indexes[joined.table.name] = [
            _index(joined.table.name, key, joined.time, keeps) for key in joined.keys
        ]
    for table in _tables(roles):
        columns = ",\n".join(f"    {quoted(c.name)} {_SQL_NAMES[c.sql]}" for c in table.columns)
        lines = ",\n".join(f"    {text}" for text in indexes[table.name])
        parts.append(f"CREATE TABLE IF NOT EXISTS {quoted(table.name)}(\n{columns},\n{lines}\n);\n")
    return "\n".join(parts)


def _index(table: str, key: str, time: str | None, keeps: Expiry) -> str:
    if time is None:
        return f"INDEX(key={quoted(key)}, ttl=1, ttl_type=latest)"
    return f"INDEX(key={quoted(key)}, ts={quoted(time)}, {keeps(table, key, time)})"


def _tables(roles: Roles) -> list[Table]:
    return [roles.requests, roles.labels, *(j.table for j in roles.joined)]


# tables.yaml


def tables_yaml(roles: Roles, window: Window, zone: Zone) -> str:
    """The declaration of the source tables."""
    events = {roles.requests.name: roles.request_time}
    snapshots = []
    if roles.label_time is not None:
        events[roles.labels.name] = roles.label_time
    else:
        snapshots.append(roles.labels.name)
    for joined in roles.joined:
        if joined.time is None:
            snapshots.append(joined.table.name)
        else:
            events[joined.table.name] = joined.time
    listed = "\n".join(f"  {name}: {time}" for name, time in events.items())
    return f"""\
# yaml-language-server: $schema=../../docs/reference/schemas/tables.json
# The source tables: how their files lie, and what each is to the features.
version: 1

# Laid out as <table>/ds=YYYY-MM-DD/*.parquet. The column says which day a row belongs to
# ({_days_of(zone)}).
events:
{listed}

# Laid out as <table>/*.parquet, replaced as a whole.
snapshots: [{", ".join(snapshots)}]

requests:
  table: {roles.requests.name}
  id: {roles.request_id}

{_label(roles, window)}{_meanings(roles)}"""


def _meanings(roles: Roles) -> str:
    """The key `as`; empty where every column is what it seems."""
    found = meanings.words({table.name: table.meanings for table in _tables(roles)})
    if not found:
        return ""
    listed = "".join(f"  {place}: {json.dumps(word)}\n" for place, word in found.items())
    return (
        "\n# What `data load` takes values for that could mean more than one thing, as its option --as\n"
        f"# does: units of numbers that are times, zones of texts, rounding.\nas:\n{listed}"
    )


def _label(roles: Roles, window: Window) -> str:
    """The key `label`."""
    name, settles = roles.labels.name, f"  settles: {{days: {window.settle_days}}}\n"
    if roles.label_spans:
        settles += (
            "  # So long after its time a label is in the online store: windows over past labels end\n"
            "  # so long before a request.\n"
            f"  delay: {{days: {LABELS_AFTER}}}\n"
        )
    if roles.label_from is not None:
        return (
            "# A column of the requests' files; it is not there yet when a request is served, so it is\n"
            f"# a table of its own, which `data load` takes out of the files of {roles.label_from}.\n"
            f"label:\n  table: {name}\n  from: {roles.label_from}\n{settles}"
        )
    return (
        "# A request without a row counts as `absent` once the label has had time to settle.\n"
        f"label:\n  table: {name}\n  absent: 0\n{settles}"
    )


# features.sql

_TAKEN = frozenset(
    {"request_id", "request_time", "request_hour", "request_weekday", "label_request_id", "label"}
)
"""Columns of the query that are not named after a column of a table."""


def _given_name(roles: Roles, column: str) -> str:
    """What a column of the requests is called in the query: as it is, where nothing else is."""
    others = {f"{j.table.name}_{c.name}".lower() for j in roles.joined for c in _joined_columns(j)}
    others |= {name.lower() for name, _, _ in _earlier(roles)}
    others |= {_age(joined).lower() for joined in roles.joined if joined.time is not None}
    for part in _windows(roles):
        others |= {part.id_column.lower(), *(name.lower() for name, _, _ in part.columns())}
    others |= _TAKEN
    columns = {c.name.lower() for c in roles.requests.columns}
    found = column
    while found.lower() in others or (found != column and found.lower() in columns):
        found = f"{roles.requests.name}_{found}"
    return found


def features(roles: Roles) -> list[Feature]:
    """Every column of the query, in its order."""
    request = roles.requests
    found = [
        Feature("request_id", request.column(roles.request_id).sql, "key"),
        Feature("request_time", "timestamp", "key"),
    ]
    found += [
        Feature(_given_name(roles, column.name), column.sql, _kind_in_request(roles, column))
        for column in request.columns
        if column.name not in (roles.request_id, roles.request_time)
    ]
    found += [
        Feature("request_hour", "int32", "categorical"),
        Feature("request_weekday", "int32", "categorical"),
    ]
    found += [Feature(name, "int64", "numeric") for name, _, _ in _earlier(roles)]
    found += [
        Feature("label_request_id", request.column(roles.request_id).sql, "key"),
        Feature("label", "int32", "label"),
    ]
    for joined in roles.joined:
        if joined.time is not None:
            found.append(Feature(_age(joined), "int64", "numeric"))
        for column in _joined_columns(joined):
            found.append(_feature(column, f"{joined.table.name}_{column.name}", joined.table))
    for part in _windows(roles):
        found.append(Feature(part.id_column, request.column(roles.request_id).sql, "key"))
        found += [
            Feature(name, one.sql, "numeric", one.decimals) for name, one, _ in part.columns()
        ]
    return found


def _age(joined: Joined) -> str:
    """The column of how long ago the newest event was, in milliseconds."""
    taken = {f"{joined.table.name}_{c.name}".lower() for c in joined.table.columns}
    return free(f"{joined.table.name}_ms_ago", taken)


def _kind_in_request(roles: Roles, column: Column) -> str:
    """What another table is found by is an id, whatever its name."""
    kind = roles.requests.kind_of(column)
    joins = any(column.name in joined.keys for joined in roles.joined)
    return "categorical" if joins and kind == "numeric" else kind


def _earlier(roles: Roles) -> list[tuple[str, str, str]]:
    """Name, key and span of each count of earlier requests."""
    return [
        (f"{key}_requests_{span}", key, span)
        for key in roles.keys
        for span in spans(roles.requests, key, roles.request_time)
    ]


def _windows(roles: Roles) -> list[Windows]:
    """The windows over the tables of events, and over past labels."""
    return [*_event_windows(roles), *_label_windows(roles)]


def _label_windows(roles: Roles) -> list[Windows]:
    label = None if roles.label is None else roles.labels.column(roles.label)
    return [
        Windows(
            *(roles.labels, key, str(roles.label_time)),
            *(roles.requests, roles.request_id, roles.request_time),
            past_labels(label),
            (span,),
            LABELS_AFTER,
        )
        for key, span in roles.label_spans.items()
    ]


def _event_windows(roles: Roles) -> list[Windows]:
    return [
        Windows(
            *(joined.table, key, joined.time, roles.requests, roles.request_id, roles.request_time),
            tuple(aggregates(joined.table, {*joined.keys, joined.time})),
            spans(joined.table, key, joined.time),
        )
        for joined in roles.joined
        if joined.time is not None
        for key in joined.keys
    ]


def _joined_columns(joined: Joined) -> list[Column]:
    return [c for c in joined.table.columns if c.name not in (joined.key, joined.time)]


def _feature(column: Column, name: str, table: Table) -> Feature:
    return Feature(name, column.sql, table.kind_of(column))


def features_sql(roles: Roles, zone: Zone, window: Window) -> str:
    """The feature query."""
    request, time = roles.requests, roles.request_time
    columns = [
        f"{quoted(roles.request_id)} AS request_id",
        f"{quoted(time)} AS request_time",
        *(
            f"{quoted(c.name)} AS {quoted(_given_name(roles, c.name))}"
            for c in request.columns
            if c.name not in (roles.request_id, time)
        ),
        f"hour({_local(time, zone, window)}) AS request_hour",
        f"dayofweek({_local(time, zone, window)}) AS request_weekday",
        *(
            f"count({quoted(roles.request_id)}) OVER {key}_{span} AS {quoted(name)}"
            for name, key, span in _earlier(roles)
        ),
    ]
    frames = [
        f"{key}_{span} AS (\n            PARTITION BY {quoted(key)} ORDER BY {quoted(time)}\n"
        f"            ROWS_RANGE BETWEEN {span} PRECEDING AND 0s PRECEDING MAXSIZE 1000)"
        for _, key, span in _earlier(roles)
    ]
    named = "\n    WINDOW\n        " + ",\n        ".join(frames) if frames else ""
    joins, outside = _joins(roles)
    parts = "".join(f"\n{part.to_sql()}" for part in _windows(roles))
    listed = ",\n        ".join(columns)
    also = ",\n        ".join(outside)
    return f"""\
-- One row a request: what is known at the moment of the request. This one query is run offline
-- over history and deployed online. Proposed by ./nightshift new: look at the windows and at what
-- each column means before you trust it.
{_changes(zone, window)}SELECT * FROM
(
    -- The request, and how often its keys were seen before.
    SELECT
        {listed}
    FROM {quoted(request.name)}{named}
) AS request
LAST JOIN
(
    -- The label and the other tables, one row each.
    SELECT
        {also}
    FROM {quoted(request.name)}
{joins}
) AS joined
ON request.request_id = joined.label_request_id{parts};
"""


def _local(time: str, zone: Zone, window: Window) -> str:
    """A time whose hour and weekday are the zone's: OpenMLDB's functions know UTC+8 alone."""
    openmldb = Zone().offset_ms or 0
    until = dt.date(window.last.year + _YEARS, 12, 31)
    # A window's days are the zone's, and lookback may read some months before them.
    offsets = [
        (begin, ahead - openmldb)
        for begin, ahead in zone.offsets(window.first - dt.timedelta(days=366), until)
    ]
    moved = f"bigint({quoted(time)})"
    if len(offsets) == 1:
        ahead = offsets[0][1]
        if not ahead:
            return quoted(time)
        return f"timestamp({moved} {'+' if ahead > 0 else '-'} {abs(ahead)})"
    branches = "".join(
        f"\n            WHEN {moved} < {end} THEN {ahead}"
        for (_, ahead), (end, _) in itertools.pairwise(offsets)
    )
    return f"timestamp({moved} + CASE{branches}\n            ELSE {offsets[-1][1]} END)"


def _changes(zone: Zone, window: Window) -> str:
    """A comment on the clock's changes that the query knows; empty where there are none."""
    if zone.offset_ms is not None:
        return ""
    return (
        f"--\n-- request_hour and request_weekday are {zone.name}'s: the branches are the moments at\n"
        f"-- which its clocks change, up to the end of {window.last.year + _YEARS}; add later ones in time.\n"
    )


def _days_of(zone: Zone) -> str:
    if zone == Zone():
        return "UTC+8, as OpenMLDB"
    return f"{zone.name}, by time_zone of pipeline.yaml"


def _joins(roles: Roles) -> tuple[str, list[str]]:
    request, labels = quoted(roles.requests.name), quoted(roles.labels.name)
    newest = ""
    if roles.label_time is not None:
        newest = f" ORDER BY {labels}.{quoted(roles.label_time)}"
    lines = [
        (
            f"    LAST JOIN {labels}{newest} ON {request}.{quoted(roles.request_id)} = "
            f"{labels}.{quoted(roles.label_key)}"
        )
    ]
    columns = [
        f"{request}.{quoted(roles.request_id)} AS label_request_id",
        f"{_label_expression(roles)} AS label",
    ]
    for joined in roles.joined:
        name, key = quoted(joined.table.name), quoted(joined.key)
        order = ""
        if joined.time is not None:
            order = f" ORDER BY {name}.{quoted(joined.time)}"
        lines.append(f"    LAST JOIN {name}{order} ON {request}.{key} = {name}.{key}")
        if joined.time is not None:
            lines[-1] += (
                f" AND {name}.{quoted(joined.time)} < {request}.{quoted(roles.request_time)}"
            )
            columns.append(
                f"bigint({request}.{quoted(roles.request_time)}) - "
                f"bigint({name}.{quoted(joined.time)}) AS {quoted(_age(joined))}"
            )
        columns += [
            f"{name}.{quoted(c.name)} AS {quoted(f'{joined.table.name}_{c.name}')}"
            for c in _joined_columns(joined)
        ]
    return "\n".join(lines), columns


def _label_expression(roles: Roles) -> str:
    """0, 1, or NULL where the request has no row of the label's table yet."""
    labels = quoted(roles.labels.name)
    key = f"{labels}.{quoted(roles.label_key)}"
    if roles.label is None:
        return f"CASE WHEN isnull({key}) THEN NULL ELSE 1 END"
    column = f"{labels}.{quoted(roles.label)}"
    kind = roles.labels.column(roles.label).sql
    return column if kind == "int32" else f"int({column})"


# feature_spec.yaml


def feature_spec_yaml(roles: Roles, window: Window, lookback: dict[str, int], zone: Zone) -> str:
    """The feature specification."""
    columns = features(roles)
    keys = ", ".join(f.name for f in columns if f.kind == "key")
    ignored = [f for f in columns if f.kind.startswith("ignored")]
    blocks = [
        f"""\
# yaml-language-server: $schema=../../docs/reference/schemas/feature_spec.json
# What each column of features.sql is to the model. Preprocessing, the predict server and the
# model's vocabulary are driven by this file; a column that the query gives and this file does not
# name (or the other way round) is an error.
version: 1

label: label
time: request_time             # splits train, validation and test by day ({_days_of(zone)})

label_settle_days: {window.settle_days}           # a younger row is left out of training
test_days: {window.test_days}                   # the last judged days are held out for the test
valid_days: {window.valid_days}                  # those before them validate
# Days of history that the windows of the query look back on.
lookback_days:
"""
        + "".join(f"  {name}: {days}\n" for name, days in lookback.items()),
        f"# Columns that name a row and must never be learned.\nkeys: [{keys}]\n",
    ]
    if ignored:
        lines = "".join(f"  {f.name}: {f.kind.removeprefix('ignored: ')}\n" for f in ignored)
        blocks.append(f"# Columns that the model does not see, and why.\nignored:\n{lines}")
    for kind, doc in (
        ("categorical", "# Each value is an id: xxhash64 of its canonical text."),
        (
            "numeric",
            (
                "# Numbers as numbers: the transform is chosen from the training values unless one is\n"
                "# given here (log1p, signed_log1p, standard, minmax, quantile, none, hash)."
            ),
        ),
    ):
        chosen = [f for f in columns if f.kind == kind]
        if chosen:
            lines = "".join(f"  {f.name}: {_declared(f)}\n" for f in chosen)
            blocks.append(f"{doc}\n{kind}:\n{lines}")
    return "\n".join(blocks)


def _declared(feature: Feature) -> str:
    """What the specification says of a column."""
    if feature.kind == "categorical":
        return feature.sql
    if feature.decimals is None:
        return f"{{type: {feature.sql}}}"
    return f"{{type: {feature.sql}, transform: auto, decimals: {feature.decimals}}}"


# The other files


def pipeline_yaml(name: str, roles: Roles, window: Window, zone: Zone) -> str:
    """`pipeline.yaml`."""
    own = zone != Zone()
    when = "in time_zone" if own else "UTC"
    declared = f'time_zone: "{zone.name}"     # of the partitions\' days\n' if own else ""
    return f"""\
# yaml-language-server: $schema=../../docs/reference/schemas/pipeline.json
version: 1
description: {name}, from {roles.requests.name} and {roles.labels.name}
family: ctr

schedule: "0 2 * * *"     # cron, {when}: for the partition of the day before; off: by hand only
{declared}train_days: {window.train_days}
keep_releases: 3

features:
  sql: features.sql
  create_tables: create_tables.sql
  tables: tables.yaml
  spec: feature_spec.yaml

gates: gates.yaml
hyperparameters: hyperparameters.yaml
gates_run: [data, quality, baseline, rehearsal, consistency]
"""


def gates_yaml(roles: Roles, window: Window, rows: int, positives: int | None) -> str:
    """Thresholds that suit the data's size; what is left out has its default."""
    days = max(1, (window.last - window.first).days + 1)
    a_night = rows * min(window.train_days, days) // days
    least = max(20, a_night // 5)
    share = positives / rows if positives and rows else None
    low = 0.0 if share is None else max(0.0, _round(share / 5))
    high = 1.0 if share is None else min(1.0, _round(share * 5))
    held_out = (positives or 0) * window.test_days // days
    level = "fail" if held_out >= 30 else "warn"
    moving = _moving(roles, window, days)
    few = "" if level == "fail" else (
        f"\n  # About {held_out} positives a test are too few for a verdict: a wide interval passes\n"
        "  # nothing, so that the comparison only warns until there are more."
    )  # fmt: skip
    compared = max(1, min(20, rows * window.test_days // days // 4))
    return f"""\
# yaml-language-server: $schema=../../docs/reference/schemas/gates.json
# What a candidate must pass before it may serve; docs/release.md explains each check. Keys that
# are left out have their defaults. Level fail rejects the candidate, warn is written down.

data:
  rows: {{min: {least}, level: fail}}
  positives: {{min_share: {low:g}, max_share: {high:g}, level: fail}}
{moving}
quality:
  min_auc: {{value: 0.5, level: {level}}}{few}
  versus_live: {{level: {level}}}

consistency:
  min_compared: {{value: {compared}, level: fail}}
"""


def _moving(roles: Roles, window: Window, days: int) -> str:
    """What drifts by the calendar alone, or since the history is young, for the data gate."""
    learned = window.train_days - window.valid_days - window.test_days - window.settle_days
    compared = window.valid_days + window.test_days + window.settle_days
    weekday = ["request_weekday"] if min(learned, compared) < 7 else []
    counted = [(name, span) for name, _, span in _earlier(roles)]
    counted += [(name, span) for part in _windows(roles) for name, _, span in part.columns()]
    long = [one for one in counted if days < window.train_days + DAYS[one[1]] + _GROWING_DAYS]
    young = [name for name, _ in long]
    if not weekday + young:
        return ""
    reach = max((DAYS[span] for _, span in long), default=0)
    enough = window.train_days + reach + _GROWING_DAYS
    listed = yaml.safe_dump({"except": weekday + young}, default_flow_style=True, width=10**6)
    why = "  # Not judged for drift:"
    if weekday:
        why += " the days that are compared are fewer than a week has."
    if young:
        why += (
            "\n  # The counts grow by themselves while their windows reach back to before the first\n"
            f"  # day of the data; judge them once there are {enough} days."
        )
    return f"{why}\n  drift: {listed.strip()}\n"


def _round(share: float) -> float:
    digits = 1 - math.floor(math.log10(share)) if share > 0 else 2
    return round(share, digits)


HYPERPARAMETERS = """\
# yaml-language-server: $schema=../../docs/reference/schemas/hyperparameters.json
# Hyper-parameters of training; docs/models.md names all of them. What is left out follows from the
# data's size and sparseness.
family: deepfm
"""


def dag_file(name: str) -> str:
    """The pipeline's file in `dags/`."""
    return f'''\
"""DAGs of the pipeline {name}: retrain_{name} and rollback_{name}, made from pipelines/{name}/."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags import pipeline_dags

globals().update(pipeline_dags("{name}"))
'''
