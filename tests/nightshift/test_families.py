"""Every family of the registry has its code on each side, and gates that can judge it."""

import importlib
import importlib.util

import pytest
from predict_server.families import find as answers_by
from predict_server.families.base import Family as Answers

from nightshift.config.pipeline import PipelineConfig
from nightshift.config.reading import parse
from nightshift.errors import ContractError
from nightshift.families import FAMILIES, having
from nightshift.gates.registry import GATES, find


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_has_its_code(family):
    assert importlib.util.find_spec(f"tasks.{family.name}.train.__main__")
    assert importlib.util.find_spec(f"tasks.{family.name}.serving")
    dags = importlib.import_module(family.dags)
    assert dags.STEPS.startswith("2. ")
    assert callable(dags.candidate)
    assert callable(dags.command_lines)
    assert isinstance(answers_by(family.name), Answers)
    if family.settings is not None:
        settings = importlib.import_module(family.settings)
        assert callable(settings.load)
        assert callable(settings.problems)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_pipeline_that_names_its_family_alone_is_valid(family):
    found, problems = parse(PipelineConfig, {"version": 1, "family": family.name}, source="x")
    assert not problems
    assert found.gates_run == family.gates
    assert not any(family.lacks(find(gate).needs) for gate in found.gates_run)
    assert (found.features is not None) == ("features" in family.parts)


def test_a_pair_can_always_be_rehearsed():
    assert GATES["rehearsal"].needs == ()


def test_the_server_refuses_a_family_that_it_has_not():
    with pytest.raises(ContractError, match=r"'forest'.*known: ctr, tensor"):
        answers_by("forest")


def test_who_has_a_part():
    assert "ctr" in having("features").split(" or ")
    assert "tensor" in having("module").split(" or ")
