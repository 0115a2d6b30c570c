"""What decides a training, and what of it is kept; with tasks of a few lines in place of training.

Real trainings are in `test_running.py`.
"""

import dataclasses
import json
import shutil
import sys

import pytest
import yaml

from nightshift.errors import ConfigurationError
from nightshift.experiment import trainings
from nightshift.experiment.config import ExperimentConfig
from nightshift.experiment.design import cells, configurations
from nightshift.experiment.starting import Processes
from nightshift.experiment.trainings import Bench, reduced_spec
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.workshop import SPEC

TASK = """#!{python}
import json, pathlib, sys
given = dict(zip(sys.argv[3::2], sys.argv[4::2]))
result = pathlib.Path(given["--result"])
result.parent.mkdir(parents=True, exist_ok=True)
with open({log!r}, "a") as file:
    file.write(sys.argv[2] + "\\n")
if sys.argv[2] == "tasks.ctr.preprocess":
    out = pathlib.Path(given["--out"])
    out.mkdir()
    (out / "data_card.json").write_text("{{}}")
    sys.exit(0)
how = json.loads(pathlib.Path({how!r}).read_text())
if how["code"]:
    print("Traceback: out of luck")
    if how["error"]:
        result.write_text(json.dumps(how["error"]))
    sys.exit(how["code"])
model = pathlib.Path(given["--out"])
model.mkdir()
card = dict.fromkeys({card!r}, 1)
card["hyperparameters"] = pathlib.Path(given["--hyperparameters"]).read_text()
(model / "model_card.json").write_text(json.dumps(card))
(model / "metrics.jsonl").write_text('{{"epoch": 1}}\\n{{"epoch": 2}}\\n')
pathlib.Path(given["--checkpoint"]).mkdir()
"""


@pytest.fixture
def bench(tmp_path, project):
    """A bench whose tasks do as `how.json` says."""
    folder = tmp_path / "pipelines" / "shop"
    shutil.copytree(project / "pipelines" / "movielens", folder)
    (folder / "feature_spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    python = tmp_path / "python"
    python.write_text(
        TASK.format(python=sys.executable, log=str(tmp_path / "log"),
                    how=str(tmp_path / "how.json"), card=list(trainings._CARD))
    )  # fmt: skip
    python.chmod(0o755)
    settings = Settings(home=tmp_path / "home", pipelines=folder.parent, task_python=python)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "part.parquet").write_bytes(b"rows")
    (tmp_path / "how.json").write_text(json.dumps({"code": 0, "error": None}))
    pipeline = Pipeline.load(settings, "shop")
    return Bench(
        pipeline, tmp_path / "experiments", tmp_path / "features", 15, "cpu", 1, Processes(settings)
    )


def wanted(*dates, seeds=(1,), **content):
    config = ExperimentConfig(seeds=seeds, **content)
    made = [cells(one, dates or ["2026-11-20"], seeds) for one in configurations(config)]
    return [cell for some in made for cell in some]


def started(bench):
    log = bench.root.parent / "log"
    return log.read_text().split() if log.exists() else []


def test_a_dataset_is_decided_by_its_date_features_and_specification(bench):
    def key(ds="2026-11-20", left_out=(), of=bench):
        return of.dataset_key(ds, left_out)

    keys = {
        key(),
        key("2026-11-21"),
        key(left_out=("user",)),
        key(of=dataclasses.replace(bench, train_days=14)),
    }
    assert len(keys) == 4
    assert key(left_out=("user", "item")) == key(left_out=("item", "user"))
    # What it is trained on decides nothing about it.
    assert key(of=dataclasses.replace(bench, threads=8, device="cuda")) == key()
    (bench.features / "more.parquet").write_bytes(b"rows")
    assert key() not in keys


def test_a_training_is_decided_by_everything_that_changes_its_bits(bench):
    (plain,) = wanted()
    (other,) = wanted(seeds=(2,))
    changed = wanted(base={"epochs": 2})[-1]
    keys = {bench.cell_key(one) for one in (plain, other, changed)}
    keys.add(dataclasses.replace(bench, device="cuda").cell_key(plain))
    assert len(keys) == 4
    assert dataclasses.replace(bench, threads=8).cell_key(plain) in keys


