"""Which table and column plays which part; every guess is kept, to be printed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError
from nightshift.scaffold.survey import TIME, WHO_OR_WHAT, Column, Table
from nightshift.scaffold.windows import LABELS_AFTER, label_span

_KEY_TYPES = ("string", "int16", "int32", "int64")
_ID = re.compile(r"(?i)(?:^|_)(?:req|request|imp|impression|event|row|show|session)s?_?id$|^id$")
_LABEL = re.compile(r"(?i)label|click|convert|conversion|purchase|order|buy|bought|value|target|y$")
MOST_KEYS = 3
MOST_EVENT_KEYS = 2


@dataclass(frozen=True)
class Joined:
    """A table that adds features to a request.

    Attributes:
        table: the table.
        key: the column that both have.
        time: the column of its time, for a table of events; None for a snapshot.
        also: further columns that both have, by which rows of events are counted.
    """

    table: Table
    key: str
    time: str | None
    also: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them, the one that a row is joined by first."""
        return (self.key, *self.also)


@dataclass
class Roles:
    """What each table is to the pipeline.

    Attributes:
        requests: the table whose rows are requests.
        request_id: its column that names one.
        request_time: its column of the time.
        keys: its columns that windows are kept by.
        labels: the table of the label.
        label_key: its column that names the request.
        label: its column of the label; None where a row is a positive.
        label_time: its column of the time; None for a table without one.
        label_from: the folder or file that the label's table comes out of, where that is the
            requests'; None where it has its own.
        label_spans: by key how far windows over past labels reach back, of `windows.DAYS`; empty
            where there are none.
        joined: further tables.
        unused: tables that share no key, with the reason.
        guesses: what was decided without being told, one sentence each.
    """

    requests: Table
    request_id: str
    request_time: str
    keys: list[str]
    labels: Table
    label_key: str
    label: str | None
    label_time: str | None
    joined: list[Joined] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    guesses: list[str] = field(default_factory=list)
    label_from: str | None = None
    label_spans: dict[str, str] = field(default_factory=dict)


def decide(
    tables: Mapping[str, Table],
    *,
    requests: str | None = None,
    labels: str | None = None,
    label: str | None = None,
) -> Roles:
    """Decide the roles; what is given is taken, the rest is guessed from names and counts.

    Raises:
        ConfigurationError: a name is not there, or a role cannot be told; says what to give.
        DataError: a table lacks what its role needs.
    """
    guesses: list[str] = []
    guessed = requests is None and labels is None
    label_table = tables[_named(tables, labels, "--labels")] if labels else None
    if requests is None:
        requests = _guess_requests(tables, labels)
        guesses.append(f"requests: {requests}, the largest table with an id and a time")
    request_table = tables[_named(tables, requests, "--requests")]
    label_from = None
    if label_table is None or label_table is request_table:
        own = _own_label(tables, request_table, label, alone=label_table is request_table)
        if own is not None:
            label_from = request_table.name
            request_table, label_table = _apart(tables, request_table, own, guesses)
            label = own
    request_id = _request_id(request_table, label_table, guesses)
    request_time = _time(request_table, "requests", guesses)
    if label_table is None:
        label_table = _guess_labels(tables, request_table, request_id)
        guesses.append(f"labels: {label_table.name}, which has the column {request_id}")
    label_key = _label_key(request_table, request_id, label_table, guesses)
    roles = Roles(
        request_table,
        request_id,
        request_time,
        _keys(request_table, request_id, request_time),
        label_table,
        label_key,
        _label(label_table, label_key, label, guesses),
        _time_or_none(label_table),
        guesses=guesses,
        label_from=label_from,
    )
    if roles.keys:
        guesses.append(f"earlier requests are counted by {', '.join(roles.keys)}")
    roles.label_spans = _label_spans(roles)
    if roles.label_spans:
        guesses.append(
            f"past labels are features, by {', '.join(roles.label_spans)}: those older than "
            f"{LABELS_AFTER} days at a request, when a night has loaded them for sure"
        )
    _check_positives(roles, guessed)
    _join(tables, roles)
    return roles


