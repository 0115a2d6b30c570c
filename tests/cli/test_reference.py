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


@pytest.mark.parametrize("file", sorted((PROJECT / "pipelines").glob("*/hyperparameters.yaml")))
def test_shipped_hyperparameters_fit_their_schema(file):
    values = yaml.safe_load(file.read_text()) or {}
    if "yaml-language-server" in file.read_text():
        jsonschema.validate(values, reference.hyperparameters_schema())


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
