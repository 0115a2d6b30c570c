"""`gates.yaml`: every threshold has a default, and bounds between which nothing fits are refused."""

import pytest

from nightshift.config.gates import GatesConfig
from nightshift.config.reading import parse


def test_an_empty_file_is_whole_and_so_is_what_it_says(project):
    found, problems = parse(GatesConfig, {}, source="gates.yaml")
    assert not problems
    again, problems = parse(GatesConfig, found.model_dump(by_alias=True), source="gates.yaml")
    assert not problems
    assert again == found


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"data": {"rows": {"min": -1}}}, "data.rows.min"),
        ({"data": {"rows": {"level": "error"}}}, "data.rows.level"),
        ({"data": {"nulls": {"except": {"a": 1.5}}}}, "data.nulls.except.a"),
        ({"data": {"drift": {"fail": 3}}}, "data.drift.fail"),
        # Bounds that nothing passes: a day has at most the median's rows, a model no loss at all
        ({"data": {"day_rows": {"max_share": 0.9}}}, "data.day_rows.max_share"),
        ({"data": {"positives": {"max_share": 0.0, "min_share": 0.0}}}, "data.positives.max_share"),
        ({"data": {"positives": {"min_share": 1.0, "max_share": 1.0}}}, "data.positives.min_share"),
        (
            {"quality": {"max_logloss_ratio": {"value": 0, "level": "fail"}}},
            "quality.max_logloss_ratio.value",
        ),
        ({"quality": {"calibration_ratio": {"min": 0, "max": 0}}}, "quality.calibration_ratio.max"),
        ({"quality": {"min_auc": {"value": 1.2, "level": "fail"}}}, "quality.min_auc.value"),
        ({"qualty": {}}, "qualty"),
    ],
)
def test_a_wrong_threshold_is_named_by_its_place(content, key):
    found, problems = parse(GatesConfig, content, source="gates.yaml")
    assert found is None
    assert [one.key for one in problems] == [key]
    assert problems[0].fix


@pytest.mark.parametrize(
    "part",
    [
        {"positives": {"min_share": 0.5, "max_share": 0.1}},
        {"drift": {"warn_psi": 3.0, "fail_psi": 1.0}},
    ],
)
def test_bounds_are_in_order(part):
    found, problems = parse(GatesConfig, {"data": part}, source="gates.yaml")
    assert found is None
    assert "nothing is between them" in str(problems[0])