def _own_label(
    tables: Mapping[str, Table], requests: Table, label: str | None, *, alone: bool
) -> str | None:
    """The column of the requests that is the label; None where another table gives it.

    Args:
        tables: all.
        requests: the requests.
        label: the label's column, where it was named.
        alone: no other table is looked at.

    Raises:
        ConfigurationError: it is not known which column, or there is none.
    """
    if alone:
        tables = {}
    if label is not None and alone:
        requests.column(label)
    if label is not None:
        elsewhere = any(
            column.name == label
            for table in tables.values()
            if table is not requests
            for column in table.columns
        )
        return label if not elsewhere and _has(requests, label) else None
    ids = set(_unique(requests))
    if not ids or any(
        ids & {c.name for c in t.columns} for t in tables.values() if t is not requests
    ):
        return None
    binary = [c.name for c in requests.columns if c.is_binary]
    named = [name for name in binary if _LABEL.search(name)]
    if len(named) != 1:
        near = f" ({', '.join(named or binary)} may be)" if binary else ""
        raise ConfigurationError(
            f"no table but {requests.name} names requests, and which of its columns is the label "
            f"is not known{near}: name it by --label; it holds 0 and 1, or is a boolean"
        )
    return named[0]


def _has(table: Table, name: str) -> bool:
    return any(column.name == name for column in table.columns)


def _apart(
    tables: Mapping[str, Table], whole: Table, label: str, guesses: list[str]
) -> tuple[Table, Table]:
    """The requests without the label, and the label as a table of its own.

    It is not there yet when a request is served, so that it can be no column of requests.
    """
    if not whole.column(label).is_binary:
        _label(whole, "", label, [])
    request_id = _request_id(whole, None, [])
    time = _time(whole, "requests", [])
    name = f"{whole.name}_label"
    while name in tables:
        name += "s"
    guesses.append(
        f"label: {whole.name}.{label}, which is no part of a request: the table {name} of it is "
        f"loaded from the files of {whole.name}"
    )
    rest = replace(
        whole,
        columns=tuple(c for c in whole.columns if c.name != label),
        meanings={name: meaning for name, meaning in whole.meanings.items() if name != label},
    )
    # The keys, too: windows over past labels are kept by them.
    own = {request_id, time, label, *_keys(rest, request_id, time)}
    columns = [c for c in whole.columns if c.name in own]
    labels = replace(
        whole,
        name=name,
        columns=tuple(columns),
        shared={request_id: whole.shared[request_id]},
        meanings={name: meaning for name, meaning in whole.meanings.items() if name in own},
        left_out={},
    )
    return rest, labels


def _check_positives(roles: Roles, guessed: bool) -> None:
    """Refuse labels by which no request is a positive, or every one."""
    labels, requests = roles.labels, roles.requests
    if not labels.rows:
        raise ConfigurationError(
            f"table {labels.name} of labels has no rows, so that nothing is a positive; name the "
            f"tables by --requests and --labels{_why_not(labels)}"
        )
    if guessed and labels.rows > requests.rows:
        raise ConfigurationError(
            f"{requests.name} looks like the requests and {labels.name} like their labels, and that "
            f"has more rows ({labels.rows} to {requests.rows}), as if it were the other way round: "
            f"name the tables by --requests and --labels{_why_not(labels)}"
        )
    ids = requests.shared.get(roles.request_id, frozenset())
    named = labels.shared.get(roles.label_key, frozenset())
    if roles.label is None and ids and ids <= named:
        raise ConfigurationError(
            f"every row of {requests.name} has one in {labels.name}, where a row is a positive, so "
            "that nothing is a negative: name the tables by --requests and --labels, or the label's "
            f"column by --label{_why_not(labels)}"
        )


