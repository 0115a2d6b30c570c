"""What an experiment may say."""

import pytest
from pydantic import ValidationError

from nightshift.config.reading import read
from nightshift.errors import ConfigurationError
from nightshift.experiment.config import ExperimentConfig


def test_lists_of_a_file_are_read(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(
        "vary: {learning_rate: [0.001, 0.01]}\nseeds: [1, 2]\ndates: ['2026-11-02', '2026-11-01']\n"
        "leave_out: [[a, b]]\n"
    )
    config = read(ExperimentConfig, path)
    assert config.vary == {"learning_rate": (0.001, 0.01)}
    assert config.dates == ("2026-11-01", "2026-11-02")
    assert config.leave_out == (("a", "b"),)


def test_an_unknown_key_is_named(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text("seed: 3\n")
    with pytest.raises(ConfigurationError, match="seeds"):
        read(ExperimentConfig, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dates": 0}, "1 to 366 nights"),
        ({"dates": ("2026-13-01",)}, "write dates"),
        ({"dates": ("20261101",)}, "write dates"),
        ({"dates": ("2026-11-01", "2026-11-01")}, "names a date twice"),
        ({"seeds": (1, 1)}, "different seeds"),
        ({"vary": {"epochs": ()}}, "epochs has no value"),
        ({"grid": {"seed": (1, 2)}}, "name seeds under seeds"),
        ({"search": {"space": {}}, "grid": {"epochs": (1,)}}, "search stands alone"),
        ({"search": {"space": {"dropout": {"low": 0.1}}}}, "either low and high, or choices"),
        ({"search": {"space": {"dropout": {"low": 1.0, "high": 0.1}}}}, "are not a range"),
        ({"search": {"space": {"lr": {"low": 0.0, "high": 0.1, "log": True}}}}, "are not a range"),
    ],
)
def test_what_cannot_be_meant_is_refused(content, message):
    with pytest.raises(ValidationError, match=message):
        ExperimentConfig(**content)
