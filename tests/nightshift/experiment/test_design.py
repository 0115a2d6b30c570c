"""Configurations: each once, the pipeline's own first."""

from nightshift.config.reading import read
from nightshift.experiment.config import ExperimentConfig
from nightshift.experiment.design import (
    BASE,
    UNCHANGED,
    Configuration,
    cells,
    configurations,
)


def names(**content):
    return [one.name for one in configurations(ExperimentConfig(**content))]


def test_nothing_to_try_is_the_pipeline_as_it_is():
    assert names() == [UNCHANGED]


def test_vary_changes_one_thing_at_a_time():
    found = names(base={"epochs": 1}, vary={"epochs": (1, 4), "hidden": ((8, 4),)})
    assert found == [BASE, "epochs=4", "hidden=[8, 4]"]


def test_a_grid_is_every_combination():
    found = names(grid={"family": ("fm", "lr"), "epochs": (1, 2)})
    assert found == [
        UNCHANGED,
        *("family=fm; epochs=1", "family=fm; epochs=2"),
        *("family=lr; epochs=1", "family=lr; epochs=2"),
    ]


def test_features_are_left_out_in_sets():
    found = names(leave_out=(("user", "age"), ("item",)))
    assert found == [UNCHANGED, "without user, age", "without item"]


def test_a_name_says_what_the_base_does_not():
    found = names(base={"epochs": 4, "family": "fm"}, grid={"epochs": (4, 1), "patience": (1,)})
    assert found == [BASE, "patience=1", "epochs=1; patience=1"]
    assert names(base={"epochs": 4}, leave_out=(("user",),)) == [BASE, "without user"]


def test_overrides_are_read_back_as_they_were():
    one = Configuration({"learning_rate": 1e-05, "hidden": (400, 400), "family": "lr"})
    assert one.overrides() == ["learning_rate=1.0e-05", "hidden=[400, 400]", "family=lr"]


def test_a_configuration_is_trained_once_a_date_and_seed():
    found = cells(Configuration({}), ["2026-11-01", "2026-11-02"], [1, 2])
    days = ("2026-11-01", "2026-11-02")
    assert [(c.ds, c.seed) for c in found] == [(ds, seed) for ds in days for seed in (1, 2)]


def test_the_tutorials_comparisons_are_the_ones_of_the_example(project):
    config = read(ExperimentConfig, project / "examples" / "experiments" / "criteo.yaml")
    found = configurations(config)
    # 5 comparisons of 3 and one of 11, the base being one of each.
    assert len(found) == 1 + 5 * 2 + 10
    assert [one.values["epochs"] for one in found if one.factor == "epochs"] == [4, 10]
    assert {one.values["optimizer"] for one in found} == {"adam", "sgd", "adagrad"}