def _why_not(table: Table) -> str:
    """What keeps a table from being that of the requests; empty where nothing does."""
    lacks = []
    if not table.rows:
        lacks.append("it has no rows")
    else:
        if not _unique(table):
            lacks.append("no column of it names each row: an id has no NULL and no repeats")
        if _time_or_none(table) is None:
            lacks.append("it has no timestamp column without NULLs")
    return f". {table.name} cannot be the requests: {', and '.join(lacks)}" if lacks else ""


def _named(tables: Mapping[str, Table], name: str, option: str) -> str:
    if name not in tables:
        raise ConfigurationError(
            f"{option} {name}: there is no such folder{nearest(name, tables)}; there are "
            f"{', '.join(tables)}"
        )
    return name


def _guess_requests(tables: Mapping[str, Table], labels: str | None) -> str:
    able = [t for t in tables.values() if t.name != labels and _time_or_none(t) and _unique(t)]
    if not able:
        raise ConfigurationError(
            "no table has both a column that names each row and a timestamp; name the table of "
            "requests by --requests"
        )
    # A label names requests, so that the id of requests stands in another table, too.
    others = {
        t.name: {c.name for o in tables.values() if o is not t for c in o.columns} for t in able
    }
    named = [t for t in able if others[t.name].intersection(_unique(t))]
    return max(named or able, key=lambda t: t.rows).name


def _unique(table: Table) -> list[str]:
    """Columns that may name each row."""
    return [c.name for c in table.columns if c.sql in _KEY_TYPES and table.is_unique(c.name)]


def _request_id(table: Table, labels: Table | None, guesses: list[str]) -> str:
    unique = _unique(table)
    if not unique:
        raise ConfigurationError(
            f"no column of {table.name} names each of its rows: a request needs an id without "
            "NULL and without repeats (text or whole numbers); name another table by --requests"
        )
    shared = [n for n in unique if labels and any(c.name == n for c in labels.columns)]
    named = [n for n in (shared or unique) if _ID.search(n)]
    chosen = (named or shared or unique)[0]
    guesses.append(f"request id: {table.name}.{chosen}, which has no repeats")
    return chosen


def _times(table: Table) -> list[Column]:
    return [c for c in table.columns if c.sql == "timestamp" and c.nulls == 0]


def _time_or_none(table: Table) -> str | None:
    times = _times(table)
    named = [c for c in times if TIME.search(c.name)]
    found = named or times
    return found[0].name if found else None


def _time(table: Table, what: str, guesses: list[str]) -> str:
    found = _time_or_none(table)
    if found is None:
        near = [c.name for c in table.columns if TIME.search(c.name)]
        hint = f" ({', '.join(near)} is not of that type or holds NULLs)" if near else ""
        raise ConfigurationError(
            f"table {table.name} of {what} has no timestamp column without NULLs{hint}; write the "
            "time as a parquet timestamp in milliseconds or microseconds"
        )
    guesses.append(f"time of {table.name}: {found}")
    return found


def _guess_labels(tables: Mapping[str, Table], requests: Table, request_id: str) -> Table:
    able = [
        t
        for t in tables.values()
        if t.name != requests.name and any(c.name == request_id for c in t.columns)
    ]
    if len(able) != 1:
        raise ConfigurationError(
            f"{len(able)} tables have the column {request_id}; name the label's by --labels"
        )
    return able[0]


def _label_key(requests: Table, request_id: str, labels: Table, guesses: list[str]) -> str:
    kind = requests.column(request_id).sql
    if any(c.name == request_id and c.sql == kind for c in labels.columns):
        return request_id
    ids = requests.shared[request_id]
    for column in labels.columns:
        values = labels.shared.get(column.name, frozenset())
        if column.sql == kind and values and len(values & ids) > 0.5 * len(values):
            guesses.append(f"{labels.name}.{column.name} holds values of {request_id}")
            return column.name
    raise ConfigurationError(
        f"no column of {labels.name} names a request ({request_id} of {requests.name}, {kind})"
    )


