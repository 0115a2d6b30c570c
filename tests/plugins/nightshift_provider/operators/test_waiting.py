"""Where an operator waits, and for how long."""

import datetime as dt

import pytest
from nightshift_provider.operators.waiting import WaitingOperator


@pytest.mark.parametrize(
    ("execution", "own", "found"),
    [
        (None, 60.0, 60.0),
        (dt.timedelta(seconds=20), 60.0, 20.0),
        (dt.timedelta(hours=1), 60.0, 60.0),
    ],
)
def test_the_shorter_of_both_limits_holds(execution, own, found):
    operator = WaitingOperator(task_id="t", execution_timeout=execution)
    assert operator._time_limit(own) == found


def test_deferring_follows_airflows_configuration_unless_it_is_given(monkeypatch):
    for configured in ("True", "False"):
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", configured)
        assert WaitingOperator(task_id="t").deferrable is (configured == "True")
        assert WaitingOperator(task_id="t", deferrable=False).deferrable is False
