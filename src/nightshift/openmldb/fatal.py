"""What ends the process of OpenMLDB's API server, and is therefore never sent.

OpenMLDB 0.9.2 has no check for these: the process ends, for all of its clients, and whatever
supervises it starts it again only seconds later. Request rows with a SMALLINT out of range do so
too; the predict server checks its rows' widths before it sends them.
"""

from __future__ import annotations

import re

from nightshift.errors import ConfigurationError
from nightshift.openmldb.text import first_words

_NO_WORDS = re.compile(
    r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|(?:--|\#)[^\n]*|/\*.*?\*/", re.DOTALL
)
_EXIT = re.compile(r"(?:^|;)\s*EXIT\s*(?:;|$)", re.IGNORECASE)
_DELETE = re.compile(r"(?:^|;)\s*DELETE\b[^;]*\b(?:IN|BETWEEN)\b", re.IGNORECASE)
_DEPLOY = re.compile(r"(?:^|;)\s*DEPLOY\b[^;]*", re.IGNORECASE)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)


def check_statement(sql: str) -> None:
    """Return if a statement may be sent.

    Raises:
        ConfigurationError: It would end the API server's process.
    """
    bare = _NO_WORDS.sub(lambda m: " " if m[0].startswith(("--", "#", "/*")) else " 0 ", sql)
    if _EXIT.search(bare):
        raise ConfigurationError("EXIT ends OpenMLDB's API server for all of its clients")
    deployed = _DEPLOY.search(bare)
    if deployed and not _FROM.search(deployed[0]):
        raise ConfigurationError(
            f"{first_words(sql)!r}: a deployment without FROM ends OpenMLDB's API server when it is "
            "called, keeps its TaskManager from starting, and cannot be dropped; select FROM the "
            "request table"
        )
    if _DELETE.search(bare):
        raise ConfigurationError(
            f"{first_words(sql)!r}: a DELETE with IN or BETWEEN ends OpenMLDB's API server; "
            "write one DELETE for each key, and bounds with >= and <"
        )
