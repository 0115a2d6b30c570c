"""A small experiment in real trainings: run, found done, shown, its winner applied."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nightshift import files
from nightshift.errors import ConfigurationError, LockHeld
from nightshift.experiment import job, results, running
from nightshift.experiment.config import ExperimentConfig
from nightshift.experiment.running import Experiment
from nightshift.experiment.starting import Processes
from nightshift.experiment.trainings import Bench
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.workshop import SPEC, TASKS_PYTHON, feature_table, write_features

pytestmark = pytest.mark.services  # each test trains, or looks at what was trained

LAST = "2026-11-20"
SMALL = {"epochs": 4, "hidden": [4], "embedding_dim": 2, "baseline": False, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def bench(tmp_path_factory, project):
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    root = tmp_path_factory.mktemp("experiments")
    folder = root / "pipelines" / "shop"
    shutil.copytree(project / "pipelines" / "movielens", folder)
    (folder / "feature_spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    (folder / "hyperparameters.yaml").write_text(yaml.safe_dump(SMALL))
    settings = Settings(home=root / "home", pipelines=root / "pipelines", task_python=TASKS_PYTHON)
    pipeline = Pipeline.load(settings, "shop")
    features = write_features(root / "features", feature_table("2026-11-06", 15, 120))
    return Bench(pipeline, running.root_of(pipeline), features, 15, "cpu", 1, Processes(settings))


@pytest.fixture(scope="module")
def experiment(bench):
    config = ExperimentConfig(vary={"family": ("lr",)}, leave_out=(("user",),))
    made = Experiment("try", config, [LAST], bench, 2)
    heard = []
    made.run(lambda cell, result: heard.append((cell.name, result["status"])))
    return made, heard


def test_each_configuration_is_trained(experiment):
    made, heard = experiment
    assert sorted(heard) == [
        (f"as it is, {LAST}, seed 1", "ok"),
        (f"family=lr, {LAST}, seed 1", "ok"),
        (f"without user, {LAST}, seed 1", "ok"),
    ]
    rows = {row["name"]: row for row in running.summary(made.bench.pipeline, "try")["rows"]}
    assert rows["family=lr"]["auc"]["mean"] > 0.5
    # The user's taste decides, and that model does not see it.
    gap = rows["without user"]["difference"]
    assert gap["low"] < gap["mean"] < gap["high"] and gap["mean"] < 0
    assert (made.folder / running.PAGE).read_text().count("<svg") == 2


def test_nothing_is_left_but_results(experiment):
    made, _ = experiment
    for cell in made.found:
        names = {path.name for path in made.bench.folder(cell).iterdir()}
        assert names == {"result.json", "scores.npz", "train.json", "train.log"}


def test_what_is_done_is_not_done_again(experiment, monkeypatch):
    made, _ = experiment
    monkeypatch.setattr(Processes, "start", None)
    again = Experiment("again", made.config, made.dates, made.bench, 2)
    rows = again.run()
    assert [row.trainings for row in rows] == [1, 1, 1]


def test_the_job_of_command_and_dag_finds_the_trainings_and_reports(experiment, monkeypatch):
    made, _ = experiment
    monkeypatch.setattr(Processes, "start", None)
    asked = {"vary": {"family": ["lr"]}, "leave_out": [["user"]], "train_days": 15, "dates": [LAST]}
    told = []
    found = job.run(
        made.bench.pipeline,
        job.Request("by-job", job.configured(asked), features=made.bench.features),
        made.bench.starter,
        told.append,
    )
    assert found["again"] == 0 and Path(found["report"]).is_file()
    assert {row["name"] for row in found["rows"]} == {"as it is", "family=lr", "without user"}
    assert told[0].startswith("3 configuration(s), 1 night(s), 1 seed(s): 3 trainings")
    assert len(told) == 4


def test_another_file_is_another_training(experiment, bench):
    made, _ = experiment
    cell = next(iter(made.found))
    before = bench.cell_key(cell)
    path = bench.pipeline.hyperparameters
    old = path.read_text()
    path.write_text(old + "dropout: 0.1\n")
    assert bench.cell_key(cell) == before  # an experiment at work keeps what it began with
    assert replace(bench).cell_key(cell) != before
    path.write_text(old)
    assert replace(bench).cell_key(cell) == before


def test_a_search_goes_over_what_it_drew_before(experiment):
    """No training is needed: the space holds what is done already."""
    made, _ = experiment
    config = ExperimentConfig(
        search={"trials": 3, "space": {"family": {"choices": ["lr"]}}}, leave_out=(("user",),)
    )
    rows = Experiment("search", config, made.dates, made.bench, 2).run()
    assert {row.name for row in rows} == {"as it is", "without user", "family=lr"}
    best = results.best(rows)
    assert best is not None and best.name != "without user"


def test_unknown_names_are_refused_before_anything_is_trained(bench):
    config = ExperimentConfig(vary={"famly": ("lr",)}, leave_out=(("usr",),))
    with pytest.raises(ConfigurationError) as caught:
        Experiment("wrong", config, [LAST], bench, 1).run()
    assert "did you mean 'family'" in str(caught.value)
    assert "no feature usr; did you mean 'user'" in str(caught.value)


def test_a_date_without_rows_says_so(bench):
    with pytest.raises(ConfigurationError, match="2020-01-01 could not be made"):
        Experiment("early", ExperimentConfig(), ["2020-01-01"], bench, 1).run()


def test_what_training_refuses_is_a_result_and_the_rest_goes_on(bench):
    config = ExperimentConfig(vary={"family": ("din",)})
    made = Experiment("refused", config, [LAST], bench, 2)
    rows = made.run()
    assert rows[0].trainings == 1
    assert "din needs history_field" in rows[1].failed[0]
    kept = json.loads((made.bench.folder(next(reversed(made.found))) / "result.json").read_text())
    assert kept["status"] in ("failed", "ok")


def test_an_experiment_that_is_not_there_is_named(experiment):
    made, _ = experiment
    with pytest.raises(ConfigurationError, match="did you mean 'try'"):
        running.summary(made.bench.pipeline, "tri")


def test_two_commands_do_not_train_at_once(bench, monkeypatch):
    monkeypatch.setattr(running, "_LOCK_S", 0.1)
    with files.locked(bench.root / ".lock"), pytest.raises(LockHeld):
        Experiment("second", ExperimentConfig(), [LAST], bench, 1).run()
