"""What is allowed and hardly meant is told as a warning, with key, reason and fix."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.check import check_pipeline, doubts
from nightshift.config.pipeline import PipelineConfig
from nightshift.config.reading import parse
from tests.nightshift.check.conftest import (
    CREATE,
    GATES,
    HYPER,
    PIPELINE,
    QUERY,
    SPEC,
    TABLES,
    expect,
    plant,
)

INT = pa.int32()


def warnings(settings):
    return [p for p in check_pipeline(settings, "shop") if p.level == "warning"]


DOUBTS = [
    # file, what is there, what is written instead, key, a word of the message, a word of the fix
    (PIPELINE, r"^keep_releases: 3", "keep_releases: 0", "keep_releases", "rolled back", "1 or more"),
    (SPEC, r"^label_settle_days: .*", "label_settle_days: 9", "label_settle_days", "is 9", "one of"),
    (QUERY, r"`product`\.`a1` AS", "'a1' AS", "product_a1", "every row", "write `a1`"),
    (QUERY, r"`product`\.`a2` AS", '"a2" AS', "product_a2", "every row", "write `a2`"),
    (QUERY, r"`product`\.`a3` AS", "7 AS", "product_a3", "is 7 in every row", "take it out"),
    (QUERY, r"LAST JOIN `bo_product`", "LEFT JOIN `bo_product`", "LEFT JOIN bo_product", "each row",
     "LAST JOIN"),
    (QUERY, r"14d PRECEDING", "1M PRECEDING", "line 34", "1 minute", "30d"),
    (HYPER, r"^cross_layers: 3", "cross_layers: 5", "cross_layers", "deepfm does not", "dcn, dcnv2"),
]  # fmt: skip


def test_doubts_are_told_with_key_reason_and_fix(settings):
    plant(settings, TABLES, r"^label: action", "label: {table: action, settles: {days: 2}}")
    before = warnings(settings)
    for _, _, _, key, word, fix in DOUBTS:
        with pytest.raises(AssertionError):
            expect(before, key, word, fix)
    for file, old, new, *_ in DOUBTS:
        plant(settings, file, old, new)
    found = warnings(settings)
    for *_, key, word, fix in DOUBTS:
        expect(found, key, word, fix)


def test_a_frame_without_a_begin_is_told_unless_it_is_cut(settings):
    # Given the window of 14 days over all that there is, cut after 200 rows, and then uncut
    plant(settings, QUERY, r"14d PRECEDING", "UNBOUNDED PRECEDING")
    assert not [p for p in warnings(settings) if "all rows that there are" in p.message]
    plant(settings, QUERY, r"(UNBOUNDED PRECEDING.*) MAXSIZE \d+\)", r"\1)")
    found = [p for p in warnings(settings) if "all rows that there are" in p.message]
    assert [p.key for p in found] == ["window last_14_days"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"schedule": "0 2 * * *"}, []),
        ({"schedule": "0 2 * * 1"}, []),
        ({"schedule": "off"}, []),
        ({"schedule": "off", "keep_releases": 0}, ["keep_releases"]),
        ({"schedule": "0 2,14 * * *"}, ["schedule"]),
        ({"schedule": "* * * * *"}, ["schedule"]),
        ({"schedule": "0 2 * * *", "live_by": "06:30"}, []),
        ({"schedule": "0 22 * * *", "live_by": "01:30"}, []),
        ({"schedule": "0 2 * * *", "live_by": "01:30"}, ["live_by"]),
        ({"schedule": "0 2 * * *", "live_by": "02:00"}, ["live_by"]),
    ],
)
def test_what_is_odd_in_pipeline_yaml(given, told):
    config, problems = parse(PipelineConfig, {"version": 1, **given}, source="pipeline.yaml")
    assert problems == []
    assert [one.key for one in doubts.of_config(config)] == told


# What the newest partitions say.


def lay(settings, days, position=INT):
    """Requests of some days, two of one user each day."""
    created = check_columns(settings)
    for n, day in enumerate(days):
        folder = settings.data / "shop" / "flattenRequest" / f"ds={day}"
        folder.mkdir(parents=True, exist_ok=True)
        noon = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(4))
        columns = {}
        for name, kind in created.items():
            values = [noon, noon] if pa.types.is_timestamp(kind) else [None, None]
            if name == "reqId":
                values = [f"r{n}", f"s{n}"]
            elif name == "user_id":
                values = ["u", "u"]
            columns[name] = pa.array(values, position if name == "split_id" else kind)
        pq.write_table(pa.table(columns), folder / "part-0.parquet", data_page_version="1.0")


def check_columns(settings):
    from nightshift.data.declared import declared_tables
    from nightshift.pipeline import Pipeline

    files = Pipeline.load(settings, "shop").features
    table = declared_tables(files.tables, files.create_script())["flattenRequest"]
    return {field.name: field.type for field in table.arrow_schema()}


def test_a_label_that_requests_share_is_told(settings):
    lay(settings, ["2026-03-01"])
    plant(settings, QUERY, r"`flattenRequest`\.`reqId` = `label`\.`reqId`",
          "`flattenRequest`.`user_id` = `label`.`reqId`")  # fmt: skip
    expect(warnings(settings), "LAST JOIN action", "2 requests of 2026-03-01 have 1 value", "reqId")


def test_days_that_are_not_there_and_too_few_rows_are_told(settings):
    lay(settings, ["2026-03-01", "2026-03-04"])
    found = warnings(settings)
    expect(found, "train_days", "flattenRequest has no partition of 28", "allow_missing")
    expect(found, "data.rows.min", "the newest 30 days have 4 requests", "lower it")
    plant(settings, GATES, r"min: 500, level: fail", "min: 4, level: fail")
    assert not [p for p in warnings(settings) if p.key == "data.rows.min"]
    plant(settings, GATES, r"min: 4, level: fail", "min: 5, level: fail")
    # A day that has not come is not the newest
    lay(settings, ["2071-01-01"])
    expect(warnings(settings), "data.rows.min", "the newest 30 days have 4 requests", "lower it")


def test_another_type_in_an_older_day_is_told_once(settings):
    lay(settings, ["2026-03-01", "2026-03-02"], position=pa.string())
    lay(settings, ["2026-03-03"])
    found = [p for p in check_pipeline(settings, "shop") if p.key == "split_id"]
    assert [p.level for p in found] == ["error"]
    assert "ds=2026-03-02" in found[0].file
    assert "(and so in 1 older day(s))" in found[0].message


def test_a_query_file_that_holds_something_else_is_told(settings):
    plant(settings, QUERY, r"(?s)\A.*\Z", "DROP TABLE bo_user;")
    expect(
        check_pipeline(settings, "shop"), "", "is not a SELECT: it begins with 'DROP TABLE", "name"
    )
    plant(settings, PIPELINE, r"sql: features.sql", f"sql: {CREATE}")
    expect(check_pipeline(settings, "shop"), "", "is not a SELECT", "name another file")
