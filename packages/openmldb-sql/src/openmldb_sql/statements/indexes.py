"""What the definition of an index says."""

from __future__ import annotations

from collections.abc import Sequence

from openmldb_sql.errors import AstError, SqlError, SyntaxError_
from openmldb_sql.statements.nodes import Duration, Literal
from openmldb_sql.tokens import UNITS
from openmldb_sql.types import IndexDef

TTL_TYPES = ("absolute", "latest", "absorlat", "absandlat")
MINUTE_MS = 60_000
MAX_MINUTES = 60 * 24 * 365 * 30
"""The longest ttl of a server with the default flag ``absolute_ttl_max``."""
MAX_LATEST = 1000
"""The most rows that a server with the default flag ``latest_ttl_max`` keeps for a key."""


def index_of(
    keys: tuple[str, ...],
    ts: str | None,
    ttl: Sequence[Literal],
    ttl_type: str | None,
    code: int = 2000,
) -> IndexDef:
    """Make an index of what its definition said; 0 in a ttl means for ever.

    A time needs its unit (``10d``, ``0m``) and is kept in whole minutes, rounded up; a number
    without one is a number of rows.

    Args:
        keys: The key columns.
        ts: The column that orders a key's rows.
        ttl: What stood after ``ttl=``: one value, or two in brackets.
        ttl_type: What stood after ``ttl_type=``.
        code: The code of an error (CREATE INDEX has another than CREATE TABLE).

    Raises:
        AstError: A ttl that is neither a time nor a number, or a pair in the wrong order.
        SqlError: An unknown ttl_type, or a ttl that its type does not take.
    """
    absolute, latest = _limits(ttl)
    kind = (ttl_type or "absolute").lower()
    if kind not in TTL_TYPES:
        raise SqlError(
            f"ttl_type {ttl_type} not support: it is one of {', '.join(TTL_TYPES)}", code
        )
    if kind == "absolute" and latest is not None:
        raise SqlError(
            "abs ttl format error or set lat ttl: an absolute ttl is a time with its unit, such "
            "as 10d or 0m (for ever)",
            code,
        )
    if kind == "latest" and absolute is not None:
        raise SqlError(
            "lat ttl format error: a latest ttl is a number of rows, such as 1 or 0 (all)", code
        )
    if (absolute or 0) // MINUTE_MS > MAX_MINUTES:
        raise SqlError(f"absolute ttl cannot be greater than {MAX_MINUTES}", code)
    if (latest or 0) > MAX_LATEST:
        raise SqlError(f"latest ttl cannot be greater than {MAX_LATEST}", code)
    return IndexDef(keys, ts, kind, whole_minutes(absolute or 0), latest or 0)


def _limits(ttl: Sequence[Literal]) -> tuple[int | None, int | None]:
    """A ttl's milliseconds and its rows, each None where it is not given."""
    if len(ttl) == 2:
        first, second = ttl
        if not isinstance(first, Duration):
            raise AstError(f"not an ASTIntervalLiteral: ttl=({first}, ...) takes a time first")
        if isinstance(second, bool) or not isinstance(second, int):
            raise AstError(f"not an ASTIntLiteral: ttl=(..., {second}) takes a number second")
        return duration_ms(first), second
    if len(ttl) > 2:
        raise AstError("ASTStructConstructorWithParens size != 2")
    if not ttl:
        return None, None
    (only,) = ttl
    if isinstance(only, Duration):
        return duration_ms(only), None
    if isinstance(only, int) and not isinstance(only, bool):
        return None, only
    raise AstError(f"unsupported ast expression type: ttl={only!r}")


def whole_minutes(milliseconds: int) -> int:
    """A time in milliseconds, rounded up to whole minutes as OpenMLDB keeps it."""
    return -(-milliseconds // MINUTE_MS) * MINUTE_MS


def duration_ms(text: str) -> int:
    """A duration such as ``10d`` in milliseconds.

    Raises:
        SyntaxError_: Not a number followed by s, m, h or d.
    """
    number, unit = text[:-1], text[-1:].lower()
    if not number.isdecimal() or len(number) > 12 or unit not in UNITS:
        raise SyntaxError_(f"Syntax error: {text!r} is not a duration such as 10s, 30m, 12h or 7d")
    return int(number) * UNITS[unit]
