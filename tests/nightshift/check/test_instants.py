"""Windows that count events of the request's own instant."""

from nightshift.check import check_pipeline
from nightshift.check.instants import shared
from nightshift.features import lineage
from nightshift.pipeline import Pipeline
from tests.nightshift.check.conftest import (
    PIPELINE,
    QUERY,
    lay,
    plant,
)


def instants(settings):
    """Windows that are said to end at an instant which their table's rows share."""
    found = [p for p in check_pipeline(settings, "shop") if "own instant" in p.message]
    assert {p.level for p in found} <= {"warning"}
    return {p.key: p.message for p in found}


def test_windows_over_events_of_the_requests_own_instant_are_warned_of(settings):
    requests = {"at": [1000, 2000, 3000], "pair_id": ["a", "b", "c"], "sku_id": ["x", "y", "z"]}
    lay(settings, "flattenRequest", requests)
    lay(settings, "bo_action", {"at": [1000, 2000, 2999], "pair_id": ["a", "a", "c"]})
    lay(settings, "bo_comment", {"at": [999, 2500], "sku_id": ["x", "y"]})
    # They are posted before the request is asked: the pipeline says so.
    assert instants(settings) == {}
    plant(settings, PIPELINE, "same_instant: before", "same_instant: after")
    found = instants(settings)
    assert len(found) == 3
    assert all("1 of 3 requests of 2026-03-01" in text for text in found.values())
    assert all("bo_action" in text for text in found.values())
    # One of the three windows leaves such rows out.
    plant(
        settings,
        QUERY,
        r"(10h PRECEDING AND 0s PRECEDING MAXSIZE 100\s+)INSTANCE_NOT_IN_WINDOW\)",
        r"\1EXCLUDE CURRENT_TIME INSTANCE_NOT_IN_WINDOW)",
    )
    assert len(instants(settings)) == 2


def test_events_that_come_before_their_requests_are_no_reason_to_warn(settings):
    lay(settings, "flattenRequest", {"at": [1000], "pair_id": ["a"], "sku_id": ["x"]})
    lay(settings, "bo_action", {"at": [999], "pair_id": ["a"]})
    assert instants(settings) == {}


def shared_of(settings):
    pipeline = Pipeline.load(settings, "shop")
    files = pipeline.features
    columns = lineage.columns_of(files.create_script(), files.tables)
    reach = lineage.reach_of(
        files.query(), tables=files.tables, columns=columns, source=str(files.sql)
    )
    return list(shared(pipeline, reach))


def test_without_requests_nothing_can_be_said_and_an_empty_day_is_passed_over(settings):
    assert shared_of(settings) == []
    lay(settings, "flattenRequest", {"at": [1000], "pair_id": ["a"], "sku_id": ["x"]})
    lay(settings, "bo_action", {"at": [1000], "pair_id": ["a"]})
    found = shared_of(settings)
    assert {(one.table, one.day, one.requests, one.of) for one in found} == {
        ("bo_action", "2026-03-01", 1, 1)
    }
    later = Pipeline.load(settings, "shop").data / "flattenRequest" / "ds=2026-03-02"
    later.mkdir()
    assert shared_of(settings) == found
