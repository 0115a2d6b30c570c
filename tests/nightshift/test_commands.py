"""A run's own values are judged before it computes anything."""

import pytest

from nightshift.commands import Overrides, check_overrides
from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture(scope="module")
def jd():
    return Pipeline.load(Settings())


@pytest.mark.parametrize(
    ("train_days", "own", "told"),
    [
        (30, {"hyperparameters": {"learning_rat": 0.1}}, "did you mean 'learning_rate'"),
        (30, {"hyperparameters": {"epochs": 0}}, "epochs is 0"),
        (30, {"epochs": 0}, "epochs is 0"),
        (30, {"hyperparameters": {"family": "din"}}, "history_field"),
        (30, {"hyperparameters": {"user_field": "nobody"}}, "'nobody' is not a categorical field"),
        (4, {}, "at least 1 to train on"),
        (30, {"test_days": 28}, "28 to test"),
        (30, {"label_settle_days": 29}, "29 days to settle"),
    ],
)
def test_what_the_run_would_fail_by_is_refused(jd, train_days, own, told):
    with pytest.raises(ConfigurationError, match=told):
        check_overrides(jd, train_days, Overrides(**own))


def test_values_that_fit_pass(jd):
    check_overrides(jd, 30, Overrides(epochs=2, hyperparameters={"hidden": [64], "dropout": 0.1}))
