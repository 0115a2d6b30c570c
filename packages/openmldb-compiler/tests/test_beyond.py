import pytest
from openmldb_compiler.beyond import online_refusal, request_refusal
from openmldb_sql.parse import parse_select


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM t ORDER BY id",
        "SELECT a.id FROM t a LAST JOIN t b ON a.id = b.id",
        "SELECT id FROM (SELECT a.id FROM t a LAST JOIN t b ON a.id = b.id)",
        "SELECT id FROM t UNION ALL SELECT a.id FROM t a LEFT JOIN t b ON a.id = b.id",
    ],
)
def test_no_join_and_no_order_online(sql):
    assert "Op in cluster online training" in (online_refusal(parse_select(sql)) or "")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM t WHERE id > 3 LIMIT 2",
        "SELECT a, count(*) FROM t GROUP BY a",
        "SELECT sum(c) OVER (PARTITION BY a ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT id FROM t UNION ALL SELECT id FROM u",
    ],
)
def test_what_a_cluster_answers_online(sql):
    assert online_refusal(parse_select(sql)) is None


@pytest.mark.parametrize(
    ("sql", "refused"),
    [
        ("SELECT id FROM t WHERE id > 3", True),
        ("SELECT id FROM (SELECT id FROM t WHERE id > 3)", True),
        ("WITH x AS (SELECT id FROM t WHERE id > 3) SELECT id FROM x", True),
        ("SELECT t.id FROM t LAST JOIN u ON t.id = u.id WHERE u.id > 3", True),
        ("SELECT t.id FROM t LAST JOIN (SELECT id FROM u WHERE id > 3) v ON t.id = v.id", False),
        (
            "WITH x AS (SELECT id FROM u WHERE id > 3) SELECT t.id FROM t LAST JOIN x ON t.id = x.id",
            False,
        ),
        ("SELECT id FROM t", False),
    ],
)
def test_a_filter_of_the_request_row(sql, refused):
    assert (request_refusal(parse_select(sql)) is not None) is refused
