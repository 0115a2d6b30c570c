"""A DAG that was paused is paused after the last run by hand, and no run waits for ever."""

import pytest

from cli.unpausing import Unpaused


class Airflow:
    """A DAG and its unfinished runs; `then` is called once a number is asked for."""

    def __init__(self, paused=True):
        self.paused = paused
        self.runs = 0
        self.then = None
        self.known = False

    def wait_for_dag(self, dag_id):
        self.known = True
        return {"is_paused": self.paused}

    def unfinished(self, dag_id):
        assert self.known  # else Airflow answers 404 for a DAG that it has not read yet
        found, then, self.then = self.runs, self.then, None
        if then:
            then()
        return found

    def set_paused(self, dag_id, paused):
        self.paused = paused


class Run:
    """One `./nightshift run`, step by step."""

    def __init__(self, airflow, home):
        self.airflow = airflow
        self.unpaused = Unpaused(airflow, home, "retrain_jd")
        airflow.runs += 1
        self.unpaused.__enter__()
        assert not airflow.paused  # or it would wait for ever

    def end(self):
        self.airflow.runs -= 1
        self.unpaused.__exit__(None, None, None)


@pytest.mark.parametrize("first", [0, 1])
def test_two_runs_at_once_leave_the_dag_as_it_was(tmp_path, first):
    airflow = Airflow()
    runs = [Run(airflow, tmp_path), Run(airflow, tmp_path)]
    runs.pop(first).end()
    assert not airflow.paused
    runs.pop().end()
    assert airflow.paused


@pytest.mark.parametrize("paused", [True, False])
def test_one_run_after_another_leaves_it_as_it_was(tmp_path, paused):
    airflow = Airflow(paused)
    for _ in range(2):
        Run(airflow, tmp_path).end()
        assert airflow.paused is paused


def test_two_runs_of_an_unpaused_dag_leave_it_unpaused(tmp_path):
    airflow = Airflow(paused=False)
    for run in [Run(airflow, tmp_path), Run(airflow, tmp_path)]:
        run.end()
    assert not airflow.paused


def test_a_run_that_comes_while_the_last_one_pauses_does_not_wait(tmp_path):
    airflow = Airflow()
    first = Run(airflow, tmp_path)
    came = []

    def come():
        airflow.paused = False
        came.append(Run(airflow, tmp_path))

    # Just after the first has seen that nothing works any more, and before it pauses
    airflow.then = come
    first.end()
    assert not airflow.paused
    came[0].end()
    assert airflow.paused


def test_what_a_killed_command_left_does_not_pause_a_dag_that_people_unpaused(tmp_path):
    airflow = Airflow()
    Run(airflow, tmp_path)  # killed
    airflow.runs = 0
    Run(airflow, tmp_path).end()
    assert not airflow.paused
