"""What the query compares or divides by, and hardly means; OpenMLDB accepts each of it."""

import pytest
from openmldb_sql.parse import parse_select

from nightshift.check import check_pipeline
from nightshift.check.operands import constant, operands
from tests.nightshift.check.conftest import QUERY, plant

TABLES = {
    "t": {"id": "string", "n": "int32", "x": "double", "yes": "bool", "at": "timestamp", "day": "date"},
    "u": {"id": "string", "city": "string", "age": "int64", "since": "timestamp"},
}  # fmt: skip


def told(query):
    return list(operands(parse_select(query, strict=False), TABLES))


ODD = [
    # a condition, a word of what is told, a word of the fix
    ("id = 7", "id is text and 7 is a number", "write '7' in quotes"),
    ("7 = id", "id is text and 7 is a number", "write '7' in quotes"),
    ("id < 30", "10 is less than 9", "double(id)"),
    ("id != n", "id is text and n is a number", "string(n)"),
    ("n = '7'", "7 is text and n is a number", "7 without quotes"),
    ("n = 'seven'", "is text and n is a number", "compare n with a number"),
    ("x >= '0.5'", "10 is less than 9", "0.5 without quotes"),
    ("id IN ('a', 2)", "2 is a number", "write '2' in quotes"),
    ("n BETWEEN '1' AND '9'", "10 is less than 9", "1 without quotes"),
    ("yes = 'true'", "reads true or false", "true without quotes"),
    ("id = true", "true is a truth value", "in quotes"),
    ("at > 'yesterday'", "2026-03-01 12:00:00", "write it as"),
    ("upper(id) = n + 1", "upper(id) is text", "string"),
    ("substr(id, 1, 2) = 12", "is text and 12 is a number", "'12'"),
    ("ifnull(id, '') = 0", "is text and 0 is a number", "'0'"),
    ("CASE WHEN yes THEN id ELSE '' END = 1", "is text and 1", "'1'"),
    ("string(n) = 1", "is text and 1", "'1'"),
    ("n / 0 > 1", "divides by 0", "column or the number"),
    ("n % 0 = 1", "divides by 0", "column"),
    ("n DIV (3 - 3) = 1", "divides by 0", "column"),
    ("x / -0.0 = 1", "divides by 0", "column"),
    ("x / int(0.4) = 1", "divides by 0", "column"),
    ("mod(n, 0) = 1", "divides by 0", "column"),
    ("x / false = 1", "divides by 0", "column"),
    ("x / NULL = 1", "divides by NULL", "column"),
    ("n = NULL", "never true", "isnull(n)"),
    ("n != NULL", "never true", "isnull(n)"),
    ("n BETWEEN 9 AND 1", "nothing is between 9 and 1", "exchange"),
    ("id BETWEEN 'b' AND 'a'", "nothing is between b and a", "exchange"),
    ("n = n", "with itself", "other column"),
]  # fmt: skip

PLAIN = [
    "id = '7'", "n = 7", "n = 7.5", "x < n", "n = yes", "yes = true", "at < timestamp('2026-03-01')",
    "at >= '2026-03-01'", "at >= '2026-03-01 10:00:00'", "day = '2026-03-01'", "id = string(n)",
    "double(id) < 30", "n / 2 = 1", "n / x = 1", "x / 0.5 = 1", "0 / n = 0", "n BETWEEN 1 AND 1",
    "isnull(n)", "n = ifnull(x, 0)", "hour(at) < 7", "char_length(id) = 7", "id LIKE '7%'",
    "unheard_of(id) = 7", "nothing = 7", "id IN ('a', 'b')", "count(id) = 7",
]  # fmt: skip


@pytest.mark.parametrize(("condition", "word", "fix"), ODD)
def test_an_odd_operand_is_told_wherever_it_stands(condition, word, fix):
    item, where = f"SELECT if({condition}, 1, 0) AS a FROM t", f"SELECT n FROM t WHERE {condition}"
    below = f"SELECT a FROM (SELECT ({condition}) AS a, n FROM t) AS b"
    case = f"SELECT CASE WHEN {condition} THEN 1 ELSE 0 END AS a FROM t AS other"
    for query in (item, where, below, case):
        found = told(query)
        assert found, query
        assert any(word in one.why and fix in one.fix for one in found), (query, found)
        assert all(one.key and one.why and one.fix for one in found)


@pytest.mark.parametrize("condition", PLAIN)
def test_operands_of_one_kind_are_not_told(condition):
    assert told(f"SELECT if({condition}, 1, 0) AS a FROM t WHERE {condition}") == []


def test_a_subject_of_case_is_compared_with_each_branch():
    found = told("SELECT CASE id WHEN '1' THEN 1 WHEN 2 THEN 2 ELSE 0 END AS a FROM t")
    assert [one.key for one in found] == ["id = 2"]


def test_types_are_followed_through_joins_subqueries_and_ctes():
    join = "SELECT t.n FROM t LAST JOIN u ON t.id = u.id AND u.age > '18'"
    renamed = "SELECT c FROM (SELECT city AS c, age AS a FROM u) AS v WHERE v.c = 3 AND v.a = 3"
    cte = "WITH w AS (SELECT city AS c FROM u) SELECT c FROM w WHERE w.c < 3"
    star = "SELECT * FROM (SELECT * FROM t LAST JOIN u ON t.id = u.id) WHERE city = 5"
    window = (
        "SELECT count_where(n, n > '3') OVER w AS a FROM t WINDOW w AS (UNION (SELECT id, age AS n, "
        "1.0 AS x, city = 1 AS yes, since AS at, date('2026-03-01') AS day FROM u) PARTITION BY id "
        "ORDER BY at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)"
    )
    assert [one.key for one in told(join)] == ["u.age > 18"]
    assert [one.key for one in told(renamed)] == ["v.c = 3"]
    assert [one.key for one in told(cte)] == ["w.c < 3"]
    assert [one.key for one in told(star)] == ["city = 5"]
    assert [one.key for one in told(window)] == ["n > 3", "city = 1"]


def test_an_ambiguous_name_is_no_text():
    assert told("SELECT id FROM t LAST JOIN u ON t.id = u.id WHERE id = 3") == []


@pytest.mark.parametrize("text", ["n", "NULL", "'0'", "f(0)", "0 / 0"])
def test_what_is_no_constant_number(text):
    (part,) = parse_select(f"SELECT {text} AS a FROM t", strict=False).selects
    with pytest.raises(ValueError, match="not a constant"):
        constant(part.items[0].expr)


def test_the_check_tells_them_as_warnings_and_nothing_of_the_query_as_it_is(settings):
    before = check_pipeline(settings, "shop")
    plant(
        settings, QUERY, r"`product`\.`a1` AS", "CASE WHEN `product`.`sku_id` = 7 THEN 1 / 0 END AS"
    )
    found = [one for one in check_pipeline(settings, "shop") if one not in before]
    assert [(one.level, one.key) for one in found if one.file.endswith(QUERY)] == [
        ("warning", "product.sku_id = 7"), ("warning", "1 / 0"),
    ]  # fmt: skip
