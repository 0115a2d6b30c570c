"""Whatever stands at any place of a pipeline's files: it is taken, or refused by its file."""

import copy
import random

import pytest
import yaml

from nightshift.config.gates import GatesConfig
from nightshift.config.pipeline import PipelineConfig
from nightshift.config.reading import parse
from nightshift.errors import ConfigurationError
from nightshift.features.specification import FeatureSpec
from nightshift.features.tables import SourceTables
from tasks.ctr.train import hyperparameters

ODD = [
    None, True, 0, -1, 1.5, float("nan"), 10**400, "", "x", "a b", "9" * 50, "\ud800",
    [], [1], [[1]], [None], ["a", "a"], {}, {"a": {}}, {1: 2}, {None: 1}, {True: False},
]  # fmt: skip
A_PLACE = 6
"""So many of them are tried at each place, others in each."""


def model(kind):
    def read(content, _path):
        parse(kind, content, source="pipeline's file")

    return read


def hyper(content, path):
    path.write_text(yaml.safe_dump(content))
    hyperparameters.load(path)


LABEL = {"table": "action", "absent": 0, "settles": {"days": 1}, "delay": {"days": 1}}
SPLIT = {"type": "string", "split": ",", "most": 3, "pool": "mean", "sequence": True}
NUMBER = {"type": "double", "transform": "quantile", "bins": 8, "missing": 0, "clip": [0, 1]}
READERS = {
    "pipeline.yaml": (model(PipelineConfig), {}),
    "gates.yaml": (model(GatesConfig), {}),
    "tables.yaml": (lambda c, _: SourceTables.parse(c, source="t"), {"label": LABEL}),
    "feature_spec.yaml": (
        lambda c, _: FeatureSpec.parse(c, source="s"),
        {"categorical": {"words": SPLIT, "sku_id": "string"}, "numeric": {"price": NUMBER}},
    ),
    "hyperparameters.yaml": (hyper, {}),
}


def places(value, path=()):
    """Every place of a document but the whole."""
    if path:
        yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield from places(value[key], (*path, key))


def put(document, path, value):
    found = copy.deepcopy(document)
    here = found
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return found


@pytest.mark.parametrize("name", READERS)
def test_an_odd_value_at_any_place_is_taken_or_refused(name, project, tmp_path):
    read, more = READERS[name]
    document = yaml.safe_load((project / "pipelines" / "jd" / name).read_text()) | more
    chosen, refused = random.Random(name), 0
    for path in places(document):
        for value in chosen.sample(ODD, A_PLACE):
            if name == "hyperparameters.yaml" and value == "\ud800":
                continue  # no file holds it
            try:
                read(put(document, path, value), tmp_path / "file.yaml")
            except ConfigurationError as error:
                refused += 1
                assert str(error).strip(), (path, value)
    assert refused or name in ("pipeline.yaml", "gates.yaml")  # `parse` returns its problems


@pytest.mark.parametrize("key", ["missing", "clip"])
def test_a_number_beyond_every_double_is_refused(key):
    value = 10**400 if key == "missing" else [0, 10**400]
    content = {
        "version": 1,
        "label": "y",
        "time": "t",
        "numeric": {"price": {**NUMBER, key: value}},
    }
    content |= {"test_days": 1, "valid_days": 1}
    with pytest.raises(ConfigurationError, match=rf"numeric.price has {key} "):
        FeatureSpec.parse(content, source="s")
