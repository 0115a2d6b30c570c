"""The key `monitor` of `pipeline.yaml`."""

import pytest

from nightshift.config.monitor import MonitorConfig
from nightshift.config.reading import parse


def test_by_default_a_fault_is_told_and_nothing_is_taken_out_of_service():
    found, problems = parse(MonitorConfig, {}, source="pipeline.yaml")
    assert not problems
    assert found.action == "alert"
    assert 0 < found.alpha <= 0.05  # a false alarm is rarer than the usual level


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("alpha", 0.0),
        ("alpha", 0.5),
        ("days", 0),
        ("max_calibration", 1.0),
        ("max_skew_rows", 1.5),
        ("settle_hours", -1.0),
        ("action", "rollback"),
        ("slices", "city"),
        ("slice", ["city"]),
    ],
)
def test_a_wrong_value_is_named(key, value):
    found, problems = parse(MonitorConfig, {key: value}, source="pipeline.yaml")
    assert found is None
    assert [one.key for one in problems] == [key]
    assert problems[0].fix


def test_slices_are_a_list_as_yaml_gives_it():
    found, _ = parse(MonitorConfig, {"slices": ["city", "device"]}, source="pipeline.yaml")
    assert found.slices == ("city", "device")
