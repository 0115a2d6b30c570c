"""Of the source partitions, the rows that sampled requests can see, and no other day's."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nightshift.errors import ConfigurationError, DataError
from nightshift.features import lineage
from nightshift.features.tables import SourceTables
from nightshift.gates.parity.source_rows import rows_of, rows_seen

COLUMNS = {
    "asked": ["id", "at", "who", "sku"],
    "clicked": ["sku", "at", "who"],
    "product": ["sku", "brand"],
    "brand": ["name", "country"],
}
TABLES = SourceTables(
    "tables.yaml", {"asked": "at", "clicked": "at"}, ("product", "brand"), "asked", "id"
)
WINDOW = (
    "SELECT id, count(sku) OVER w AS n FROM asked WINDOW w AS (UNION (SELECT '' AS id, at, who, "
    "sku FROM clicked) PARTITION BY who ORDER BY at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT "
    "ROW)"
)
PLAN = {
    "partitions": {"asked": ["2026-03-01", "2026-03-02"], "clicked": ["2026-03-02"]},
    "sources": {},
}


def put(data, table, day=None, **columns):
    folder = data / table / f"ds={day}" if day else data / table
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "part-0.parquet")


@pytest.fixture
def data(tmp_path):
    for day, rows in {
        "2026-03-01": (["a", "b"], ["ann", "bob"], ["s1", "s2"]),
        "2026-03-02": (["c", "d"], ["cat", "ann"], ["s3", "s9"]),
        "2026-03-03": (["e"], ["ann"], ["s1"]),
    }.items():
        ids, who, sku = rows
        put(tmp_path, "asked", day, id=ids, at=list(range(len(ids))), who=who, sku=sku)
    for day in ("2026-03-01", "2026-03-02"):
        put(tmp_path, "clicked", day, sku=[f"k{day}", "other"], at=[5, 6], who=["ann", "zoe"])
    put(tmp_path, "product", sku=["s1", "s2", "s3"], brand=["acme", "bolt", "acme"])
    put(tmp_path, "brand", name=["acme", "bolt", "unused"], country=["de", "fr", "it"])
    return tmp_path


def seen(data, sql, ids, plan=PLAN):
    reach = lineage.reach_of(sql, tables=TABLES, columns=COLUMNS)
    days = [f"{data}/asked/ds={day}/part-0.parquet" for day in plan["partitions"]["asked"]]
    asked = pa.concat_tables(pq.ParquetFile(path).read() for path in days)
    chosen = asked.filter(pc.is_in(asked["id"], pa.array(ids)))
    return rows_seen(data, plan, reach, TABLES, chosen)


def test_a_window_sees_rows_of_the_requests_keys_on_the_plans_days(data):
    found = seen(data, WINDOW, ["a"])
    # All of ann's requests, whichever was sampled; e's day is not of the plan.
    assert sorted(found["asked"]["id"].to_pylist()) == ["a", "d"]
    assert found["clicked"]["sku"].to_pylist() == ["k2026-03-02"]
    assert set(found) == {"asked", "clicked"}


def test_a_join_of_a_join_is_followed(data):
    sql = (
        "SELECT id, country FROM asked LAST JOIN product ON asked.sku = product.sku "
        "LAST JOIN brand ON product.brand = brand.name"
    )
    found = seen(data, sql, ["b"])
    assert found["product"].to_pylist() == [{"sku": "s2", "brand": "bolt"}]
    assert found["brand"].to_pylist() == [{"name": "bolt", "country": "fr"}]
    # A key that nothing has reaches nothing, and that is no error.
    found = seen(data, sql, ["d"])
    assert (len(found["product"]), len(found["brand"])) == (0, 0)


def test_the_snapshot_that_the_run_chose_is_read(data):
    put(data, "product", "2026-03-01", sku=["s2"], brand=["old"])
    chosen = str(data / "product" / "ds=2026-03-01" / "*.parquet")
    sql = "SELECT id, brand FROM asked LAST JOIN product ON asked.sku = product.sku"
    found = seen(data, sql, ["b"], {**PLAN, "sources": {"product": chosen}})
    assert found["product"]["brand"].to_pylist() == ["old"]


def test_keys_of_one_kind_are_compared_and_of_two_kinds_refused(data):
    put(data, "product", sku=[1, 2], brand=["acme", "bolt"])
    sql = "SELECT id, brand FROM asked LAST JOIN product ON asked.sku = product.sku"
    with pytest.raises(ConfigurationError, match=r"rows of product by sku \(int64\) = sku"):
        seen(data, sql, ["a"])
    put(data, "product", brand=["acme"])
    with pytest.raises(DataError, match="product have no column sku, which is a key"):
        seen(data, sql, ["a"])


def test_an_int_finds_a_timestamp_of_the_same_number(data):
    at = pa.array([0, 1], pa.timestamp("ms"))
    put(data, "product", sku=["x", "y"], brand=["acme", "bolt"], at=at)
    columns = {**COLUMNS, "product": ["sku", "brand", "at"]}
    sql = "SELECT id, brand FROM asked LAST JOIN product ON asked.at = product.at"
    reach = lineage.reach_of(sql, tables=TABLES, columns=columns)
    asked = pq.ParquetFile(data / "asked" / "ds=2026-03-01" / "part-0.parquet").read()
    found = rows_seen(data, PLAN, reach, TABLES, asked.slice(1, 1))
    assert found["product"]["brand"].to_pylist() == ["bolt"]


def test_a_table_without_files_is_named(data):
    with pytest.raises(DataError, match="no partition of comments under"):
        rows_of(data, PLAN, "comments", None)
