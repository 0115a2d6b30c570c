"""A run followed from a terminal, on a server that answers as Airflow does."""

import pytest

from cli import night
from nightshift.errors import ConfigurationError, DeadlineExceeded, ServiceUnavailable
from nightshift.settings import Settings

RUN = "GET /api/v2/dags/retrain_jd/dagRuns/r"
TASKS = f"{RUN}/taskInstances?limit=1000"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(night, "_POLL_S", 0)


def states(*names):
    return [(200, {"state": name}) for name in names]


def task(name, state, attempt=1, index=-1, duration=None):
    return {"task_id": name, "state": state, "try_number": attempt, "map_index": index,
            "duration": duration}  # fmt: skip


def rounds(*each):
    return [(200, {"task_instances": list(tasks)}) for tasks in each]


def followed(api):
    said = []
    outcome = night.follow(api, "retrain_jd", "r", said=said.append)
    return outcome, [line.split("s  ", 1)[-1].strip() for line in said]


def test_each_dag_of_a_pipeline_has_its_id():
    made = [make("ads") for make in (night.retrain, night.rollback, night.observe, night.monitor)]
    assert made == ["retrain_ads", "rollback_ads", "observe_ads", "monitor_ads"]


def test_each_change_of_a_task_is_told_once(airflow, api):
    airflow.answers[RUN] = states("running", "running", "running", "running", "success")
    airflow.answers[TASKS] = rounds(
        [task("plan", None, 0)],
        [task("plan", "running"), task("load", "queued", 0, 0)],
        [task("plan", "success", duration=3.0), task("load", "deferred", 1, 0)],
        [task("plan", "success", duration=3.0), task("load", "running", 1, 0)],
        [task("plan", "success", duration=3.0), task("load", "success", 1, 0, 8.0)],
    )
    outcome, lines = followed(api)
    assert lines == [
        "plan: running",
        "plan: success (3.0 s)",
        "load[0]: deferred",
        "load[0]: success (8.0 s)",
    ]
    assert (outcome.run_id, outcome.state) == ("r", "success")
    assert outcome.task_seconds == pytest.approx({"plan": 3.0, "load[0]": 8.0})


def test_a_retry_says_which_attempt_it_is_and_what_was_left_out_took_no_time(airflow, api):
    airflow.answers[RUN] = states("running", "running", "failed")
    airflow.answers[TASKS] = rounds(
        [task("train", "up_for_retry", duration=2.0)],
        [task("train", "running", 2)],
        [task("train", "failed", 2, duration=2.0), task("switch", "upstream_failed", 0)],
    )
    outcome, lines = followed(api)
    assert outcome.state == "failed"
    assert lines == [
        "train: up for retry",
        "train: running, attempt 2",
        "train: failed (2.0 s)",
        "switch: upstream failed",
    ]


def test_airflow_may_be_away_for_a_while_and_not_for_ever(airflow, api, monkeypatch):
    airflow.answers[RUN] = [(503, {"detail": "restarting"}), *states("success")]
    airflow.answers[TASKS] = rounds([])
    assert night.follow(api, "retrain_jd", "r").state == "success"
    monkeypatch.setattr(night, "_PATIENCE_S", 0.01)
    airflow.answers[RUN] = (503, {"detail": "the database is away"})
    with pytest.raises(ServiceUnavailable, match="the database is away"):
        night.follow(api, "retrain_jd", "r")


def test_a_run_is_not_followed_longer_than_asked(airflow, api):
    airflow.answers[RUN] = states("running")
    airflow.answers[TASKS] = rounds([])
    with pytest.raises(DeadlineExceeded, match="r still runs"):
        night.follow(api, "retrain_jd", "r", 0)


DAG = "/api/v2/dags/retrain_jd"


@pytest.fixture
def settings(airflow, tmp_path, monkeypatch):
    """Those of an Airflow with a paused DAG of two Params, every run of which is called r."""
    airflow.answers |= {
        f"GET {DAG}": (200, {"is_paused": True}),
        f"GET {DAG}/details": (200, {"params": {"ds": {}, "epochs": {}}}),
        f"GET {DAG}/dagRuns?state=queued&state=running&limit=1": (200, {"total_entries": 0}),
        f"POST {DAG}/dagRuns": (200, {"dag_run_id": "r"}),
        f"PATCH {DAG}": (200, {}),
        RUN: (200, {"state": "failed"}),
        f"PATCH {DAG}/dagRuns/r": (200, {}),
        TASKS: (200, {"task_instances": [task("train", "failed", duration=1.0)]}),
        f"{RUN}/taskInstances/train/logs/1?full_content=true&map_index=-1": (
            200,
            {"content": [{"level": "error", "event": "no partition of clicks"}]},
        ),
    }
    monkeypatch.setenv("NIGHTSHIFT_AIRFLOW_PASSWORD", "secret")
    return Settings(home=tmp_path, airflow_port=airflow.server_address[1])


def test_a_param_that_there_is_not_comes_with_the_nearest_one_and_nothing_runs(settings, airflow):
    with pytest.raises(ConfigurationError, match="no Param 'epochss'.*did you mean 'epochs'"):
        night.run(settings, "retrain_jd", "hand", {"epochss": 3})
    assert f"POST {DAG}/dagRuns" not in [place for place, _ in airflow.asked]


def paused(airflow):
    """What the DAG was set to, in turn."""
    return [body["is_paused"] for place, body in airflow.asked if place == f"PATCH {DAG}"]


def test_a_failed_run_shows_why_and_the_dag_is_paused_again(settings, airflow, capsys):
    outcome = night.run(settings, "retrain_jd", "hand", {"ds": "2026-11-01"}, said=lambda _: None)
    assert outcome.state == "failed"
    said = capsys.readouterr().out
    assert "train failed (attempt 1); the end of its log:\n    error no partition of clicks" in said
    assert f"{settings.home}/airflow/logs/dag_id=retrain_jd/run_id=r" in said
    assert paused(airflow) == [False, True]
    (body,) = [body for place, body in airflow.asked if place == f"POST {DAG}/dagRuns"]
    assert body["conf"] == {"ds": "2026-11-01"}
    assert body["dag_run_id"].startswith("hand__")


def test_a_log_that_airflow_does_not_show_hides_nothing_else(settings, airflow, capsys):
    log = f"{RUN}/taskInstances/train/logs/1?full_content=true&map_index=-1"
    airflow.answers[log] = (503, {"detail": "busy"})
    night.explain(settings, "retrain_jd", "r")
    said = capsys.readouterr().out
    assert "Airflow does not show it" in said and "busy" in said and "Task logs: " in said


def test_ctrl_c_ends_the_run_and_pauses_the_dag_again(settings, airflow, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(night, "follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        night.run(settings, "retrain_jd", "hand", {})
    assert (f"PATCH {DAG}/dagRuns/r", {"state": "failed"}) in airflow.asked
    assert paused(airflow) == [False, True]
