"""Every problem of a file at once, each with file, key, value and fix."""

import pytest

from nightshift.config.gates import GatesConfig
from nightshift.config.pipeline import PipelineConfig
from nightshift.config.reading import inspect, read
from nightshift.errors import ConfigurationError


def put(folder, text):
    path = folder / "x.yaml"
    path.write_text(text)
    return path


def test_all_problems_are_named_with_key_and_fix(tmp_path):
    path = put(
        tmp_path,
        "data:\n  rows: {min: -1}\n  nuls: {}\nquality:\n  min_auc: {value: high, level: fial}\n",
    )
    found, problems = inspect(GatesConfig, path)
    assert found is None
    keys = {problem.key for problem in problems}
    assert keys == {"data.rows.min", "data.nuls", "quality.min_auc.value", "quality.min_auc.level"}
    (unknown,) = [p for p in problems if p.key == "data.nuls"]
    assert (unknown.message, unknown.fix) == ("unknown key", "did you mean 'nulls'?")
    assert all(problem.file == str(path) for problem in problems)


def test_an_empty_part_has_its_defaults(tmp_path):
    assert read(GatesConfig, put(tmp_path, "data: {}\n")) == GatesConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 2\n", "version"),
        ("version: 1\nschedule: nightly\n", "five parts"),
        ("version: 1\ntrain_days: 0\n", "train_days"),
        ("version: 1\ndatabase: a-b\n", "letters, digits and _"),
        ("version: 1\nfamily: cnn\n", "family"),
        ("version: 1\nversion: 1\n", "given twice"),
        ("- 1\n", "mapping"),
        ("a: &a [*a]\n", "alias"),
        ("a: [1\n", "not YAML"),
    ],
)
def test_a_wrong_pipeline_file_is_refused(tmp_path, text, says):
    with pytest.raises(ConfigurationError, match=says):
        read(PipelineConfig, put(tmp_path, text))


def test_a_bomb_of_aliases_is_refused_in_time(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigurationError, match="more than 100000 values"):
        read(GatesConfig, put(tmp_path, "\n".join(lines)))
