"""`pipeline.yaml`: what a refit goes with."""

from nightshift.config.pipeline import PipelineConfig
from nightshift.config.reading import parse


def test_a_refit_is_asked_for_and_only_of_what_holds_days_out():
    found, _ = parse(PipelineConfig, {"version": 1}, source="x")
    assert found.refit is False
    found, problems = parse(PipelineConfig, {"version": 1, "refit": True}, source="x")
    assert found.refit is True and not problems
    content = {"version": 1, "refit": True, "family": "tensor"}
    found, problems = parse(PipelineConfig, content, source="x")
    assert found is None
    assert problems[0].key == "refit"
    assert "family ctr" in problems[0].fix


def test_a_refit_that_is_no_truth_value_is_named():
    found, problems = parse(PipelineConfig, {"version": 1, "refit": "nightly"}, source="x")
    assert found is None
    assert [problem.key for problem in problems] == ["refit"]
