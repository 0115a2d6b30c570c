"""The share of positives, computed from the label's files and counted by hand here."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_sql.parse import parse_select

from nightshift.check import check_pipeline, doubts, labels
from nightshift.check.labels import value_of
from nightshift.features import lineage
from nightshift.pipeline import Pipeline
from tests.nightshift.check.conftest import QUERY, TABLES, lay, plant

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]
NOON = dt.datetime(2026, 3, 1, 4)


def put(settings, table, day, **columns):
    count = len(next(iter(columns.values())))
    lay(settings, table, {"at": [NOON] * count, **columns}, day)


def counted(settings):
    pipeline = Pipeline.load(settings, "shop")
    files = pipeline.features
    columns = lineage.columns_of(files.create_script(), files.tables)
    reach = lineage.reach_of(files.query(), tables=files.tables, columns=columns)
    source = columns[files.tables.label_table]
    requests = doubts.requests_by_day(pipeline)
    return labels.positives(pipeline, files.spec, files.query(), reach, source, requests)


@pytest.fixture
def clicks(settings):
    """Ten requests a day; four of a day have a label, one of them 1 and that one twice."""
    for number, day in enumerate(DAYS):
        ids = [f"{number}-{at}" for at in range(10)]
        put(settings, "flattenRequest", day, reqId=ids)
        action = [ids[0], ids[0], ids[1], ids[2], ids[3]]
        values = pa.array([1, 1, 0, 0, None], pa.int32())
        for path in (settings.data / "shop" / "action").glob(f"ds={day}"):
            path.rmdir()
        folder = settings.data / "shop" / "action" / f"ds={day}"
        folder.mkdir(parents=True)
        table = pa.table({"reqId": action, "actionValue": values})
        pq.write_table(table, folder / "part-0.parquet")
    return settings


def test_positives_are_counted_by_request_among_those_with_a_label(clicks):
    plant(clicks, TABLES, r"^label: action", "label: {table: action, settles: {days: 1}}")
    found = counted(clicks)  # of the two days that have settled, one request of three each
    assert (found.positive, found.judged) == (2, 6)
    assert found.share == pytest.approx(1 / 3)


def test_requests_without_a_label_count_where_tables_yaml_says_so(clicks):
    plant(
        clicks, TABLES, r"^label: action", "label: {table: action, absent: 0, settles: {days: 0}}"
    )
    found = counted(clicks)
    assert (found.positive, found.judged) == (3, 30)
    plant(clicks, TABLES, r"absent: 0", "absent: 1")
    found = counted(clicks)
    assert (found.positive, found.judged) == (30 - 2 * 3, 30)


@pytest.mark.parametrize(
    ("expression", "positive"),
    [
        ("CASE WHEN isnull(`label`.`actionValue`) THEN 1 ELSE 0 END", 3),
        ("CASE WHEN `label`.`actionValue` < 1 THEN 1 ELSE 0 END", 6),
        ("int(`label`.`actionValue`)", 3),
        ("ifnull(`label`.`actionValue`, 1)", 6),
    ],
)
def test_the_label_is_computed_as_the_query_computes_it(clicks, expression, positive):
    plant(
        clicks, TABLES, r"^label: action", "label: {table: action, absent: 0, settles: {days: 0}}"
    )
    plant(clicks, QUERY, r"`label`\.`actionValue` AS", f"{expression} AS")
    assert counted(clicks).positive == positive


@pytest.mark.parametrize(
    ("expression", "odd"),
    [
        ("ifnull(`label`.`actionValue`, 0)", None),
        ("CASE WHEN isnull(`label`.`actionValue`) THEN NULL ELSE 2 END", 2),
        ("CASE WHEN isnull(`label`.`actionValue`) THEN -1 ELSE 1 END", -1),
        ("CASE WHEN `label`.`actionValue` = 1 THEN 1 WHEN `label`.`actionValue` = 0 THEN 5 END", 5),
    ],
)
def test_a_label_other_than_0_and_1_is_an_error_before_the_night(clicks, expression, odd):
    plant(clicks, TABLES, r"^label: action", "label: {table: action, settles: {days: 0}}")
    plant(clicks, QUERY, r"`label`\.`actionValue` AS", f"{expression} AS")
    assert counted(clicks).odd == odd
    told = [one for one in check_pipeline(clicks, "shop") if "0, 1 or NULL" in one.message]
    assert [one.message.startswith(f"the label is {odd} for") for one in told] == (
        [True] if odd is not None else []
    )


def test_a_label_that_is_computed_otherwise_is_not_known(clicks):
    plant(clicks, QUERY, r"`label`\.`actionValue` AS", "int(log(`label`.`actionValue`)) AS")
    assert counted(clicks) is None


def test_no_requests_no_share(settings):
    assert counted(settings) is None


VALUES = [
    # an expression, its value where a = 2, b is NULL and s = 'x'
    ("a", 2), ("a = 2", True), ("a <> 2", False), ("b = 1", None), ("NOT (a = 1)", True), ("-a", -2),
    ("b = 1 OR a = 2", True), ("b = 1 AND a = 2", None), ("b = 1 AND a = 1", False),
    ("isnull(b)", True), ("ifnull(b, 7)", 7), ("if(a > 1, 1, 0)", 1), ("bool(a)", True),
    ("int(1.9)", 1), ("double(a)", 2.0), ("a IN (1, 2)", True), ("a NOT IN (1, 3)", True),
    ("a IN (1, NULL)", None), ("s IN ('x')", True),
    ("CASE a WHEN 1 THEN 0 WHEN 2 THEN 1 END", 1), ("CASE WHEN b > 1 THEN 1 END", None),
    ("CASE WHEN b > 1 THEN 1 ELSE 0 END", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values(text, value):
    (part,) = parse_select(f"SELECT {text} AS x FROM t", strict=False).selects
    assert value_of(part.items[0].expr, {"a": 2, "b": None, "s": "x"}) == value
