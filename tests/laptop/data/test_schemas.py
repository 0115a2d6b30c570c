"""The JD tables' files against the script that creates the tables."""

import pyarrow as pa
import pytest

from laptop.data.schemas import EVENT_TABLES, EVENT_TIME, SCHEMAS, SNAPSHOT_TABLES
from nightshift.data.declared import declared_tables
from nightshift.features.tables import SourceTables

ARROW = {
    "string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float": pa.float32(),
    "timestamp": pa.timestamp("us"),
}  # fmt: skip


@pytest.fixture(scope="module")
def declared(project):
    tables = SourceTables.load(project / "pipelines" / "jd" / "tables.yaml")
    script = (project / "include" / "sql" / "create_tables.sql").read_text()
    return declared_tables(tables, script)


def test_the_tables_are_those_of_the_script(declared):
    assert set(SCHEMAS) == set(declared)
    assert set(EVENT_TABLES) | set(SNAPSHOT_TABLES) == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_columns_have_the_names_order_and_types_of_the_table(declared, name):
    found = [(field.name, field.type) for field in SCHEMAS[name]]
    assert found == [(column, ARROW[sql]) for column, sql in declared[name].columns.items()]
    assert EVENT_TIME.get(name) == declared[name].time
