"""The operator of experiments; a whole one runs in tests/e2e and tests/docker/test_production.py."""

import pytest
from nightshift_provider.operators.experiment import NightshiftExperimentOperator

from nightshift.errors import RetryableError
from nightshift.experiment.starting import Processes
from nightshift.settings import Settings


def test_a_kill_closes_what_starts_its_tasks(tmp_path):
    operator = NightshiftExperimentOperator(task_id="experiment", pipeline="jd")
    operator.on_kill()  # before it began there is nothing to end
    operator._starter = Processes(Settings(home=tmp_path))
    operator._starter.going_on()
    operator.on_kill()
    with pytest.raises(RetryableError, match="ended from outside"):
        operator._starter.going_on()
