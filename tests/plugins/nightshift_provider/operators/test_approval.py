"""A person's answer, which later tasks know whatever it was."""

from __future__ import annotations

import datetime as dt

import pytest
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk import DAG
from nightshift_provider.operators.approval import ANSWER, NightshiftApprovalOperator


class Instance:
    """A task instance that keeps what is pushed."""

    def __init__(self):
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


@pytest.fixture
def answered(airflow_home):
    """The instance after an answer; nothing comes after the task."""

    def of(**event):
        with DAG("asks", schedule=None):
            task = NightshiftApprovalOperator(task_id="ask", subject="Promote it?")
        ti = Instance()
        given = {
            "params_input": {},
            "responded_at": dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc),
            "responded_by_user": {"id": "7", "name": "ann"},
            **event,
        }
        try:
            task.execute_complete({"ti": ti, "task": task}, given)
        finally:
            of.pushed = ti.pushed
        return ti.pushed

    return of


def test_yes_and_no_are_known_with_who_said_it(answered):
    assert answered(chosen_options=["Approve"]) == {ANSWER: {"approved": True, "by": "ann"}}
    assert answered(chosen_options=["Reject"]) == {ANSWER: {"approved": False, "by": "ann"}}
    user = {"id": "7", "name": None}
    assert answered(chosen_options=["Reject"], responded_by_user=user)[ANSWER]["by"] == "7"


def test_a_default_that_was_taken_when_time_ran_out_is_nobodys(answered):
    made = answered(chosen_options=["Reject"], responded_by_user=None)
    assert made[ANSWER] == {"approved": False, "by": None}


def test_time_that_ran_out_without_a_default_is_no_answer(answered):
    with pytest.raises(HITLTimeoutError):
        answered(error="too late", error_type="timeout")
    assert answered.pushed == {}
