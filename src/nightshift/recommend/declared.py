"""The part `recommend` against the source tables, before a night."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from nightshift.config.reading import Problem
from nightshift.config.recommend import FILLS, Recommend, placeholders
from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError
from nightshift.features.tables import SourceTables
from nightshift.recommend import filters, listed


def problems(
    options: Recommend,
    tables: SourceTables,
    columns: Mapping[str, Collection[str]],
    file: str,
) -> list[Problem]:
    """Every table and column that is named and not there.

    Args:
        options: the part `recommend`.
        tables: the declared tables.
        columns: the columns of each.
        file: the pipeline's file, for the messages.
    """
    found: list[Problem] = []
    requests = tables.request_table

    def column(key: str, name: str, table: str) -> None:
        if name not in columns.get(table, ()):
            hint = nearest(name, columns.get(table, ())).removeprefix("; ")
            fix = hint or f"its columns: {', '.join(columns.get(table, ()))}"
            found.append(Problem(file, f"recommend.{key}", f"{table} has no column {name!r}", fix))

    def table(key: str, name: str, known: Collection[str], kind: str) -> bool:
        if name in known:
            return True
        hint = nearest(name, known).removeprefix("; ") or f"there are: {', '.join(known) or 'none'}"
        found.append(Problem(file, f"recommend.{key}", f"there is no {kind} {name!r}", hint))
        return False

    column("user", options.user, requests)
    column("item", options.item, requests)
    _interactions(options, tables, columns, column, table)
    _items(options, tables, column, table)
    _fill(options, tables, columns, file, found)
    own = options.interactions.table or requests
    try:
        filters.check(options.interactions.where, tuple(columns.get(own, ())), f"where of {own}")
    except ConfigurationError as error:
        found.append(Problem(file, "recommend.interactions.where", str(error)))
    return found


def list_problems(path: Path, file: str) -> list[Problem]:
    """What is wrong with the query of `recommend.sql_list`, as far as its text says.

    Args:
        path: the query's file.
        file: the pipeline's file, for the messages.
    """
    try:
        sql = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return [Problem(file, "recommend.sql_list", f"{path} cannot be read: {reason}")]
    wrong = listed.problem_of(sql)
    return [] if wrong is None else [Problem(file, "recommend.sql_list", f"{path} {wrong}")]


def _interactions(
    options: Recommend,
    tables: SourceTables,
    columns: Mapping[str, Collection[str]],
    column: Callable[[str, str, str], None],
    table: Callable[[str, str, Collection[str], str], bool],
) -> None:
    own = options.interactions
    name = own.table or tables.request_table
    if not table("interactions.table", name, tables.events, "event table"):
        return
    there = columns.get(name, ())
    user, item = own.user or options.user, own.item or options.item
    by_request = not (user in there and item in there) and tables.request_id in there
    if not by_request:
        column("interactions.user", user, name)
        column("interactions.item", item, name)


def _items(
    options: Recommend,
    tables: SourceTables,
    column: Callable[[str, str, str], None],
    table: Callable[[str, str, Collection[str], str], bool],
) -> None:
    own = options.items
    if own is None or not table("items.table", own.table, tables.snapshots, "snapshot table"):
        return
    column("items.key", own.key or options.item, own.table)
    for name in own.columns:
        column("items.columns", name, own.table)


def _fill(
    options: Recommend,
    tables: SourceTables,
    columns: Mapping[str, Collection[str]],
    file: str,
    found: list[Problem],
) -> None:
    requests = columns.get(tables.request_table, ())
    there = options.items.columns if options.items is not None else ()
    for name, template in options.fill.items():
        key = f"recommend.fill.{name}"
        if name not in requests:
            hint = nearest(name, requests).removeprefix("; ")
            fix = hint or f"its columns: {', '.join(requests)}"
            found.append(Problem(file, key, f"{tables.request_table} has no column {name!r}", fix))
        if name in (options.user, options.item):
            found.append(Problem(file, key, "it is filled by user or item already", "leave it out"))
        found += [
            Problem(file, key, f"{used} is not among recommend.items.columns", "add it there")
            for used in placeholders(template)
            if used not in FILLS and used.removeprefix("item.") not in there
        ]
