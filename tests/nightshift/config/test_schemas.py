"""The schemas that editors read are those of the models."""

import json

import jsonschema
import yaml

from nightshift.config.schemas import schemas
from nightshift.settings import PROJECT

FOLDER = PROJECT / "docs" / "reference" / "schemas"


def test_the_files_are_current():
    there = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert there == schemas(), "python -m nightshift.config.schemas docs/reference/schemas"


def test_the_shipped_files_fit_them():
    for path in sorted((PROJECT / "pipelines").glob("*/*.yaml")):
        schema = FOLDER / f"{path.stem}.json"
        if schema.is_file():
            jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(schema.read_text()))
