"""The client of Airflow's API against a server that answers as Airflow does."""

import pytest

from cli.airflow_api import AirflowApi, Task
from nightshift.errors import ConfigurationError, DeadlineExceeded, ServiceUnavailable
from nightshift.settings import Settings


@pytest.mark.parametrize(
    "stale",
    [
        (401, {"detail": "Token Expired"}),
        # Signed by another secret, or from before the clock was set back.
        (403, {"detail": "Invalid JWT token"}),
    ],
)
def test_one_login_is_enough_and_a_token_that_is_over_is_made_anew(airflow, api, stale):
    airflow.stale = stale
    airflow.answers["GET /api/v2/dags/d/dagRuns/r%2F1"] = (200, {"state": "running"})
    assert api.run_state("d", "r/1") == "running"
    assert api.run_state("d", "r/1") == "running"
    assert airflow.tokens == 1
    assert airflow.asked[0][1] == {"username": "admin", "password": "secret"}
    airflow.valid = 2  # the first token is not taken any more
    assert api.run_state("d", "r/1") == "running"
    assert airflow.tokens == 2


def test_a_refused_login_says_which_user_and_where_to_look(airflow, api):
    airflow.answers["POST /auth/token"] = (401, {"detail": "Invalid credentials"})
    with pytest.raises(ConfigurationError, match=r"admin: Invalid credentials; check NIGHTSHIFT"):
        api.unfinished("d")


def test_a_server_that_fails_may_be_asked_again_and_a_refusal_not(airflow, api):
    place = "PATCH /api/v2/dags/d"
    airflow.answers[place] = (503, {"detail": "the database is away"})
    with pytest.raises(ServiceUnavailable, match="the database is away"):
        api.set_paused("d", False)
    airflow.answers[place] = (403, {"detail": "Forbidden"})
    with pytest.raises(ConfigurationError, match="403 Forbidden"):
        api.set_paused("d", False)
    airflow.answers[place] = (200, {"is_paused": False})
    api.set_paused("d", False)
    assert airflow.asked[-1] == (place, {"is_paused": False})


def test_nobody_there(tmp_path, closed_port):
    api = AirflowApi(Settings(home=tmp_path, airflow_port=closed_port), password="x")
    with pytest.raises(ServiceUnavailable, match="nightshift up"):
        api.unfinished("d")


def test_a_param_that_airflow_refuses_is_named_alone(airflow, api):
    detail = "Invalid input for param ds: 'x' is not a 'date'\n\nFailed validating 'format' in ..."
    airflow.answers["POST /api/v2/dags/d/dagRuns"] = (400, {"detail": detail})
    with pytest.raises(ConfigurationError) as raised:
        api.trigger("d", "r", {"ds": "x"})
    assert str(raised.value) == "Param ds: 'x' is not a 'date'"


def test_a_dag_that_does_not_appear_is_waited_for_no_longer_than_asked(airflow, api):
    airflow.answers["GET /api/v2/importErrors"] = (200, {"import_errors": []})
    with pytest.raises(DeadlineExceeded, match="retrain_jd"):
        api.wait_for_dag("retrain_jd", timeout_s=0)
    broken = [{"filename": "dags/jd.py", "stack_trace": "train_dais: unknown key"}]
    airflow.answers["GET /api/v2/importErrors"] = (200, {"import_errors": broken})
    with pytest.raises(ConfigurationError, match=r"(?s)dags/jd.py.*train_dais"):
        api.wait_for_dag("retrain_jd", timeout_s=0)


def test_tasks_and_what_their_logs_say(airflow, api):
    row = {"task_id": "train", "state": None, "try_number": 0, "map_index": -1, "duration": None}
    run = "/api/v2/dags/d/dagRuns/r/taskInstances"
    airflow.answers[f"GET {run}?limit=1000"] = (200, {"task_instances": [row]})
    (task,) = api.tasks("d", "r")
    assert task == Task("train", "none", 0, -1, 0)
    error = {
        "level": "error",
        "event": "failed",
        "error_detail": [{"exc_type": "E", "exc_value": "v"}],
    }
    airflow.answers[f"GET {run}/train/logs/1?full_content=true&map_index=-1"] = (
        200,
        {"content": ["of a file", error]},
    )
    assert api.log_lines("d", "r", task) == ["of a file", "error failed", "E: v"]


def test_what_airflow_notes_around_a_task_is_shown_only_where_there_is_nothing_else(airflow, api):
    around = [
        {"event": "::group::Log message source details", "sources": ["/logs/attempt=1.log"]},
        {"level": "info", "event": "::group::Pre Execute", "logger": "task"},
        {"level": "warning", "event": "old syntax", "logger": "py.warnings"},
        {"level": "info", "event": "Filling up the DagBag", "logger": "airflow.dag_processing"},
    ]
    said = [
        {"level": "info", "event": "epoch 1", "logger": "airflow.task.operators.Task"},
        {"level": "error", "event": "Task failed with exception", "logger": "task"},
    ]
    place = "GET /api/v2/dags/d/dagRuns/r/taskInstances/train/logs/1?full_content=true&map_index=-1"
    task = Task("train", "failed", 1, -1, 0)
    airflow.answers[place] = (200, {"content": [*around, *said]})
    assert api.log_lines("d", "r", task) == ["info epoch 1", "error Task failed with exception"]
    airflow.answers[place] = (200, {"content": around})
    assert len(api.log_lines("d", "r", task)) == len(around)
