"""The local executor and the death of one of its processes."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from pathlib import Path

import pytest


@pytest.fixture
def mute_api_server(monkeypatch):
    """A server that takes connections and never answers: a task stays queued meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/execution/"
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", url)
        monkeypatch.setenv("AIRFLOW__WORKERS__EXECUTION_API_RETRIES", "1")
        yield server


@pytest.fixture
def executor(mute_api_server):
    from nightshift_provider.executors.local import NightshiftLocalExecutor

    executor = NightshiftLocalExecutor(parallelism=2)
    executor.start()
    yield executor
    for pid in executor.workers:
        os.kill(pid, signal.SIGKILL)


def workload(name: str, try_number: int = 1):
    from airflow.executors.workloads import ExecuteTask
    from airflow.executors.workloads.base import BundleInfo
    from airflow.executors.workloads.task import TaskInstanceDTO

    return ExecuteTask(
        ti=TaskInstanceDTO(
            id=uuid.uuid4(), dag_version_id=uuid.uuid4(), task_id=name, dag_id="d", run_id="r",
            try_number=try_number, map_index=-1, pool_slots=1, queue="default", priority_weight=1,
        ),
        dag_rel_path=Path("d.py"), token="", log_path="x.log",
        bundle_info=BundleInfo(name="dags-folder", version=None),
    )  # fmt: skip


def give(executor, *works) -> None:
    for work in works:
        executor.queued_tasks[work.key] = work
        executor.running.add(work.key)
    executor._process_workloads(list(works))


def holder(executor, key) -> int | None:
    executor.sync()
    return next((pid for pid, held in executor._held.items() if held == key), None)


def until(condition):
    deadline = time.monotonic() + 180
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_the_task_of_a_dead_process_is_failed_and_another_is_not(executor):
    first, second = workload("first"), workload("second")
    give(executor, first, second)
    pid = until(lambda: holder(executor, first.key))
    other = until(lambda: holder(executor, second.key))
    os.kill(pid, signal.SIGKILL)
    until(lambda: executor.sync() or executor.event_buffer)
    assert {key: state for key, (state, _) in executor.event_buffer.items()} == {
        first.key: "failed"
    }
    assert executor.running == {second.key}
    assert holder(executor, second.key) == other


def test_a_process_that_was_forgotten_already_is_seen(executor):
    work = workload("forgotten")
    give(executor, work)
    pid = until(lambda: holder(executor, work.key))
    process = executor.workers[pid]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not process.is_alive())
    executor._check_workers()  # as it does when it is given more work
    assert pid not in executor.workers
    executor.sync()
    assert executor.event_buffer[work.key][0] == "failed"


def test_a_revoked_task_is_forgotten_and_its_process_ended(executor):
    work = workload("stuck")
    give(executor, work)
    process = executor.workers[until(lambda: holder(executor, work.key))]
    executor.revoke_task(ti=work)
    until(lambda: not process.is_alive())
    executor.sync()
    assert executor.running == set()
    assert executor.event_buffer == {}
    assert executor.slots_available == 2


def test_of_two_tries_of_a_task_the_later_one_comes_last(executor):
    # As when the process of a try that was given up ends after that of the next one.
    second, first = workload("twice", 2), workload("twice", 1)
    executor.fail(second.key)
    executor.success(first.key)
    assert [key.try_number for key in executor.get_event_buffer()] == [1, 2]


def test_a_process_that_ended_its_task_holds_nothing(executor, mute_api_server):
    mute_api_server.close()  # now the API server refuses, and the task fails by itself
    work = workload("refused")
    give(executor, work)
    until(lambda: executor.sync() or executor.event_buffer)
    assert executor._held == {}
    assert executor.running == set()


@pytest.mark.parametrize("which", ["one", "all"])
def test_work_goes_on_after_idle_processes_were_killed(executor, which):
    # Whoever waits for work must not take the others' way to it along when it dies.
    idle = list(executor.workers.values())
    time.sleep(0.5)  # until they wait
    for process in idle if which == "all" else idle[:1]:
        os.kill(process.pid, signal.SIGKILL)
        until(lambda p=process: not p.is_alive())
    first, second = workload("first"), workload("second")
    give(executor, first, second)
    pids = {until(lambda w=work: holder(executor, w.key)) for work in (first, second)}
    assert len(pids) == 2
    assert executor.running == {first.key, second.key}
    assert executor.event_buffer == {}


def test_processes_that_die_one_after_another_are_replaced(executor):
    for process in executor.workers.values():
        os.kill(process.pid, signal.SIGKILL)
    for number in range(3):  # again and again, with work in between
        work = workload(f"w{number}")
        give(executor, work)
        pid = until(lambda w=work: holder(executor, w.key))
        os.kill(pid, signal.SIGKILL)
        until(lambda w=work: executor.sync() or w.key in executor.event_buffer)
