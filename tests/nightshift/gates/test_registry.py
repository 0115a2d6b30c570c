"""Every gate that a pipeline can name has its check, thresholds and place."""

import importlib

import pytest

from nightshift.config.gates import GatesConfig
from nightshift.errors import ConfigurationError
from nightshift.families import FAMILIES
from nightshift.gates.registry import GATES, find


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_a_gate_has_a_check_and_thresholds_of_its_name(gate):
    assert callable(importlib.import_module(gate.module).check)
    assert gate.name in GatesConfig.model_fields
    assert any(not family.lacks(gate.needs) for family in FAMILIES.values())
    assert gate.title.endswith(".")


def test_a_wrong_name_comes_with_the_nearest_one():
    with pytest.raises(ConfigurationError, match="rehersal.*rehearsal"):
        find("rehersal")
