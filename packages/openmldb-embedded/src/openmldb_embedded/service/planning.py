"""Errors of planning, in the words of whoever plans on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from openmldb_sql import syntax as s
from openmldb_sql.errors import AstError, PlanError, SqlError, SyntaxError_, UnsupportedSqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.refused import refuse_undeployable, refuse_unknown

from openmldb_embedded.errors import TableNotFound


@contextmanager
def planning(
    before: str, sql: str, *, in_deployment: bool = False, strict: bool = True
) -> Iterator[None]:
    """Within, an error of the plan says who found it, as a cluster's does.

    The parser finds wrong syntax, and says so itself; names, types and relations are found wrong
    later, by the part that explains the query.
    """
    try:
        tree = parse_select(sql, strict=strict)
        if strict:
            refuse_unknown(tree)
        yield
        reason = refuse_undeployable(tree) if in_deployment and strict else None
        if reason is not None:
            raise PlanError(reason)
    except (SyntaxError_, AstError, UnsupportedSqlError):
        raise
    except TableNotFound as error:
        if in_deployment:
            reason = f"Fail to transform data_provider op: table {error.db}.{error.name} not exist!"
            raise SqlError(f"{before}--{reason}", 1202) from None
        raise SqlError(
            f"{before} {sql}--Fail to transform data provider op: table {error.name} not exists "
            f"in database [{error.db}]",
            1000,
        ) from None
    except PlanError as error:
        shown = "" if in_deployment else f" {sql}"
        raise SqlError(f"{before}{shown}--{error.reason}", error.code) from None


EXPLAINING = "get tablet client failed--fail to explain"
"""What stands before an error that is found while a SELECT is explained."""


def check_online(sql: str) -> None:
    """Refuse what a cluster's tablets do not do for a SELECT over the online tables.

    Raises:
        SqlError: It sorts its result, or joins tables.
    """
    found = _unsupported(parse_select(sql, strict=True))
    if found is not None:
        raise SqlError(
            f"Query rpc failed----ReturnCode[1000]--Non-support {found} Op in cluster online "
            f"training: use CONFIG (execute_mode='offline') or a deployment",
            1500,
        )


def _unsupported(query: s.Query) -> str | None:
    if query.order:
        return "kSortPlan"
    inner: list[s.Query] = [q for _, q in query.ctes]
    for part in query.selects:
        if isinstance(part, s.Query):
            inner.append(part)
        elif isinstance(part.source, s.Join):
            return "kJoinPlan"
        elif isinstance(part.source, s.Subquery):
            inner.append(part.source.query)
    return next((found for q in inner if (found := _unsupported(q)) is not None), None)
