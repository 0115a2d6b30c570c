"""Names of a SELECT's columns, which the API server does not send."""

from __future__ import annotations

import re
from collections.abc import Callable

from nightshift.openmldb import normalise_sql

_OPEN, _CLOSE = "([{", ")]}"
_WORD = r"`[^`]+`|[A-Za-z_][A-Za-z0-9_$]*"
_ALIAS = re.compile(rf"(?:^|.*[\s)])AS\s+({_WORD})$", re.IGNORECASE | re.DOTALL)
_BARE_ALIAS = re.compile(rf".*[\w`)'\"]\s+({_WORD})$", re.DOTALL)
_COLUMN = re.compile(rf"(?:(?:{_WORD})\.)*({_WORD})$")
_STAR = re.compile(rf"(?:({_WORD})\.)?\*$")
_FROM = re.compile(rf"FROM\s+(?:({_WORD})\.)?({_WORD})", re.IGNORECASE)
_NOT_ALIAS = {"end", "null", "true", "false"}

KNOWN = {
    "show databases": ["database"],
    "show tables": ["table"],
    "show deployments": ["database", "deployment"],
}
JOB = [
    "job_id",
    "job_type",
    "state",
    "start_time",
    "end_time",
    "parameter",
    "cluster",
    "application_id",
    "error",
    "db",
    "name",
    "pid",
    "cur_task",
    "component",
]


def column_names(
    sql: str, count: int, table_columns: Callable[[str | None, str], list[str]]
) -> list[str]:
    """Names for the `count` columns of a statement's result.

    Args:
        sql: the statement.
        count: how many columns its result has.
        table_columns: (database, table) -> names, asked where the list holds a star.

    Returns:
        The aliases and column names of the select list; `column_<n>` where there are none to
        see, and for all columns if the list cannot be read.
    """
    text = normalise_sql(sql)
    known = KNOWN.get(text.lower())
    if known is not None and len(known) == count:
        return known
    if count == len(JOB) and re.match(r"(show|stop)\s+job", text, re.IGNORECASE):
        return list(JOB)
    fallback = [f"column_{n + 1}" for n in range(count)]
    if not re.match(r"select\b", text, re.IGNORECASE):
        return fallback
    items, rest = _select_list(text)
    names: list[str] = []
    for item in items:
        if star := _STAR.match(item):
            source = _FROM.search(rest)
            if source is None or (star[1] and _plain(star[1]) != _plain(source[2])):
                return fallback
            database = _plain(source[1]) if source[1] else None
            names += table_columns(database, _plain(source[2]))
        else:
            names.append(_name(item) or f"column_{len(names) + 1}")
    return names if len(names) == count else fallback


def _select_list(text: str) -> tuple[list[str], str]:
    """The items between SELECT and its FROM, and what follows."""
    start = len("select")
    depth, quote, begin = 0, "", start
    items: list[str] = []
    position = start
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\" and quote != "`":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "'\"`":
            quote = char
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif depth == 0 and char == ",":
            items.append(text[begin:position].strip())
            begin = position + 1
        elif (
            depth == 0
            and text[position : position + 5].lower() == "from "
            and text[position - 1] in " )`"
        ):
            break
        position += 1
    items.append(text[begin:position].strip())
    items[0] = re.sub(r"^distinct\s+", "", items[0], flags=re.IGNORECASE)
    return items, text[position:]


def _name(item: str) -> str | None:
    if match := _ALIAS.match(item):
        return _plain(match[1])
    if (match := _COLUMN.fullmatch(item)) and item.lower() not in _NOT_ALIAS:
        return _plain(match[1])
    match = _BARE_ALIAS.match(item)
    if match and _plain(match[1]).lower() not in _NOT_ALIAS and " over " not in item.lower():
        return _plain(match[1])
    return None


def _plain(word: str) -> str:
    return word.strip("`")