def test_left_out_features_are_ignored_and_the_file_stays(bench):
    path = bench.pipeline.features.spec_file
    before = path.read_text()
    names = [*SPEC["categorical"], *(SPEC.get("numeric") or {})]
    content = reduced_spec(path, [names[0]])
    assert names[0] not in content["categorical"]
    assert names[0] in content["ignored"]
    assert path.read_text() == before


def test_a_feature_that_there_is_not_comes_with_the_nearest_one(bench):
    path = bench.pipeline.features.spec_file
    name = next(iter(SPEC["categorical"]))
    with pytest.raises(ConfigurationError, match=f"has no feature {name}x.*did you mean '{name}'"):
        reduced_spec(path, [f"{name}x"])
    with pytest.raises(ConfigurationError, match="without"):
        reduced_spec(path, [*SPEC["categorical"], *(SPEC.get("numeric") or {})])


def test_a_training_that_ended_is_kept_and_what_it_left_is_not(bench):
    heard = []
    (cell,) = wanted()
    found = trainings.run(bench, [cell], 1, lambda cell, result: heard.append(result["status"]))
    (result,) = found.values()
    assert (result["status"], result["seed"], result["ds"]) == ("ok", 1, "2026-11-20")
    assert result["history"] == [{"epoch": 1}, {"epoch": 2}]
    assert {path.name for path in bench.folder(cell).iterdir()} == {"result.json", "train.log"}
    assert trainings.run(bench, [cell], 1, lambda *_: heard.append("again")) == found
    assert heard == ["ok", "again"]
    assert started(bench) == ["tasks.ctr.preprocess", "tasks.ctr.train"]


def test_trainings_of_one_date_share_their_dataset(bench):
    many = wanted(seeds=(1, 2, 3))
    assert len(trainings.run(bench, many, 2)) == 3
    assert started(bench).count("tasks.ctr.preprocess") == 1
    assert started(bench).count("tasks.ctr.train") == 3


def test_a_file_that_is_changed_meanwhile_changes_no_training_of_the_experiment(bench):
    parameters, spec = bench.pipeline.hyperparameters, bench.pipeline.features.spec_file
    before = parameters.read_text()

    def change(cell, result):
        parameters.write_text("epochs: 99\n")
        spec.write_text("version: 1\n")

    many = [*wanted("2026-11-19"), *wanted("2026-11-20")]
    found = trainings.run(bench, many, 1, change)
    assert [result["status"] for result in found.values()] == ["ok", "ok"]
    assert {result["hyperparameters"] for result in found.values()} == {before}
    assert set(found) == {bench.cell_key(cell) for cell in many}
    # The next experiment trains anew.
    assert dataclasses.replace(bench).kept(many[0]) is None


def fail(bench, code, **error):
    value = {"code": code, "error": {"status": "error", **error} if error else None}
    (bench.root.parent / "how.json").write_text(json.dumps(value))


def test_a_refusal_is_a_result_and_is_not_tried_again(bench):
    fail(bench, 64, kind="ConfigurationError", retryable=False, error="it diverged")
    (result,) = trainings.run(bench, wanted(), 1).values()
    assert (result["status"], result["error"]) == ("failed", "it diverged")
    fail(bench, 0)
    assert next(iter(trainings.run(bench, wanted(), 1).values()))["status"] == "failed"
    assert started(bench).count("tasks.ctr.train") == 1


@pytest.mark.parametrize(
    "error",
    [
        {"kind": "ServiceUnavailable", "retryable": True, "error": "busy"},
        # A defect of ours may be gone tomorrow.
        {"kind": "IndexError", "retryable": False, "error": "busy"},
        {},
    ],
)
def test_what_may_pass_is_tried_again(bench, error):
    fail(bench, 75, **error)
    (result,) = trainings.run(bench, wanted(), 1).values()
    assert result["status"] == "retry"
    assert ("busy" if error else "Traceback: out of luck") in result["error"]
    fail(bench, 0)
    assert next(iter(trainings.run(bench, wanted(), 1).values()))["status"] == "ok"


def test_a_damaged_result_is_no_result(bench):
    (cell,) = wanted()
    trainings.run(bench, [cell], 1)
    for content in ("{", "[]"):
        (bench.folder(cell) / trainings.RESULT).write_text(content)
        assert bench.kept(cell) is None
