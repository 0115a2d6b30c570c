"""SQL as text: scripts to statements, statements to comparable text, names and literals."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Literal

from nightshift.errors import ConfigurationError


def split_script(script: str) -> list[str]:
    """Split a script at its semicolons; the API server runs only the first statement it gets.

    It is cut as the laptop's server cuts it, by OpenMLDB's own rules: quotes (tripled ones too) and
    comments hide semicolons; CREATE PROCEDURE ... BEGIN ... END; stays whole. Comments around a
    statement are dropped, those within it stay.

    Raises:
        ConfigurationError: a quote, a comment or a bracket does not end; the message shows where.
    """
    from openmldb_sql import statements
    from openmldb_sql.errors import SqlError

    try:
        return statements.split(script)
    except SqlError as error:
        at = re.search(r"\[at (\d+):", error.message)
        line = f"line {at[1]} of the script: " if at else ""
        raise ConfigurationError(f"{line}{error.message}") from error


def normalise_sql(sql: str) -> str:
    """One statement without comments, with single spaces, without a final semicolon.

    Quoted text is kept as it is; letters keep their case. Two spellings that normalise to the
    same text mean the same.
    """
    parts: list[str] = []
    position = 0
    for kind, begin, end in _scan(sql):
        parts.append(re.sub(r"\s+", " ", sql[position:begin]))
        parts.append(" " if kind == "comment" else sql[begin:end])
        position = end
    parts.append(re.sub(r"\s+", " ", sql[position:]))
    text = ""
    for part in parts:
        text += part.lstrip(" ") if text.endswith(" ") else part
    return text.strip().rstrip(";").rstrip()


_PLAIN_SELECT = re.compile(r"(?:select|with)\b", re.IGNORECASE)
_NO_PLAIN_SELECT = re.compile(r"\b(?:into\s+outfile|config\s*\()", re.IGNORECASE)


def offline_select(sql: str) -> str:
    """A statement for an offline mode of the API server, which a plain SELECT does not heed.

    OpenMLDB runs a plain SELECT over the online tables whatever `mode` the request gives; only
    `CONFIG (execute_mode='offline')` in the statement makes it read offline rows. SELECT INTO,
    LOAD DATA and INSERT do follow the mode, and are returned as they are.
    """
    bare = _QUOTED.sub("''", normalise_sql(sql))
    if not _PLAIN_SELECT.match(bare) or _NO_PLAIN_SELECT.search(bare) or ";" in bare:
        return sql
    return "\n".join([*split_script(sql), "CONFIG (execute_mode='offline')"])


_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`", re.DOTALL)


def quote_literal(text: str) -> str:
    """`text` as a string literal of OpenMLDB's SQL, in which a line end needs an escape."""
    return "'" + text.translate(_ESCAPES) + "'"


_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})


def quote_name(name: str) -> str:
    """`name` in backquotes.

    Raises:
        ConfigurationError: the name holds a backquote or a control character.
    """
    if not name or "`" in name or not name.isprintable():
        raise ConfigurationError(f"{name!r} cannot be a name in OpenMLDB's SQL")
    return f"`{name}`"


def load_data(path: str, table: str, mode: Literal["append", "overwrite"]) -> str:
    """LOAD DATA of parquet files, as every job of the library's own writes it.

    Args:
        path: file, folder or glob.
        table: the table's name, unquoted.
        mode: `append` online, `overwrite` offline.
    """
    return (
        f"LOAD DATA INFILE {quote_literal(path)} INTO TABLE {quote_name(table)} "
        f"OPTIONS(format='parquet', mode='{mode}')"
    )


def first_words(sql: str, limit: int = 60) -> str:
    """The beginning of a statement on one line, for messages."""
    text = normalise_sql(sql) if len(sql) < 4096 else re.sub(r"\s+", " ", sql[:4096]).strip()
    return text if len(text) <= limit else text[: limit - 3] + "..."


_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*|\#[^\n]*|/\*.*?\*/)
    | (?P<quoted>'''(?:\\.|.)*?'''|\"\"\"(?:\\.|.)*?\"\"\"
        |'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)
    | (?P<end>;)
    | (?P<open>['"`]|/\*)
    """,
    re.DOTALL | re.VERBOSE,
)


def _scan(script: str) -> Generator[tuple[str, int, int], None, None]:
    """Yield (`comment` | `quoted` | `;`, begin, end) of what needs care when cutting SQL."""
    for match in _TOKEN.finditer(script):
        if match["open"]:
            line = script.count("\n", 0, match.start()) + 1
            raise ConfigurationError(f"line {line} of the script: {match['open']} does not end")
        kind = "comment" if match["comment"] else "quoted" if match["quoted"] else ";"
        yield kind, match.start(), match.end()
