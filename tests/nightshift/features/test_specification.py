"""The feature specification: what it holds, and what a wrong one says."""

import copy
import hashlib
import json
from pathlib import Path

import pytest
import yaml

from nightshift.config.yamlfile import load_yaml_mapping
from nightshift.errors import ConfigurationError, ContractError
from nightshift.features.specification import FeatureSpec, Field, Number, sql_type

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
        (
            {"numeric": {"ratio": {"type": "double", "transform": "hash"}}},
            ["numeric.ratio", "decimals"],
        ),
        ({"numeric": {"ratio": {"type": "double", "transform": "log"}}}, ["did you mean 'log1p'"]),
        ({"numeric": {"ratio": {"type": "double", "bins": 1}}}, ["numeric.ratio", "bins 1"]),
        ({"numeric": {"ratio": {"type": "double", "missing": "no"}}}, ["missing 'no'", "median"]),
        ({"numeric": {"ratio": {"type": "double", "clip": [2, 1]}}}, ["clip [2, 1]", "lowest"]),
        (
            {"numeric": {"n": {"type": "int64", "transform": "hash", "bins": 4}}},
            ["numeric.n", "hashed", "bins"],
        ),
        ({"categorical": {"tags": {"type": "int32", "split": ","}}}, ["tags", "only a string"]),
        ({"categorical": {"tags": {"type": "string", "most": 3}}}, ["tags", "no split"]),
        (
            {"categorical": {"tags": {"type": "string", "split": ",", "shares": "colur"}}},
            ["tags", "'colur'"],
        ),
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


def test_the_schema_hash_follows_the_kind_and_every_parameter_of_an_encoding():
    numbers = [
        {"type": "bigint"},
        {"type": "bigint", "transform": "standard"},
        {"type": "bigint", "bins": 8},
        {"type": "bigint", "missing": "zero"},
        {"type": "bigint", "missing": 0},
        {"type": "bigint", "clip": [0, None]},
        {"type": "bigint", "decimals": 0},
    ]
    tags = [
        {"type": "string"},
        {"type": "string", "split": ","},
        {"type": "string", "split": ";"},
        {"type": "string", "split": ",", "most": 3},
        {"type": "string", "split": ",", "pool": "sum"},
        {"type": "string", "split": ",", "sequence": True},
        {"type": "string", "split": ",", "shares": "colour"},
    ]
    hashes = {parse(numeric={"n": n}).schema_hash for n in numbers}
    hashes |= {parse(categorical={"colour": "string", "t": t}).schema_hash for t in tags}
    hashes.add(parse(categorical={"colour": "string", "n": "bigint"}, numeric={}).schema_hash)
    hashes.add(
        parse(
            categorical={"colour": "string"}, numeric={"n": {"type": "bigint", "decimals": 0}}
        ).schema_hash
    )
    assert len(hashes) == len(numbers) + len(tags) + 2


def test_hashes_of_releases_made_before_numbers_are_accepted_where_all_are_ids():
    # sha256 over the early canonical JSON of SMALL, written out by hand.
    early = json.dumps(
        {
            "encoding": 1,
            "fields": [
                ["colour", "string", None],
                ["weekday", "int32", None],
                ["ratio", "double", 2],
                ["count", "int64", None],
            ],
        }
    )
    digest = hashlib.sha256(early.encode()).hexdigest()
    assert parse().accepts(digest)
    assert parse().accepts(parse().schema_hash)
    assert not parse(numeric={"ratio": {"type": "double"}}).accepts(digest)


def test_a_number_is_one_unless_it_is_given_nothing_but_decimals():
    fields = parse(
        numeric={
            "a": "double",
            "b": {"type": "float", "decimals": 2},
            "c": {"type": "float", "decimals": 2, "transform": "auto"},
            "d": {"type": "int64", "transform": "hash"},
        }
    ).fields[2:]
    assert [field.number is not None for field in fields] == [True, False, True, False]
    assert fields[0].number == Number("auto", "auto", "indicator", (None, None))
    assert fields[2].decimals == 2


def test_a_text_of_several_values_takes_a_column_a_token():
    spec = parse(
        categorical={
            "colour": "string",
            "tags": {"type": "string", "split": ",", "most": 2, "shares": "colour"},
        }
    )
    assert spec.columns == ("colour", "tags#0", "tags#1", "ratio", "count")
    assert spec.width == 5
    assert [spec.field_of_column(at).name for at in range(5)] == [
        *("colour", "tags", "tags", "ratio", "count")
    ]
    for field in spec.fields:
        assert Field.from_json(json.loads(json.dumps(field.to_json()))) == field


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
