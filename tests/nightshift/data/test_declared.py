"""The source tables as a script creates them."""

import pytest

from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError
from nightshift.features.tables import SourceTables

TABLES = {
    "version": 1,
    "events": {"visit": "at", "click": "at"},
    "snapshots": ["page"],
    "requests": {"table": "visit", "id": "visit_id"},
    "label": "click",
}
VISIT = (
    "CREATE TABLE IF NOT EXISTS visit (visit_id string NOT NULL, at timestamp, page bigint, "
    "INDEX(key=page, ts=at, ttl=7d, ttl_type=absolute));\n"
)
CLICK = "CREATE TABLE click (visit_id string, at timestamp, INDEX(key=visit_id, ts=at));\n"
PAGE = "CREATE TABLE page (page bigint, topic string, INDEX(key=page, ttl=1, ttl_type=latest));\n"


def declared(script):
    tables = SourceTables.parse(TABLES, source="tables.yaml")
    return declared_tables(tables, script, "create.sql")


def test_columns_are_those_of_the_script_in_its_order():
    found = declared(VISIT + CLICK + PAGE)
    visit = found["visit"]
    assert list(visit.columns) == ["visit_id", "at", "page"]
    assert visit.columns["page"] == "int64"  # OpenMLDB's BIGINT
    assert visit.required == {"visit_id"}
    assert (visit.time, visit.request_id) == ("at", "visit_id")
    assert (found["page"].time, found["page"].request_id) == (None, None)
    assert visit.arrow_schema().field("at").type == "timestamp[us]"


def test_how_long_rows_are_kept():
    found = declared(VISIT + CLICK + PAGE)
    assert found["visit"].expires_ms == 7 * 86_400_000
    assert found["click"].expires_ms is None
    assert (found["page"].keeps_latest, found["visit"].keeps_latest) == (True, False)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (VISIT + CLICK + PAGE + VISIT, "creates table visit twice"),
        (VISIT.replace("visit (", "shop.visit (") + CLICK + PAGE, "write visit alone"),
        (VISIT + CLICK + PAGE.replace("topic", "page"), "has the column page twice"),
        (VISIT + CLICK.replace("ts=at", "ts=att") + PAGE, "names att.*'at'"),
        (VISIT + CLICK + PAGE + "DROP TABLE page;", "not CREATE TABLE"),
        (VISIT + CLICK + "\nCREATE TABEL page (page bigint);", "create.sql: line 4"),
        (VISIT + CLICK, "page"),
    ],
)
def test_a_script_that_makes_something_else_is_refused(script, words):
    with pytest.raises(ConfigurationError, match=words):
        declared(script)


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigurationError) as raised:
        declared(VISIT + VISIT + CLICK.replace("ts=at", "ts=when") + PAGE)
    assert len(str(raised.value).splitlines()) == 2
