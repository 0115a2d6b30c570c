"""What is asked of an experiment: a file, keys that change it, and what is refused.

A whole run is in `test_running.py`, beside the trainings that it finds done.
"""

import pytest
import yaml

from nightshift.errors import ConfigurationError
from nightshift.experiment import job
from nightshift.experiment.starting import Processes
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


def test_keys_change_a_file_and_parts_of_it_stay(tmp_path):
    path = tmp_path / "rates.yaml"
    content = {"base": {"epochs": 2, "dropout": 0.1}, "vary": {"family": ["lr"]}, "dates": 3}
    path.write_text(yaml.safe_dump(content))
    found = job.configured({"base": {"epochs": 9}, "dates": 1, "leave_out": [["user"]]}, path)
    assert found.base == {"epochs": 9, "dropout": 0.1}
    assert found.vary == {"family": ("lr",)}
    assert (found.dates, found.leave_out) == (1, (("user",),))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"vary": {"learning_rate": []}}, "learning_rate has no value"),
        ({"dates": ["yesterday"]}, "YYYY-MM-DD"),
        ({"seed": [1]}, "seed"),
        ({"vary": [1]}, "vary"),
    ],
)
def test_a_wrong_key_or_value_is_named(content, told):
    with pytest.raises(ConfigurationError, match=told):
        job.configured(content)


def test_a_pipeline_without_features_has_no_experiments(tmp_path):
    style = Pipeline.load(Settings(home=tmp_path), "style")
    with pytest.raises(ConfigurationError, match="family tensor; experiments are for ctr"):
        job.run(style, job.Request("try", job.configured({})), Processes(style.settings), print)
