"""Each statement was put to the batch engine 0.9.0 on Spark 3.2: what it refused, what it took."""

import pytest
from openmldb_compiler.offline import offline_refusals

JOIN = "SELECT t.id FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k AND "
UNITED = "UNION (SELECT * FROM u WHERE g + 1 = 2)"
FRAME = "ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"

REFUSED = [
    "SELECT id FROM t WHERE id % 3 = 0",
    "SELECT id FROM t WHERE 2 = g + 1",
    "SELECT id FROM t WHERE upper(k) == 'A'",
    "SELECT id FROM t WHERE b = true",
    "SELECT id FROM t WHERE i32 = NULL",
    "SELECT id FROM t WHERE dt = date('2020-01-01')",
    "SELECT id FROM t WHERE i32 = 1 + 1",
    "SELECT id FROM t WHERE -i32 = 1",
    "SELECT id FROM t WHERE b AND i32 > 1 AND g + 1 = 2",
    "SELECT id FROM (SELECT * FROM t WHERE id % 3 = 0)",
    "WITH x AS (SELECT * FROM t WHERE id % 3 = 0) SELECT id FROM x",
    "SELECT k, count(*) FROM t WHERE g + 1 = 2 GROUP BY k",
    f"{JOIN}u.s IN ('a', 'b')",
    f"{JOIN}isnull(u.s)",
    f"{JOIN}NOT u.b",
    f"{JOIN}u.s LIKE 'a%'",
    f"{JOIN}u.i32 BETWEEN 1 AND 2",
    f"{JOIN}u.i32 / 2 > 0",
    f"{JOIN}u.i32 & 2 > 0",
    f"{JOIN}(u.b XOR t.b)",
    f"{JOIN}-u.i32 > 2",
    f"{JOIN}(u.i32 = 1 OR u.s IN ('a'))",
    f"{JOIN}u.b > false",
    f"{JOIN}t.g + 1 = u.g",
    f"{JOIN}t.g + 1 = 2",
    f"{JOIN}t.ts = timestamp(1)",
    "SELECT t.id FROM t LAST JOIN u ORDER BY u.ts ON upper(t.k) = u.k",
    "SELECT t.id FROM t LEFT JOIN u ON t.k = u.k AND u.s IN ('a')",
    "SELECT count(*) FROM t",
    "SELECT sum(i32) + 1 FROM t",
    "SELECT n FROM (SELECT count(*) AS n FROM t)",
    "SELECT max(i32) AS m FROM t UNION ALL SELECT i32 AS m FROM t",
    f"SELECT id, count(*) OVER (PARTITION BY upper(k) {FRAME}) FROM t",
    "SELECT 1 + 1 AS x",
    "SELECT true",
    "SELECT id, 1, true FROM t",
    "SELECT locate('a', s) FROM t",
    "SELECT isin(1, [1, 2]) FROM t",
]
TAKEN = [
    "SELECT id FROM t WHERE i32 = 1 AND k = 'a' AND f = 1.5 AND i32 = -1",
    "SELECT id FROM t WHERE i32 + 1 != 2",
    "SELECT id FROM t WHERE i32 + 1 = 2 OR b",
    "SELECT id FROM t WHERE NOT (i32 + 1 = 2)",
    "SELECT id FROM t WHERE id % 3 = i32 % 2",
    "SELECT id FROM t WHERE isnull(s) AND 1 = 1",
    "SELECT id FROM (SELECT id, i32 % 3 AS m FROM t) WHERE m = 0",
    "SELECT k, count(*) FROM t GROUP BY k HAVING max(i32) + 1 = 2",
    f"{JOIN}u.b",
    f"{JOIN}u.ts < t.ts - 1000",
    f"{JOIN}u.dt < date('2020-01-01')",
    f"{JOIN}bigint(u.i32) % 2 > 0",
    f"{JOIN}(u.i32 = 1 OR u.g = 2)",
    f"{JOIN}t.i32 = t.g",
    f"{JOIN}t.g + u.g = 2",
    f"{JOIN}u.i32 > NULL",
    "SELECT t.id, x.n FROM t LAST JOIN (SELECT k, count(*) AS n FROM u GROUP BY k) AS x ON t.k = x.k",
    f"SELECT id, sum(i32) OVER w FROM t WINDOW w AS (PARTITION BY k {FRAME})",
    f"SELECT id, count(*) OVER w FROM t WINDOW w AS ({UNITED} PARTITION BY k {FRAME})",
    "SELECT 'a' AS x, 1.5 AS y, timestamp(1) AS z",
    "no SELECT at all",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_the_batch_engine_refuses(sql):
    found = offline_refusals(sql)
    assert len(found) == 1
    assert found[0].message
    assert found[0].hint


@pytest.mark.parametrize("sql", TAKEN)
def test_what_it_takes(sql):
    assert offline_refusals(sql) == []
