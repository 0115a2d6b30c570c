"""Which of the indexes that a deployment reads a table already has, and how they are written."""

from openmldb_compiler import advice
from openmldb_sql import statements
from openmldb_sql.types import IndexDef

from nightshift.check import indexes


def test_an_index_is_had_whatever_the_order_of_its_keys():
    had = [IndexDef(("a", "b"), "ts")]
    assert indexes.has(had, IndexDef(("b", "a"), "ts"))
    assert indexes.has(had, IndexDef(("a", "b"), None))
    assert not indexes.has(had, IndexDef(("a", "b"), "other"))
    assert not indexes.has(had, IndexDef(("a",), "ts"))


def test_what_genddl_proposes_is_written_as_create_table_reads_it():
    made = "CREATE TABLE {}(k string, g int, ts timestamp, x int, INDEX(key=x))"
    schemas = {name: statements.parse(made.format(name)).schema for name in ("t", "u")}
    query = (
        "SELECT t.x, u.x AS y, sum(t.x) OVER w AS s FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k "
        "WINDOW w AS (PARTITION BY t.g, t.k ORDER BY t.ts ROWS_RANGE BETWEEN 2h PRECEDING AND "
        "CURRENT ROW)"
    )
    proposed = advice.propose_indexes(query, "db", schemas)
    for name, keys in (("t", {"g", "k"}), ("u", {"k"})):
        (index,) = proposed[name]
        assert not indexes.has(schemas[name].indexes, index)
        text = f"CREATE TABLE {name}(k string, g int, ts timestamp, {indexes.spelled(index)})"
        (read,) = statements.parse(text).schema.indexes
        assert (set(read.keys), read.ts, read.ttl_type) == (keys, "ts", index.ttl_type)
        assert indexes.has([read], index)
    assert proposed["t"][0].ttl_ms_abs == 2 * 3_600_000
