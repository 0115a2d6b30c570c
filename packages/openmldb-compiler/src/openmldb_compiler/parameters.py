"""Parameters of a SELECT: the compiler's door takes no types for ``?``."""

from __future__ import annotations

from collections.abc import Sequence

from openmldb_sql.errors import SqlError
from openmldb_sql.tokens import scan
from openmldb_sql.types import SqlType

_WRITTEN = {
    SqlType.BOOL: "true",
    SqlType.INT16: "smallint(1)",
    SqlType.INT32: "1",
    SqlType.INT64: "bigint(1)",
    SqlType.FLOAT: "float(1)",
    SqlType.DOUBLE: "1.0",
    SqlType.STRING: "'1'",
    SqlType.DATE: "date('2020-01-01')",
    SqlType.TIMESTAMP: "timestamp(1)",
}


def bound(select_sql: str, types: Sequence[SqlType]) -> str:
    """The SELECT with a value of its type in each ``?``'s place.

    More ``?`` than types stay as they are; a NULL of no type does, too.
    """
    if not types or "?" not in select_sql:
        return select_sql
    out: list[str] = []
    at = 0
    left = iter(types)
    try:
        for token in scan(select_sql):
            if token.text == "?" and (kind := next(left, None)) in _WRITTEN:
                out.append(select_sql[at : token.start] + _WRITTEN[kind])
                at = token.end
    except SqlError:
        return select_sql
    return "".join([*out, select_sql[at:]])
