"""Airflow's callbacks of upkeep reach the one hook that tells people."""

from types import SimpleNamespace

import pytest
from nightshift_provider.dags.upkeep import upkeep_dag
from nightshift_provider.notifiers import UpkeepNotifier

from nightshift.notify import incidents
from nightshift.settings import Settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    return tmp_path


def open_incidents():
    found = incidents.listed(Settings.from_env())
    return sorted(one.incident.key for one in found if one.closed_at is None)


def call(callbacks, context):
    for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
        callback(context)


def test_every_task_of_upkeep_and_its_run_tell_of_their_end(home):
    dag = upkeep_dag()
    assert {task.task_id for task in dag.tasks} == {"records", "database"}
    for task in dag.tasks:
        context = {"ti": SimpleNamespace(task_id=task.task_id), "exception": OSError("disk full")}
        call(task.on_failure_callback, context)
    assert open_incidents() == ["upkeep:database", "upkeep:records"]
    call(dag.on_failure_callback, {"ti": SimpleNamespace(task_id="x"), "reason": "task_failure"})
    assert open_incidents() == ["upkeep:database", "upkeep:records"]
    for task in dag.tasks:
        call(task.on_success_callback, {"ti": SimpleNamespace(task_id=task.task_id)})
    assert open_incidents() == []
    call(dag.on_failure_callback, {"reason": "timed_out"})
    assert open_incidents() == ["upkeep:the run"]
    call(dag.on_success_callback, {"reason": "success"})
    assert open_incidents() == []
    texts = [one.incident.text for one in incidents.listed(Settings.from_env())]
    assert sum("disk full" in text for text in texts) == 2


def test_a_home_that_cannot_be_written_to_fails_no_callback(home, monkeypatch):
    blocked = home / "file"
    blocked.write_text("")
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(blocked / "below"))
    call(UpkeepNotifier(failed=True), {"exception": OSError("disk full")})
