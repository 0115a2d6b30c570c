"""The key `live` of `pipeline.yaml`."""

import pytest

from nightshift.config.live import LiveConfig
from nightshift.config.reading import parse


def test_by_default_requests_are_kept_and_nobody_is_part_of_an_experiment():
    found, problems = parse(LiveConfig, {}, source="pipeline.yaml")
    assert not problems
    assert (found.log.enabled, found.log.sample) == (True, 1.0)
    assert found.shadow.hours == 0
    assert found.canary is None
    assert not found.insert_requests


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"canary": {}}, "canary.column"),
        ({"canary": {"column": "user", "share": 1.0}}, "canary.share"),
        ({"canary": {"column": "user", "share": 0.0}}, "canary.share"),
        ({"canary": {"column": "user", "hours": 0.0}}, "canary.hours"),
        ({"log": {"sample": 1.1}}, "log.sample"),
        ({"log": {"keep_days": 0}}, "log.keep_days"),
        ({"log": {"hash": ["user"]}}, "log.hash"),
        ({"shadow": {"share": 0.0}}, "shadow.share"),
        ({"same_instant": "during"}, "same_instant"),
        ({"insert_requests": "yes"}, "insert_requests"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(content, key):
    found, problems = parse(LiveConfig, content, source="pipeline.yaml")
    assert found is None
    assert [one.key for one in problems] == [key]
    assert problems[0].fix
