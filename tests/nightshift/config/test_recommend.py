"""The part `recommend` of a pipeline's file."""

import pytest

from nightshift.config.pipeline import PipelineConfig
from nightshift.config.reading import parse
from nightshift.config.recommend import RETRIEVERS
from nightshift.recommend.retrievers import REGISTRY

OWN = {"user": "u", "item": "i"}


def test_the_names_are_those_of_the_registry():
    assert set(RETRIEVERS) == set(REGISTRY)


def test_a_pipeline_that_recommends_is_judged_by_it():
    found, _ = parse(PipelineConfig, {"version": 1, "recommend": OWN}, source="x")
    without, _ = parse(PipelineConfig, {"version": 1}, source="x")
    assert found.gates_run == (*without.gates_run, "recommend")
    assert "recommend" not in without.gates_run


def test_every_problem_at_once():
    content = {
        "version": 1,
        "recommend": {
            "user": "u-1",
            "retrievers": ["item_neighbors", "popular"],
            "candidates": 0,
            "fill": {"x": "{who}"},
            "intractions": {},
        },
    }
    found, problems = parse(PipelineConfig, content, source="pipeline.yaml")
    assert found is None
    told = {problem.key: str(problem) for problem in problems}
    assert set(told) == {
        "recommend.user",
        "recommend.item",
        "recommend.retrievers",
        "recommend.candidates",
        "recommend.fill",
        "recommend.intractions",
    }
    assert "item_neighbours" in told["recommend.retrievers"]
    assert "interactions" in told["recommend.intractions"]


@pytest.mark.parametrize(
    ("more", "key", "fix"),
    [
        ({"recommend": OWN, "gates_run": ["quality"]}, "gates_run", "add recommend"),
        ({"recommend": OWN, "gates_run": []}, "gates_run", "add recommend"),
        ({"gates_run": ["recommend"]}, "gates_run", "write the part recommend"),
        (
            {"recommend": OWN, "family": "tensor", "gates_run": ["recommend"]},
            "recommend",
            "the family ctr",
        ),
    ],
)
def test_parts_that_do_not_fit(more, key, fix):
    found, problems = parse(PipelineConfig, {"version": 1, **more}, source="x")
    assert found is None
    assert [problem.key for problem in problems] == [key]
    assert fix in problems[0].fix
