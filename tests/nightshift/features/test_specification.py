"""The feature specification: what it holds, and what a wrong one says."""

import copy
from pathlib import Path

import pytest
import yaml

from nightshift.config.yamlfile import load_yaml_mapping
from nightshift.errors import ConfigurationError, ContractError
from nightshift.features.specification import FeatureSpec, Field, sql_type

PROJECT = Path(__file__).resolve().parents[3]
SPEC = PROJECT / "pipelines" / "jd" / "feature_spec.yaml"

SMALL = {
    "version": 1,
    "label": "bought",
    "time": "at",
    "label_settle_days": 3,
    "test_days": 2,
    "valid_days": 2,
    "lookback_days": {"requests": 14},
    "keys": ["id", "at"],
    "ignored": {"made": "says nothing"},
    "categorical": {"colour": "string", "weekday": "int"},
    "numeric": {
        "ratio": {"type": "double", "decimals": 2},
        "count": {"type": "bigint", "decimals": 0},
    },
}


def parse(**changes):
    content = copy.deepcopy(SMALL)
    content.update(changes)
    return FeatureSpec.parse(content, source="spec.yaml")


def columns(spec):
    return [(name, kind or "string") for name, kind in spec.expected_types.items()]


def test_the_project_specification_covers_the_42_columns_of_the_feature_query():
    spec = FeatureSpec.load(SPEC)
    assert len(spec.expected_types) == 42
    assert len(set(spec.names)) == len(spec.fields) == 32
    assert spec.label not in spec.names
    assert not set(spec.keys) & set(spec.names)


def test_fields_are_categorical_first_in_file_order():
    assert parse().fields == (
        Field("colour", "string", "categorical"),
        Field("weekday", "int32", "categorical"),
        Field("ratio", "double", "numeric", 2),
        Field("count", "int64", "numeric", None),
    )


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("Int32", "int32"), ("INT", "int32"), ("BigInt", "int64"), ("Varchar", "string")],
)
def test_sql_types_have_one_name(name, canonical):
    assert sql_type(name) == canonical


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, ["spec.yaml", "version is 2"]),
        ({"lable": "bought"}, ["'lable'", "did you mean 'label'"]),
        ({"label": None}, ["'label' is missing"]),
        ({"test_days": 0}, ["test_days is 0", "1 or more"]),
        ({"test_days": True}, ["test_days"]),
        ({"lookback_days": {"requests": -1}}, ["lookback_days.requests", "-1"]),
        ({"keys": ["id", "colour"]}, ["colour", "keys", "categorical"]),
        ({"keys": ["bought"]}, ["bought", "label"]),
        ({"time": "ratio"}, ["ratio", "time"]),
        ({"categorical": {"colour": "text"}}, ["categorical.colour", "'text'", "string"]),
        ({"numeric": {"ratio": {"type": "double"}}}, ["numeric.ratio", "decimals"]),
        ({"numeric": {"ratio": {"type": "double", "decimal": 2}}}, ["did you mean 'decimals'"]),
        ({"numeric": {"ratio": {"type": "double", "decimals": -1}}}, ["ratio", "-1"]),
        ({"numeric": {"count": {"type": "int64", "decimals": 1}}}, ["count", "int64"]),
        ({"numeric": {"name": {"type": "string", "decimals": 1}}}, ["name", "'string'"]),
        ({"categorical": {}, "numeric": {}}, ["no feature"]),
    ],
)
def test_a_wrong_specification_names_file_key_and_mend(changes, words):
    with pytest.raises(ConfigurationError) as caught:
        parse(**changes)
    for word in ["spec.yaml", *words]:
        assert word in str(caught.value)


def test_a_key_given_twice_in_the_file_is_an_error(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("version: 1\nnumeric:\n  a: {type: int32}\n  a: {type: int64}\n")
    with pytest.raises(ConfigurationError, match="'a' is given twice"):
        load_yaml_mapping(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml is not there"):
        FeatureSpec.load(tmp_path / "none.yaml")


def test_the_schema_hash_follows_what_ids_depend_on_and_nothing_else():
    base = parse().schema_hash
    assert base == parse(test_days=5, label_settle_days=0, keys=["at"]).schema_hash
    assert base == FeatureSpec.parse(SMALL, source="elsewhere.yaml").schema_hash
    reordered = {"weekday": "int", "colour": "string"}
    rounded = {**SMALL["numeric"], "ratio": {"type": "double", "decimals": 3}}
    hashes = {
        parse(categorical=reordered).schema_hash,
        parse(categorical={"colour": "string", "weekday": "bigint"}).schema_hash,
        parse(numeric=rounded).schema_hash,
        base,
    }
    assert len(hashes) == 4


def test_the_specified_columns_pass_whatever_their_order_and_spelling():
    spec = parse()
    spec.check_columns(reversed(columns(spec)))
    spec.check_columns([(name, kind.upper()) for name, kind in columns(spec)])


def test_a_missing_column_is_named_with_its_near_miss():
    spec = parse()
    given = [("color" if name == "colour" else name, kind) for name, kind in columns(spec)]
    with pytest.raises(ContractError, match="column colour .* did you mean 'color'"):
        spec.check_columns(given)


def test_an_unknown_column_is_an_error():
    spec = parse()
    with pytest.raises(ContractError, match="column extra"):
        spec.check_columns([*columns(spec), ("extra", "int32")])


def test_a_column_of_another_type_is_an_error():
    spec = parse()
    given = [(name, "int32" if name == "count" else kind) for name, kind in columns(spec)]
    with pytest.raises(ContractError, match="column count is int32 .* and int64"):
        spec.check_columns(given)


def test_a_column_given_twice_is_an_error():
    spec = parse()
    with pytest.raises(ContractError, match="colour twice"):
        spec.check_columns([*columns(spec), ("colour", "string")])


def test_parse_reads_what_yaml_gives():
    assert FeatureSpec.parse(yaml.safe_load(SPEC.read_text()), source=str(SPEC)).label
