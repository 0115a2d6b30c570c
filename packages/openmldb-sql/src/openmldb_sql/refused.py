"""What ZetaSQL's grammar reads and OpenMLDB's converter has no node for.

``parse`` takes these, as the engine can compute them; a server that answers as OpenMLDB's does
refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import AstError, UnsupportedSqlError


def refuse_unknown(tree: s.Query | s.Expr) -> None:
    """Refuse a tree with a node that OpenMLDB does not have.

    Raises:
        AstError: ``IS NULL`` or ``||``.
        UnsupportedSqlError: ``<<`` or ``>>``.
    """
    for node in _nodes(tree):
        if isinstance(node, s.IsNull):
            word = "IS NOT" if node.negated else "IS"
            negation = "NOT " if node.negated else ""
            raise AstError(
                f"Unsupport binary operator: {word}; write {negation}isnull({s.show(node.operand)})"
            )
        if isinstance(node, s.Binary) and node.op == "||":
            raise AstError(
                f"Unsupport binary operator: ||; write concat({s.show(node.left)}, "
                f"{s.show(node.right)})"
            )
        if isinstance(node, s.Binary) and node.op in ("<<", ">>"):
            raise UnsupportedSqlError("Unsupport ASTExpression BitwiseShiftExpression")


def refuse_undeployable(tree: s.Query) -> str | None:
    """Why a query cannot be deployed, or None: what a request has no meaning for.

    OpenMLDB looks at the whole statement, joined subqueries included.
    """
    for node in _nodes(tree):
        if not isinstance(node, s.Select):
            continue
        if node.having is not None:
            return "Non-support HAVING Op in online serving"
        if node.group:
            return "Non-support kGroupPlan Op in online serving"
    return None


def _nodes(root: Any) -> Iterator[Any]:
    """Every node of a tree, without recursion."""
    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, (tuple, list)):
            todo.extend(node)
        elif isinstance(node, dict):
            todo.extend(node.values())
        elif is_dataclass(node) and not isinstance(node, type):
            yield node
            todo.extend(getattr(node, field.name) for field in fields(node))
