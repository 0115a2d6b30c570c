"""A DEPLOY that happens once, whatever became of its answers."""

from types import SimpleNamespace

import pytest

from nightshift.errors import OpenMLDBError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb import deployments
from nightshift.openmldb.jobs import JobState


class Cluster:
    """What the calls need of a client; `answers` are those of DEPLOY, in turn."""

    timeout_s = 5.0

    def __init__(self, *answers, late=False):
        self.answers = list(answers)
        self.there = []
        self.late = late
        self.busy = 0
        self.sent = []
        self.looks = 0
        self.refreshed = 0

    def execute(self, database, sql, mode, timeout_s=None):
        self.sent.append(sql)
        answer = self.answers.pop(0) if self.answers else None
        if answer is None or self.late:
            self.there.append("d")
        if answer is not None:
            raise answer

    def deployments(self, database):
        self.looks += 1
        return list(self.there)

    def operations(self):
        self.busy = max(0, self.busy - 1)
        state = JobState.RUNNING if self.busy else JobState.FINISHED
        return [SimpleNamespace(db="db", state=state, job_type="AddIndex", job_id=1, name="t")]

    def refresh(self):
        self.refreshed += 1


def deploy(cluster, wait_s=1e9):
    return deployments.deploy(
        cluster, "db", "d", "DEPLOY d ...", wait_s=wait_s, sleep=lambda seconds: None
    )


def test_a_deployment_that_is_there_is_not_made_again():
    cluster = Cluster()
    cluster.there = ["d"]
    assert deployments.ensure_deployment(cluster, "db", "d", "SELECT 1") is False
    assert cluster.sent == []
    assert cluster.refreshed == 1


def test_one_that_is_not_is_made_and_keeps_what_it_reads():
    cluster = Cluster()
    assert deployments.ensure_deployment(cluster, "db", "d", "SELECT a\nFROM t;") is True
    (sql,) = cluster.sent
    assert sql.startswith("DEPLOY d OPTIONS (RANGE_BIAS='inf', ROWS_BIAS='inf'")
    serving = Cluster()
    deployments.ensure_deployment(serving, "db", "d", "SELECT a FROM t", serving=True)
    assert "ROWS_BIAS" not in serving.sent[0]
    assert "SKIP_INDEX_CHECK='true'" in serving.sent[0]


def test_index_jobs_on_the_tables_are_waited_for():
    cluster = Cluster()
    cluster.busy = 5
    assert deploy(cluster) is True
    assert cluster.busy == 0


def test_index_jobs_that_do_not_end_are_named():
    cluster = Cluster()
    cluster.busy = 10**6
    with pytest.raises(ServiceUnavailable, match="operation 1 on t"):
        deploy(cluster, wait_s=0.0)
    assert cluster.sent == []


def test_somebody_else_was_faster():
    assert deploy(Cluster(OpenMLDBError("deployment d already exists", 2000))) is False


def test_a_query_that_does_not_compile_is_not_tried_again():
    cluster = Cluster(OpenMLDBError("no table t", 1000))
    with pytest.raises(OpenMLDBError, match="no table"):
        deploy(cluster)
    assert len(cluster.sent) == 1


def test_a_deploy_that_goes_on_after_its_timeout_is_found_and_not_sent_again():
    cluster = Cluster(StatementTimeout("Reached timeout"), late=True)
    assert deploy(cluster) is True
    assert len(cluster.sent) == 1
    assert cluster.refreshed == 1


def test_a_deploy_of_which_nothing_comes_is_an_error():
    with pytest.raises(StatementTimeout):
        deploy(Cluster(StatementTimeout("Reached timeout")))


def test_a_busy_name_server_is_asked_again_unless_it_has_done_it():
    busy = ServiceUnavailable("there is already a task running")
    again = Cluster(busy)
    assert deploy(again) is True
    assert len(again.sent) == 2
    done = Cluster(busy, late=True)
    assert deploy(done) is True
    assert len(done.sent) == 1


def test_a_server_that_is_away_is_left_to_the_callers_retry():
    cluster = Cluster(ServiceUnavailable("connection refused"))
    with pytest.raises(ServiceUnavailable):
        deploy(cluster)
    assert len(cluster.sent) == 1


class House:
    """Databases with tables and deployments."""

    def __init__(self, fail=None):
        self.names, self.fail, self.sent = ["db"], fail, []

    def databases(self):
        return self.names

    def deployments(self, name):
        return ["d1", "d2"]

    def tables(self, name):
        return ["t", "a b"]

    def execute(self, database, sql, mode):
        self.sent.append(sql)
        if self.fail:
            raise self.fail


def test_a_database_goes_with_what_is_in_it_deployments_first():
    house = House()
    assert deployments.drop_database(house, "db") is True
    assert [one.split()[1] for one in house.sent] == [
        *["DEPLOYMENT"] * 2,
        *["TABLE"] * 2,
        "DATABASE",
    ]
    assert "`a b`" in house.sent[3]
    assert deployments.drop_database(house, "other") is False


@pytest.mark.parametrize("text", ["Deployment d1 not found", "d1 does not exist"])
def test_a_deployment_that_went_meanwhile_is_gone(text):
    assert deployments.drop_deployment(House(OpenMLDBError(text)), "db", "d1") is False
    assert deployments.drop_deployment(House(), "db", "d9") is False
    with pytest.raises(OpenMLDBError):
        deployments.drop_deployment(House(OpenMLDBError("no leader")), "db", "d1")
