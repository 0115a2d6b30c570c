"""The documented file of hyper-parameters, and what a wrong one says."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from nightshift.errors import ConfigurationError
from tasks.ctr.train.hyperparameters import NAMES, Family, Hyperparameters, load

FILE = Path(__file__).resolve().parents[4] / "pipelines" / "jd" / "hyperparameters.yaml"


def test_every_value_of_the_file_is_documented_on_its_line():
    chosen = load(FILE).to_json()
    assert list(yaml.safe_load(FILE.read_text())) and set(chosen) == set(NAMES)
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            assert "  # " in line, line


def test_the_worked_example_has_the_defaults_that_other_data_gets():
    assert load(FILE) == Hyperparameters()


def test_overrides_are_read_as_yaml():
    chosen = load(FILE, ["epochs=3", "hidden=[8, 4]", "learning_rate=1e-2", "dropout=0"])
    assert (chosen.epochs, chosen.hidden) == (3, (8, 4))
    assert (chosen.learning_rate, chosen.dropout) == (0.01, 0.0)


def test_a_file_of_an_earlier_version_is_still_read(tmp_path):
    path = tmp_path / "hyperparameters.yaml"
    path.write_text("embedding_store: memory\nepochs: 3\n")
    assert load(path).epochs == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=3", ["unknown hyper-parameter 'epoch'", "did you mean 'epochs'"]),
        ("epochs", ["key=value"]),
        ("epochs=0", ["epochs is 0", "greater than or equal to 1"]),
        ("epochs=2.5", ["epochs is 2.5"]),
        ("epochs=true", ["epochs is True"]),
        ("epochs=[", ["not YAML"]),
        ("dropout=1", ["dropout is 1", "less than or equal to 0.9"]),
        ("dropout=.nan", ["dropout is nan"]),
        ("learning_rate=fast", ["learning_rate is 'fast'"]),
        ("hidden=128", ["hidden is 128", "a list of whole numbers"]),
        ("hidden=[]", ["hidden is []"]),
        ("hidden=[8, 0]", ["hidden"]),
        ("embedding_store=disk", ["embedding_store is 'disk'", "'one_embedding'"]),
        ("family=deepfn", ["family is 'deepfn'", "'deepfm'"]),
        ("optimizer=auto", ["optimizer is 'auto'", "'adam'"]),
    ],
)
def test_a_wrong_override_names_itself_and_the_fix(override, words):
    with pytest.raises(ConfigurationError) as caught:
        load(FILE, [override])
    for word in ["--set", *words]:
        assert word in str(caught.value)


def test_a_wrong_file_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE.read_text() + "\ndropuot: 0.1\n")
    with pytest.raises(ConfigurationError, match=r"mine\.yaml: .*'dropuot'.* 'dropout'"):
        load(path)


def test_an_empty_file_has_all_defaults(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{}\n")
    chosen = load(path)
    assert chosen.family == "deepfm"
    assert chosen.learning_rate == "auto"
    assert chosen.patience == 3


def test_all_wrong_values_are_told_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 0\ndropout: 2\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path, ["patience=0"])
    for words in ("epochs is 0", "dropout is 2", "--set patience=0: patience is 0"):
        assert words in str(caught.value)


def test_the_families_that_may_be_asked_for_are_those_of_the_registry(workshop):
    found = workshop.evaluate(
        "from tasks.ctr.train.models import FAMILIES\nanswer = list(FAMILIES)"
    )
    assert sorted(found) == sorted(get_args(Family))
