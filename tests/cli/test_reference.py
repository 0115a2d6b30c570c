"""The generated pages name every setting and command, and the schema takes the shipped files."""

import jsonschema
import pytest
import yaml

from cli import reference
from cli.main import all_commands
from nightshift.settings import PROJECT, describe


def test_every_setting_has_a_row_of_three_cells():
    rows = [line for line in reference.settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(describe())
    for row, (variable, _, _) in zip(rows, describe(), strict=True):
        assert row.startswith(f"| `{variable}` |")
        assert row.replace("\\|", "").count("|") == 4


def test_every_command_has_its_help_also_below_others():
    page = reference.commands_page()
    for command in all_commands():
        assert f"\n## {command.name}\n" in page
    assert "\n## data load\n" in page
    assert "--from" in page.partition("## data load")[2]


def test_the_committed_pages_are_current(monkeypatch):
    monkeypatch.setenv("COLUMNS", reference.WIDTH)
    old = [path.name for path, text in reference.pages().items() if path.read_text() != text]
    assert old == [], "run: .venv/bin/python -m cli.reference"


def test_shipped_files_name_their_schema_and_fit_it():
    schemas = reference.all_schemas()
    for file in sorted((PROJECT / "pipelines").glob("*/*.yaml")):
        if file.stem == "hyperparameters" and file.parent.name == "style":
            continue  # options of the pipeline's own module
        first = file.read_text().partition("\n")[0]
        assert first.endswith(f"$schema=../../docs/reference/schemas/{file.stem}.json"), file
        jsonschema.validate(yaml.safe_load(file.read_text()) or {}, schemas[file.stem])


@pytest.mark.parametrize(
    "values",
    [{"family": "deepfn"}, {"epoch": 3}, {"epochs": "many"}, {"hidden": "wide"}],
)
def test_wrong_hyperparameters_do_not_fit(values):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, reference.hyperparameters_schema())


def test_auto_fits_where_training_can_choose():
    jsonschema.validate({"embedding_dim": "auto"}, reference.hyperparameters_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"seed": "auto"}, reference.hyperparameters_schema())
