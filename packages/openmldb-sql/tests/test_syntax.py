"""Walking a syntax tree."""

from __future__ import annotations

import pytest
from openmldb_sql.parse import parse_select
from openmldb_sql.syntax import (
    Call,
    ColumnRef,
    Literal,
    NamedTable,
    Select,
    conjuncts,
    nodes,
    show,
)

QUERY = """
WITH early AS (SELECT a1 FROM t1 WHERE a2 IS NULL)
SELECT b1, sum(b2 + b3) OVER w, CASE WHEN b4 IN (1, 2) THEN b5 ELSE b6 END
FROM t2 LAST JOIN (SELECT c1 FROM t3) AS t4 ORDER BY d1 ON b7 = c1
WHERE b8 BETWEEN 3 AND 4 AND b9 LIKE 'x'
WINDOW w AS (UNION t5 PARTITION BY e1 ORDER BY e2 ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)
"""


def test_every_column_and_table_of_a_query_is_met() -> None:
    found = list(nodes(parse_select(QUERY)))
    columns = {".".join(node.path) for node in found if isinstance(node, ColumnRef)}
    assert columns >= {"a1", "a2", "c1", *(f"b{n}" for n in range(1, 10))}
    tables = {node.name for node in found if isinstance(node, NamedTable)}
    assert tables >= {"t1", "t2", "t3"}
    assert {node.value for node in found if isinstance(node, Literal)} >= {1, 2, 3, 4, "x"}


def test_outer_nodes_come_before_what_they_hold() -> None:
    found = list(nodes(parse_select("SELECT f(g(a)) FROM t")))
    calls = [node.name.lower() for node in found if isinstance(node, Call)]
    assert calls == ["f", "g"]
    kinds = [type(node) for node in found]
    assert kinds.index(Select) < kinds.index(Call) < kinds.index(ColumnRef)


@pytest.mark.parametrize("tree", [None, 1, "text", (), [], {}, Select])
def test_what_is_not_a_node_has_none(tree: object) -> None:
    assert list(nodes(tree)) == []


def test_the_terms_that_and_joins_come_from_left_to_right() -> None:
    (select,) = [
        one
        for one in nodes(parse_select("SELECT a FROM t WHERE a = 1 AND (b OR c) AND (d AND e)"))
        if isinstance(one, Select)
    ]
    found = [show(term) for term in conjuncts(select.where)]
    assert len(found) == 4
    assert "OR" in found[1]
    assert list(conjuncts(None)) == []
