"""The winner in the pipeline's files: comments stay, and the files mean what was trained."""

import errno
import shutil

import pytest
import yaml

from nightshift import files
from nightshift.check import check_pipeline
from nightshift.errors import ConfigurationError
from nightshift.experiment import applying
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture
def pipeline(project, tmp_path):
    shutil.copytree(project / "pipelines" / "movielens", tmp_path / "pipelines" / "films")
    return Pipeline.load(
        Settings(home=tmp_path / "home", pipelines=tmp_path / "pipelines"), "films"
    )


def test_values_change_in_place_and_are_added_at_the_end():
    text = "# head\nfamily: deepfm            # the network\n\nepochs: 20  # passes\n"
    made = applying.with_values(text, {"family": "fm", "hidden": [8, 4], "epochs": 3}, "h.yaml")
    assert made == (
        "# head\nfamily: fm                # the network\n\nepochs: 3   # passes\nhidden: [8, 4]\n"
    )


def test_an_empty_file_is_filled():
    assert applying.with_values("{}\n", {"epochs": 3}, "h.yaml") == "epochs: 3\n"
    assert applying.with_values("", {"epochs": 3}, "h.yaml") == "epochs: 3\n"


def test_a_value_over_several_lines_is_left_to_a_person():
    with pytest.raises(ConfigurationError, match=r"set by hand: hidden: \[8\]"):
        applying.with_values("hidden:\n  - 400\n  - 400\n", {"hidden": [8]}, "h.yaml")


def test_both_files_mean_what_was_trained(pipeline):
    spec = pipeline.features.spec_file
    before = yaml.safe_load(spec.read_text())
    diff = applying.apply(pipeline, {"family": "dcnv2"}, ["user_id", "item_year"])
    assert "+family: dcnv2" in diff and "-  user_id: string" in diff
    after = yaml.safe_load(spec.read_text())
    assert set(after["ignored"]) == {"user_id", "item_year"}
    assert "user_id" not in after["categorical"] and "item_year" not in after["numeric"]
    assert len(after["categorical"]) == len(before["categorical"]) - 1
    assert "Genres are several words" in spec.read_text()
    assert yaml.safe_load(pipeline.hyperparameters.read_text()) == {"family": "dcnv2"}
    assert applying.apply(pipeline, {"family": "dcnv2"}, []) == ""


def test_where_files_cannot_be_changed_the_change_is_shown(pipeline, monkeypatch):
    before = pipeline.hyperparameters.read_text(), pipeline.features.spec_file.read_text()
    write = files.write_text

    def refuse(path, text):
        if path == pipeline.features.spec_file:  # the second one
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        write(path, text)

    monkeypatch.setattr(files, "write_text", refuse)
    with pytest.raises(ConfigurationError, match="Read-only file system") as caught:
        applying.apply(pipeline, {"family": "dcnv2"}, ["user_id"])
    assert "+family: dcnv2" in str(caught.value) and "-  user_id: string" in str(caught.value)
    assert (pipeline.hyperparameters.read_text(), pipeline.features.spec_file.read_text()) == before


def test_a_whole_kind_may_be_left_out(pipeline):
    names = list(yaml.safe_load(pipeline.features.spec_file.read_text())["numeric"])
    applying.apply(pipeline, {}, names)
    assert "numeric" not in yaml.safe_load(pipeline.features.spec_file.read_text())


def test_nothing_is_written_where_one_file_cannot_be_changed(pipeline):
    before = pipeline.hyperparameters.read_text()
    with pytest.raises(ConfigurationError, match="no feature user_idd; did you mean 'user_id'"):
        applying.apply(pipeline, {"family": "fm"}, ["user_idd"])
    assert pipeline.hyperparameters.read_text() == before


def test_files_that_would_not_fit_each_other_are_put_back(pipeline):
    files = (pipeline.hyperparameters, pipeline.features.spec_file)
    before = [path.read_text() for path in files]

    def errors():
        found = check_pipeline(pipeline.settings, "films")
        return [str(problem) for problem in found if problem.level == "error"]

    assert errors() == []  # gates.yaml judges slices by user_id
    with pytest.raises(
        ConfigurationError, match="(?s)nothing was changed.*quality.slices: 'user_id'"
    ):
        applying.apply(pipeline, {"family": "dcnv2"}, ["user_id"], errors=errors)
    assert [path.read_text() for path in files] == before
    # What was wrong before is no reason to refuse another change.
    assert applying.apply(pipeline, {"family": "dcnv2"}, [], errors=lambda: ["old"])
