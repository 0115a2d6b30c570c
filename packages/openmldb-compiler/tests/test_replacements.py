"""The table of replacements: names that OpenMLDB lacks, and advice that uses what it has."""

import re

import pytest
from openmldb_compiler.replacements import FUNCTIONS, REPLACEMENTS

WORDS = {"case", "when", "then", "else", "end", "not", "like", "null", "over", "true"}
"""SQL's own words that stand before a bracket or beside one."""


@pytest.mark.parametrize("name", sorted(REPLACEMENTS))
def test_advice_calls_functions_that_there_are_and_not_itself(name):
    called = {one.lower() for one in re.findall(r"`?(\w+)`?\(", REPLACEMENTS[name])} - WORDS
    assert called <= FUNCTIONS
    assert name not in called


def test_no_function_is_said_to_be_absent_and_present():
    assert not FUNCTIONS & REPLACEMENTS.keys()
    assert all(name == name.lower() for name in FUNCTIONS | REPLACEMENTS.keys())
