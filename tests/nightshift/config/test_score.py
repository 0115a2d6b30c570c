"""The part `score` of `pipeline.yaml`."""

import pytest

from nightshift.config.reading import parse
from nightshift.config.score import Score


def test_an_empty_part_writes_everything_and_only_by_hand():
    found, problems = parse(Score, {}, source="pipeline.yaml")
    assert not problems
    assert (found.users, found.items, found.top, found.keep) == ("all", "all", None, None)
    assert found.schedule == "off"


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("top", 0, "1 or more"),
        ("keep", 0, "1 or more"),
        ("top", "ten", "whole number"),
        ("format", "parqet", "did you mean 'parquet'"),
        ("user", "all", "did you mean 'users'"),
    ],
)
def test_a_wrong_value_is_named_with_its_fix(key, value, fix):
    found, problems = parse(Score, {key: value}, source="pipeline.yaml")
    assert found is None
    assert [one.key for one in problems] == [key]
    assert fix in problems[0].fix
