"""Jobs are started once, whatever becomes of the answer."""

from __future__ import annotations

import time

import pytest

from nightshift.errors import JobFailed, ServiceUnavailable, StatementTimeout
from nightshift.openmldb import Job
from nightshift.openmldb.following import failures, finish, follow, submit_once

LOAD = "LOAD DATA INFILE '/x' INTO TABLE t"


def job(number: int, state: str = "Submitted", sql: str = LOAD, end: int | None = None) -> Job:
    row = [number, "ImportOnlineData", state, 1, end, sql, "", "", "", None, None, None, None, ""]
    return Job.from_row(row)


class Server:
    """Answers a submission with an error; a job may be there all the same."""

    def __init__(self, error: Exception, after: dict[int, list[Job]]) -> None:
        self.error, self.after, self.readings, self.submissions = error, after, 0, 0

    def jobs(self) -> list[Job]:
        self.readings += 1
        found = [jobs for reading, jobs in self.after.items() if reading < self.readings]
        return found[-1] if found else [job(3, "FINISHED", end=2)]

    def submit(self, db: str, sql: str, mode: str) -> Job:
        self.submissions += 1
        raise self.error


@pytest.mark.parametrize("error", [StatementTimeout("Reached timeout"), ServiceUnavailable("cut")])
@pytest.mark.parametrize("reading", [1, 3])
def test_a_load_whose_answer_was_lost_is_found_and_not_sent_again(error, reading):
    server = Server(error, {reading: [job(3, "FINISHED", end=2), job(4)]})
    assert submit_once(server, "db", LOAD, "online", sleep=lambda s: None).job_id == 4
    assert server.submissions == 1


def test_another_statement_or_an_older_job_is_not_taken_for_it():
    others = [job(3, "FINISHED", end=2), job(4, sql=LOAD.replace("/x", "/y"))]
    server = Server(ServiceUnavailable("cut"), {1: others})
    with pytest.raises(ServiceUnavailable, match="cut"):
        submit_once(server, "db", LOAD, "online", sleep=lambda s: None)
    assert server.submissions == 1


class Showing:
    """Shows a job's rows one after another."""

    consistent = False

    def __init__(self, *states: Job) -> None:
        self.states = list(states)
        self.stopped: list[int] = []

    def job(self, number: int) -> Job:
        if isinstance(self.states[0], Exception):
            raise self.states.pop(0)
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def job_log(self, number: int) -> str:
        return "Stdout:\nGet exception: Writing job aborted\n\n\nStderr:\n"


def test_a_job_that_turns_to_failed_late_is_an_error_with_its_reason():
    server = Showing(job(4, "RUNNING"), job(4, "FINISHED", end=2), job(4, "FAILED", end=2))
    deadline = time.time() + 60
    with pytest.raises(JobFailed, match="Writing job aborted"):
        finish(server, job(4), deadline, sleep=lambda s: None)


def test_a_stopped_job_that_goes_on_is_followed_to_its_own_end():
    server = Showing(job(4, "STOPPED"), job(4, "STOPPED"), job(4, "FINISHED", end=9))
    done = follow(server, [job(4)], time.time() + 60, settle_s=0, sleep=lambda s: None)
    assert [d.state.value for d in done] == ["FINISHED"]
    assert failures(server, done) == []


def test_an_outage_while_a_job_runs_is_borne():
    server = Showing(
        ServiceUnavailable("away"), StatementTimeout("slow"), job(4, "FINISHED", end=2)
    )
    done = follow(server, [job(4)], time.time() + 60, settle_s=0, sleep=lambda s: None)
    assert done[0].state.value == "FINISHED"
