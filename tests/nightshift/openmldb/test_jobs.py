"""States of jobs, the watch over one, the errors of those that failed."""

from __future__ import annotations

import pytest

from nightshift.errors import JobFailed, JobLost
from nightshift.openmldb import Job, JobState, JobWatch, job_error, tail


def make_job(state: str, error: str = "", end: int | None = None) -> Job:
    row = [
        7,
        "ImportOfflineData",
        state,
        1,
        end,
        "LOAD DATA",
        "local",
        "",
        error,
        "jd",
        "",
        0,
        "",
        "TaskManager",
    ]
    return Job.from_row(row)


class TestJobState:
    @pytest.mark.parametrize("text", ["FINISHED", "Finished", "finished", " failed ", "Killed"])
    def test_terminal_in_any_case(self, text):
        assert JobState.parse(text).is_terminal

    @pytest.mark.parametrize("text", ["Submitted", "RUNNING", "accepted", "NEW_SAVING", "weird"])
    def test_not_terminal(self, text):
        assert not JobState.parse(text).is_terminal

    def test_names(self):
        assert JobState.parse("running") is JobState.RUNNING
        assert JobState.parse("weird") is JobState.UNKNOWN


class TestJobWatch:
    def test_finished_counts_only_at_the_second_look(self):
        watch = JobWatch(deadline=1000.0, settle_s=2.0)
        assert watch.after(make_job("FINISHED"), 10.0) == 2.0
        assert watch.after(make_job("FINISHED"), 12.0) is None

    def test_finished_then_failed_is_final_at_once(self):
        watch = JobWatch(deadline=1000.0)
        assert watch.after(make_job("FINISHED"), 10.0) is not None
        assert watch.after(make_job("FAILED"), 12.0) is None

    def test_polling_slows_down_to_its_interval(self):
        watch = JobWatch(deadline=1000.0, poll_s=5.0)
        pauses = [watch.after(make_job("RUNNING"), float(n)) for n in range(10)]
        assert pauses == sorted(pauses)
        assert pauses[0] < 1.0
        assert pauses[-1] == 5.0

    def test_an_outage_is_borne_for_a_while_and_forgotten_after_an_answer(self):
        watch = JobWatch(deadline=1e9, outage_s=60.0)
        assert watch.away(0.0) is not None
        assert watch.away(59.0) is not None
        watch.after(make_job("RUNNING"), 59.5)
        assert watch.away(61.0) is not None
        assert watch.away(121.0) is None

    def test_stopped_without_an_end_is_not_believed_for_a_while(self):
        watch = JobWatch(deadline=1e9, stopping_s=60.0)
        assert watch.after(make_job("STOPPED"), 10.0) is not None
        assert watch.after(make_job("STOPPED"), 69.0) is not None
        assert watch.after(make_job("STOPPED"), 70.0) is None
        assert JobWatch(deadline=1e9).after(make_job("STOPPED", end=2), 10.0) is None

    def test_the_deadline_is_absolute(self):
        watch = JobWatch(deadline=100.0)
        assert not watch.overdue(99.9)
        assert watch.overdue(100.0)


def test_errors_of_jobs_split_into_retryable_and_terminal():
    assert isinstance(job_error(make_job("LOST")), JobLost)
    assert isinstance(job_error(make_job("FAILED", "interrupted by a restart")), JobLost)
    failed = job_error(make_job("failed", "no such file /x"), "last line")
    assert isinstance(failed, JobFailed)
    assert "no such file /x" in str(failed)
    assert "last line" in str(failed)
    assert isinstance(job_error(make_job("KILLED")), JobFailed)


def test_a_cluster_says_atop_the_log_why_a_job_failed():
    log = "Stdout:\nGet exception: Path does not exist: file:/x\n\n\nStderr:\n" + "INFO x\n" * 5000
    found = job_error(make_job("FAILED"), log)
    assert isinstance(found, JobFailed)
    assert "job 7 (ImportOfflineData) is FAILED: Path does not exist: file:/x;" in str(found)
    log = "Stdout:\nGet exception: Not connected to 127.0.0.1:10921\n\n\nStderr:\n"
    assert isinstance(job_error(make_job("FAILED"), log), JobLost)


def test_tail_is_bounded():
    log = "\n".join(str(n) for n in range(100_000))
    assert tail(log, lines=2) == "99998\n99999"
    assert len(tail("x" * 10_000)) == 4000


@pytest.mark.parametrize(
    ("state", "task", "expected"),
    [
        ("RUNNING", "stage 3 of 5, 12 of 40 tasks", "RUNNING: stage 3 of 5, 12 of 40 tasks"),
        ("running", None, "RUNNING"),
        ("FINISHED", "stage 5 of 5", "FINISHED"),
    ],
)
def test_a_summary_says_how_far_a_running_job_is(state, task, expected):
    row = [7, "RunBatchSql", state, 1, None, "SELECT 1", "", "", "", "jd", "", 0, task, ""]
    assert Job.from_row(row).summary == expected


class TestClockSetBack:
    BACK = 7200.0

    def test_a_finished_job_is_final_after_its_second_look(self):
        watch = JobWatch(deadline=1e9, settle_s=2.0)
        watch.after(make_job("FINISHED"), 100_000.0)
        pause = watch.after(make_job("FINISHED"), 100_001.0 - self.BACK)
        assert pause is not None
        assert pause <= 2.0
        assert watch.after(make_job("FINISHED"), 100_001.0 - self.BACK + pause) is None

    def test_an_outage_and_a_stop_last_no_longer(self):
        for job, keep in ((None, 60.0), (make_job("STOPPED"), 60.0)):
            watch = JobWatch(deadline=1e9, outage_s=keep, stopping_s=keep)

            def look(now, watch=watch, job=job):
                return watch.away(now) if job is None else watch.after(job, now)

            assert look(100_000.0) is not None
            assert look(100_000.0 - self.BACK) is not None
            assert look(100_060.0 - self.BACK) is None

    def test_the_deadline_comes_with_it(self):
        watch = JobWatch(deadline=100_100.0)
        watch.after(make_job("RUNNING"), 100_000.0)
        watch.after(make_job("RUNNING"), 100_000.0 - self.BACK)
        assert not watch.overdue(100_099.0 - self.BACK)
        assert watch.overdue(100_100.0 - self.BACK)
