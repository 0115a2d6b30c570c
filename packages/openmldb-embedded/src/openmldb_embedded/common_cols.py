"""A procedure's CONST columns in request bodies and answers: given once for all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openmldb_embedded.errors import Fatal, ProtocolError
from openmldb_embedded.service import Runtime


def filled(
    runtime: Runtime, body: Mapping[str, Any], rows: Sequence[Any], *, procedure: bool
) -> Sequence[Any]:
    """The request's rows, each with the values of ``common_cols`` in their places.

    Args:
        runtime: What is asked.
        body: The request.
        rows: Its ``input``.
        procedure: Whether it came to ``/procedures``, where ``common_cols`` are read.

    Raises:
        ProtocolError: ``common_cols`` is not a list of as many values as there are CONST columns, or
            a row has not as many as there are others.
        Fatal: A procedure with CONST columns was asked under ``/deployments``.
    """
    deployment = runtime.deployment
    constants = deployment.constants
    if not procedure:
        if constants:
            raise Fatal(
                f"{deployment.name} is a procedure with CONST columns: send the request to "
                f"/dbs/{deployment.db}/procedures/{deployment.name}",
                -1,
            )
        return rows
    given = body.get("common_cols", [])
    if not isinstance(given, list):
        raise ProtocolError("common_cols is not array")
    if len(given) != len(constants):
        raise ProtocolError(
            f"Invalid common cols size: it has {len(given)} values, the procedure "
            f"{len(constants)} CONST columns ({', '.join(constants)})"
        )
    if not constants:
        return rows
    known = dict(zip(constants, given, strict=True))
    names = [name for name, _ in runtime.inputs]
    return [_row(row, place, names, known) for place, row in enumerate(rows)]


def _row(row: Any, place: int, names: Sequence[str], known: Mapping[str, Any]) -> Any:
    if isinstance(row, dict):
        return {**row, **known}
    if not isinstance(row, list):
        return row  # the reader says what it takes
    if len(row) != len(names) - len(known):
        raise ProtocolError(f"Invalid input data size in row {place}")
    rest = iter(row)
    return [known[name] if name in known else next(rest) for name in names]


def split(common: Sequence[bool], rows: Sequence[Sequence[Any]]) -> tuple[list[Any], list[Any]]:
    """An answer's rows without the columns that they share, and the values of those."""
    kept = [[value for value, one in zip(row, common, strict=True) if not one] for row in rows]
    shared = [value for value, one in zip(rows[0], common, strict=True) if one]
    return kept, shared
