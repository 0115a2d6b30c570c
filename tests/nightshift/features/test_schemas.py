"""The schemas take what the readers take, and refuse what is wrong in one place."""

import copy

import jsonschema
import pytest

from nightshift.errors import ConfigurationError
from nightshift.features.schemas import feature_spec_schema, tables_schema
from nightshift.features.specification import FeatureSpec
from nightshift.features.tables import SourceTables

TABLES = {
    "version": 1,
    "events": {"shown": "at", "clicked": "at"},
    "requests": {"table": "shown", "id": "shown_id"},
}
SPEC = {
    "version": 1,
    "label": "bought",
    "time": "at",
    "test_days": 2,
    "valid_days": 2,
    "categorical": {"colour": "string"},
}


def fits(schema, content):
    return jsonschema.Draft202012Validator(schema).is_valid(content)


def is_read(reader, content):
    try:
        reader.parse(copy.deepcopy(content), source="file.yaml")
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"snapshots": ["users"], "label": "clicked"},
        {"label": None},
        {"label": {"table": "clicked", "absent": 0, "settles": {"days": 3}, "arrival": "came"}},
        {"label": {"table": "clicked", "absent": None, "settles": None, "delay": None}},
        {"label": {"table": "clicked", "delay": {"hours": 2}}},
    ],
)
def test_tables_that_are_read_fit(changes):
    assert is_read(SourceTables, TABLES | changes)
    assert fits(tables_schema(), TABLES | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"events": {}},
        {"events": {"shown": "at", "a b": "at"}},
        {"event": {"shown": "at"}},
        {"snapshots": "users"},
        {"snapshots": ["users", "users"]},
        {"requests": {"table": "shown"}},
        {"requests": {"table": "shown", "id": "shown_id", "key": "x"}},
        {"label": {"absent": 0}},
        {"label": {"table": "clicked", "absent": 2}},
        {"label": {"table": "clicked", "settles": {"days": -1}}},
        {"label": {"table": "clicked", "delay": {"hours": 2, "days": 1}}},
        {"label": {"table": "clicked", "delay": {"weeks": 2}}},
        {"label": {"table": "clicked", "delay": {"days": 0}}},
    ],
)
def test_tables_that_are_refused_do_not_fit(changes):
    assert not is_read(SourceTables, TABLES | changes)
    assert not fits(tables_schema(), TABLES | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"keys": ["id", "at"], "ignored": {"made": "says nothing"}, "lookback_days": {"shown": 3}},
        {"label_settle_days": None, "keys": None, "numeric": None},
        {"categorical": {"colour": "VARCHAR", "day": " BigInt "}},
        {"categorical": {"price": {"type": "double", "decimals": 2}}},
        {"categorical": {"words": {"type": "string", "split": " ", "most": 3, "pool": "sum"}}},
        {"numeric": {"price": "double", "count": {"type": "int", "bins": 0}}},
        {"numeric": {"price": {"type": "float", "transform": "log1p", "bins": "auto"}}},
        {"numeric": {"price": {"type": "float", "missing": -1.5, "clip": [None, 3]}}},
    ],
)
def test_specifications_that_are_read_fit(changes):
    assert is_read(FeatureSpec, SPEC | changes)
    assert fits(feature_spec_schema(), SPEC | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"label": ""},
        {"test_days": 0},
        {"valid_days": True},
        {"label_settle_days": -1},
        {"lookback_days": {"shown": -1}},
        {"keys": "id"},
        {"categoricals": {}},
        {"categorical": {"colour": "text"}},
        {"categorical": {"colour": {"type": "string", "most": 3}}},
        {"categorical": {"words": {"type": "string", "split": " ", "most": 0}}},
        {"categorical": {"words": {"type": "string", "split": " ", "pool": "max"}}},
        {"categorical": {"words": {"type": "string", "split": " ", "sequence": "yes"}}},
        {"numeric": {"name": "string"}},
        {"numeric": {"price": {"type": "double", "decimals": 16}}},
        {"numeric": {"price": {"type": "double", "transform": "log"}}},
        {"numeric": {"price": {"type": "double", "bins": 1}}},
        {"numeric": {"price": {"type": "double", "missing": "max"}}},
        {"numeric": {"price": {"type": "double", "clip": [1]}}},
        {"numeric": {"price": {"type": "double", "scale": 2}}},
    ],
)
def test_specifications_that_are_refused_do_not_fit(changes):
    assert not is_read(FeatureSpec, SPEC | changes)
    assert not fits(feature_spec_schema(), SPEC | changes)
