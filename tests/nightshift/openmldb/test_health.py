"""A count decides only where the table is healthy and two readings agree."""

import httpx
import pytest

from nightshift.errors import ContractError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.health import Patience, delete, settled, unhealthy

QUICK = Patience(healthy_s=0.2, between_s=7.0, poll_s=0.01)


class Table:
    """A server that shows one table's status; its readings are given."""

    def __init__(self, *counts, status=(("0", "NULL"),), consistent=False):
        self.counts, self.status, self.slept = list(counts), list(status), []
        headers = {"x-openmldb-consistency": "strong"} if consistent else {}

        def answer(request):
            if request.url.path == "/health":
                return httpx.Response(200, text="OK", headers=headers)
            unalive, warnings = self.status.pop(0) if len(self.status) > 1 else self.status[0]
            row = [1, "visit", "shop", "memory", "10", "1k", "0", "8", unalive, "1", warnings]
            body = {"code": 0, "data": {"schema": ["String"] * len(row), "data": [row]}}
            return httpx.Response(200, json=body)

        self.client = OpenMLDBClient("http://openmldb", transport=httpx.MockTransport(answer))

    def read(self):
        return self.counts.pop(0)

    def settled(self, table="visit"):
        return settled(self.client, "shop", table, self.read, QUICK, self.slept.append)


def test_two_equal_readings_are_believed():
    table = Table(5, 5)
    assert table.settled() == 5
    assert table.slept == [QUICK.between_s]


def test_a_partial_count_is_read_again_until_it_stays():
    assert Table(3, 4, 4, 9, 9, 9).settled() == 9


def test_of_a_consistent_server_one_reading_is_enough():
    table = Table(5, 6, consistent=True)
    assert table.settled() == 5
    assert (table.counts, table.slept) == ([6], [])


def test_partitions_that_are_away_are_waited_for():
    table = Table(9, 9, status=[("3", "NULL"), ("0", "leader mismatch"), ("0", "NULL")])
    assert unhealthy(table.client, "shop", "visit") == "3 of its partitions are not alive"
    assert table.settled() == 9


def test_a_table_that_stays_unhealthy_is_given_up_with_the_reason():
    with pytest.raises(ServiceUnavailable, match="did not come to rest .*: 2 of its partitions"):
        Table(status=[("2", "NULL")]).settled()


def test_a_table_that_is_not_there_is_no_matter_of_patience():
    with pytest.raises(ContractError, match="no table click in database shop"):
        Table(1, 1).settled("click")


class Slow:
    """A server whose DELETE reaches its timeout."""

    def execute(self, *arguments, **options):
        raise StatementTimeout("Reached timeout")


def test_a_delete_that_reached_its_timeout_is_waited_for():
    left, slept = [2, 1, 0], []
    delete(Slow(), "shop", "DELETE FROM visit", lambda: left.pop(0), slept.append)
    assert left == []
    assert len(slept) == 3


def test_a_delete_that_goes_on_for_too_long_is_an_error():
    slept = []
    with pytest.raises(StatementTimeout):
        delete(Slow(), "shop", "DELETE FROM visit", lambda: 1, slept.append)
    assert sum(slept) == pytest.approx(31.5)