def _label(table: Table, key: str, given: str | None, guesses: list[str]) -> str | None:
    if given is not None:
        column = table.column(given)
        if not column.is_binary:
            raise ConfigurationError(
                f"--label {given}: {table.name}.{given} is {column.sql} from {column.least!r} to "
                f"{column.greatest!r}; a label is 0 or 1, or a boolean"
            )
        return given
    binary = [c.name for c in table.columns if c.is_binary and c.name != key]
    named = [name for name in binary if _LABEL.search(name)]
    found = (named or binary)[:1]
    if found and (len(binary) == 1 or named):
        guesses.append(f"label: {table.name}.{found[0]}; a request without a row counts as 0")
        return found[0]
    guesses.append(f"label: a row of {table.name} is a positive, a request without one is not")
    return None


def _keys(table: Table, request_id: str, request_time: str) -> list[str]:
    """Columns whose values come again: users, products, campaigns."""
    able = [
        c
        for c in table.columns
        if c.name not in (request_id, request_time)
        and c.sql in _KEY_TYPES
        and c.nulls == 0
        and 20 < c.distinct <= table.seen / 2
    ]
    able.sort(key=_as_key)
    return [c.name for c in able[:MOST_KEYS]]


def _label_spans(roles: Roles) -> dict[str, str]:
    """By key of the requests that the labels have, too, how far back past labels are counted."""
    labels, time = roles.labels, roles.label_time
    if time is None:
        return {}
    kinds = {column.name: column.sql for column in labels.columns}
    spans = {
        key: label_span(labels, key, time)
        for key in roles.keys
        if key != roles.label_key and kinds.get(key) == roles.requests.column(key).sql
    }
    return {key: span for key, span in spans.items() if span is not None}


def _as_key(column: Column) -> tuple[bool, bool, bool, int]:
    """Ids first, then text; a number may be an amount, and one that is called a time is no key."""
    return (
        not WHO_OR_WHAT.search(column.name),
        bool(TIME.search(column.name)),
        column.sql != "string",
        -column.distinct,
    )


def _join(tables: Mapping[str, Table], roles: Roles) -> None:
    taken = {roles.requests.name, roles.labels.name}
    for table in tables.values():
        if table.name in taken:
            continue
        key = _join_key(roles.requests, roles.request_id, table)
        if key is None:
            roles.unused[table.name] = f"it shares no key column with {roles.requests.name}"
            continue
        time = _time_or_none(table)
        snapshot = not table.days and table.is_unique(key)
        if not snapshot and time is None:
            roles.unused[table.name] = (
                f"{key} repeats in it and it has no timestamp column, so the row to join is open"
            )
            continue
        if snapshot:
            roles.joined.append(Joined(table, key, None))
            roles.guesses.append(f"{table.name}: a snapshot, one row a key, joined by {key}")
            continue
        also = [name for name in _shared_keys(roles.requests, roles.request_id, table)
                if name != key and name in roles.keys]  # fmt: skip
        joined = Joined(table, key, time, tuple(also[: MOST_EVENT_KEYS - 1]))
        roles.joined.append(joined)
        roles.guesses.append(
            f"{table.name}: events, the newest before the request joined by {key}, those of the "
            f"last days counted by {', '.join(joined.keys)}"
        )


def _join_key(requests: Table, request_id: str, table: Table) -> str | None:
    return next(iter(_shared_keys(requests, request_id, table)), None)


def _shared_keys(requests: Table, request_id: str, table: Table) -> list[str]:
    """Columns that a table shares with the requests, the best to join by first."""
    kinds: dict[str, str] = {c.name: c.sql for c in requests.columns if c.name != request_id}
    shared = [
        c
        for c in table.columns
        if kinds.get(c.name) == c.sql and c.sql in _KEY_TYPES and c.nulls == 0
    ]
    order: Sequence[Column] = sorted(
        shared, key=lambda c: (not table.is_unique(c.name), not c.name.lower().endswith("id"))
    )
    return [c.name for c in order]
