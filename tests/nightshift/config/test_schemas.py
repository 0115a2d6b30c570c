"""The schemas that editors read are those of the models."""

import json

import jsonschema
import yaml

from nightshift.config.schemas import schemas
from nightshift.settings import PROJECT

FOLDER = PROJECT / "docs" / "reference" / "schemas"


def test_the_files_are_current():
    wanted = schemas()
    there = {name: (FOLDER / name).read_text() for name in wanted}
    assert there == wanted, "run: .venv/bin/python -m cli.reference"


def test_the_shipped_files_fit_them():
    for path in sorted((PROJECT / "pipelines").glob("*/*.yaml")):
        schema = FOLDER / f"{path.stem}.json"
        if schema.is_file() and f"schemas/{schema.name}" in path.read_text():
            jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(schema.read_text()))
