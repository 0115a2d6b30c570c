"""What `./nightshift experiment` is asked for, and what it prints of an experiment that is there."""

import argparse
import dataclasses
import json
import shutil

import pytest
import yaml

from cli import experiment
from nightshift import files
from nightshift.errors import ConfigurationError
from nightshift.experiment import results, running
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


def asked(*words):
    parser = argparse.ArgumentParser()
    experiment.arguments(parser)
    return parser.parse_args(words)


def config(*words):
    return experiment.config_of(asked("run", "rates", *words))


def test_options_make_an_experiment():
    made = config(
        *("--vary", "learning_rate=[0.001, 0.01]", "--grid", "family=[lr, fm]"),
        *("--base", "epochs=2", "--leave-out", "user,item", "--leave-out", "price"),
        *("--seeds", "1,2", "--nights", "3", "--measure", "logloss"),
    )
    assert made.vary == {"learning_rate": (0.001, 0.01)}
    assert made.grid == {"family": ("lr", "fm")}
    assert made.base == {"epochs": 2}
    assert made.leave_out == (("user", "item"), ("price",))
    assert (made.seeds, made.dates, made.measure) == ((1, 2), 3, "logloss")


def test_nights_are_a_number_or_dates():
    assert config("--nights", "2026-11-01,2026-11-03").dates == ("2026-11-01", "2026-11-03")


def test_an_option_changes_one_key_of_a_file(tmp_path):
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump({"base": {"epochs": 2, "dropout": 0.1}, "seeds": [1, 2, 3]}))
    made = config("--file", str(path), "--base", "epochs=9")
    assert made.base == {"epochs": 9, "dropout": 0.1}
    assert made.seeds == (1, 2, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--vary", "learning_rate=0.1"], "--vary learning_rate: give a list, such as"),
        (["--grid", "learning_rate"], "--grid learning_rate: write it as KEY=VALUE"),
        (["--base", "=3"], "--base =3: write it as KEY=VALUE"),
        (["--base", "epochs=[1"], r"--base epochs=\[1: the value is not YAML"),
        (["--seeds", "1,two"], "--seeds: 'two' is not a whole number"),
        (["--nights", "yesterday"], "YYYY-MM-DD"),
        (["--file", "/no/such.yaml"], "/no/such.yaml"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(words, told):
    with pytest.raises(ConfigurationError, match=told):
        config(*words)


def row(id_, name, auc, difference=None, **values):
    """A configuration's row as a report keeps it."""

    def spread(mean, low, high):
        return dataclasses.asdict(results.Spread(mean, low, high, 3))

    made = dataclasses.asdict(
        results.Row(
            id=id_, name=name, factor="", trainings=3, failed=(), valid=auc, auc=None, logloss=None,
            difference=None, seed_deviation=None, train_loss=0.1, best_epoch=2.0, seconds=1.0,
            versus_baseline=None, verdicts={}, by_date={},
        )
    )  # fmt: skip
    made |= {"values": values, "left_out": [], "auc": spread(auc, auc - 0.1, auc + 0.1)}
    return made | {"difference": difference and spread(*difference)}


@pytest.fixture
def pipeline(tmp_path, monkeypatch, project):
    """A pipeline with a kept experiment; its better configuration trains longer."""
    folder = tmp_path / "pipelines" / "shop"
    shutil.copytree(project / "pipelines" / "movielens", folder)
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("NIGHTSHIFT_PIPELINE", "shop")
    made = Pipeline.load(Settings.from_env(), "shop")
    kept = running.folder_of(made, "rates")
    files.write_json(
        kept / running.EXPERIMENT, {"measure": "auc", "config": {"base": {"epochs": 2}}}
    )
    rows = [
        row("aaa", "as it is", 0.7),
        row("bbb", "epochs=9", 0.75, (0.05, -0.01, 0.11), epochs=9),
    ]
    files.write_json(kept / running.SUMMARY, {"rows": rows, "best": "bbb", "measure": "auc"})
    files.write_json(running.folder_of(made, "begun") / running.EXPERIMENT, {})
    return made


def test_what_is_kept_is_listed_and_shown(pipeline, capsys):
    assert experiment.run(asked("list")) == 0
    begun, rates = capsys.readouterr().out.splitlines()[-2:]
    assert begun.split() == ["begun", "-", "-", "no", "result", "yet"]
    assert rates.split() == ["rates", "2", "0.7500", "epochs=9"]
    assert experiment.run(asked("show", "rates")) == 0
    said = capsys.readouterr().out
    assert "* epochs=9" in said and "  as it is" in said
    assert "* best by the validation auc; differences are to the first row. Base: epochs=2." in said
    assert experiment.run(asked("show", "rates", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["best"] == "bbb"


def test_a_name_that_is_over_long_is_cut_in_tables_and_whole_as_json(pipeline, capsys):
    name = "without " + ", ".join(f"user_feature_{n}" for n in range(40))
    kept = running.folder_of(pipeline, "rates")
    content = {"rows": [row("aaa", name, 0.7)], "best": "aaa", "measure": "auc"}
    files.write_json(kept / running.SUMMARY, content)
    for part in (("list",), ("show", "rates")):
        assert experiment.run(asked(*part)) == 0
        said = capsys.readouterr().out
        assert "without user_feature_0, " in said and "…" in said
        assert max(map(len, said.splitlines())) < 250
    assert experiment.run(asked("show", "rates", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["name"] == name


def test_the_best_one_is_written_into_the_file_with_a_word_about_chance(pipeline, capsys):
    assert experiment.run(asked("apply", "rates")) == 0
    said = capsys.readouterr().out
    assert "+0.0500, may be chance: 95 % interval -0.0100 to +0.1100" in said
    assert "epochs=9: the next night of shop trains it" in said
    assert yaml.safe_load(pipeline.hyperparameters.read_text())["epochs"] == 9
    assert experiment.run(asked("apply", "rates", "epochs=9")) == 0
    assert "The files say so already." in capsys.readouterr().out


def test_a_configuration_that_is_not_there_comes_with_those_that_are(pipeline):
    before = pipeline.hyperparameters.read_text()
    with pytest.raises(ConfigurationError, match=r"no configuration 'ccc'; it has aaa, bbb"):
        experiment.run(asked("apply", "rates", "ccc"))
    assert pipeline.hyperparameters.read_text() == before


@pytest.mark.parametrize("part", ["show", "apply"])
def test_an_experiment_that_is_not_there(pipeline, part):
    with pytest.raises(ConfigurationError, match="did you mean 'rates'"):
        experiment.run(asked(part, "ratse"))


def test_a_pipeline_without_experiments_says_how_to_make_one(pipeline, capsys):
    shutil.rmtree(running.root_of(pipeline))
    assert experiment.run(asked("list")) == 0
    assert "shop has no experiment; ./nightshift experiment run NAME" in capsys.readouterr().out
