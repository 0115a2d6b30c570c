"""What a cluster refuses although OpenMLDB's compiler, asked without one, accepts it."""

from __future__ import annotations

from openmldb_sql import syntax as s


def online_refusal(tree: s.Query) -> str | None:
    """Why a SELECT over the online tables of a cluster is refused.

    The cluster's batch planner takes neither ORDER BY of a result nor a join (OpenMLDB's
    ``Planner::ValidateClusterOnlineTrainingOp``); windows, groups and subqueries it takes.
    """
    return _online(tree, {})


def _online(query: s.Query, ctes: dict[str, s.Query]) -> str | None:
    scope = {**ctes, **dict(query.ctes)}
    if query.order:
        return "Non-support kSortPlan Op in cluster online training"
    for part in query.selects:
        if isinstance(part, s.Query):
            found = _online(part, scope)
        else:
            found = _online_source(part.source, scope)
        if found is not None:
            return found
    return None


def _online_source(ref: s.TableRef | None, ctes: dict[str, s.Query]) -> str | None:
    if isinstance(ref, s.Join):
        return "Non-support kJoinPlan Op in cluster online training"
    if isinstance(ref, s.Subquery):
        return _online(ref.query, ctes)
    return None


def request_refusal(tree: s.Query) -> str | None:
    """Why each request to a deployment fails although it compiles.

    A filter between the request row and the answer has no row to give: the tablet answers each
    such request with an error.
    """
    query: s.Query = tree
    ctes: dict[str, s.Query] = {}
    while True:
        ctes = {**ctes, **dict(query.ctes)}
        first = query.selects[0]
        if isinstance(first, s.Query):
            query = first
            continue
        if first.where is not None:
            return (
                "WHERE on the request table: a cluster makes the deployment, and every request to "
                "it fails"
            )
        ref = first.source
        while isinstance(ref, s.Join):
            ref = ref.left
        if isinstance(ref, s.Subquery):
            query = ref.query
        elif isinstance(ref, s.NamedTable) and ref.db is None and ref.name in ctes:
            query = ctes.pop(ref.name)
        else:
            return None
