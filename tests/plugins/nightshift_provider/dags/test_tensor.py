"""The tasks of a pipeline of any OneFlow module."""

import pytest


@pytest.fixture
def style(parsed):
    return parsed["retrain_style"]


def test_it_asks_no_openmldb_and_trains_by_its_family(style):
    assert not [n for n, task in style["tasks"].items() if task["kind"].startswith("OpenMLDB")]
    assert style["tasks"]["train"]["runs"] == "tensor.train"
    assert style["tasks"]["train"]["pool"] == "nightshift_train"
    assert not {"preprocess", "score", "load_online", "extract_features"} & set(style["tasks"])


def test_the_same_steps_follow_as_of_any_pipeline(style):
    upstream = {name: set(task["upstream"]) for name, task in style["tasks"].items()}
    for before, after in (
        ("begin", "train"),
        ("train", "candidate"),
        ("candidate", "rehearsal"),
        ("rehearsal", "accept"),
        ("accept", "switch"),
        ("switch", "retire"),
    ):
        assert before in upstream[after], after
    assert upstream["finish"] == set(upstream) - {"finish"}


def test_it_has_no_dag_about_features(parsed):
    own = {name for name in parsed if name.endswith("_style")}
    assert own == {"retrain_style", "rollback_style"}
