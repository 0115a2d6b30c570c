"""SIGKILL at random moments of live traffic: nothing is lost, and nothing is there twice.

`bench/live_kill.py` does the same more often.
"""

import secrets

import pytest

from nightshift.openmldb import OpenMLDBClient
from testing.live_kills import KINDS, Yard


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments_nothing_is_lost_or_doubled(openmldb_server, serving_home, kind):
    folder = serving_home.home / "data" / f"yard_{secrets.token_hex(8)}"
    with OpenMLDBClient.of(serving_home) as client:
        made = Yard.make(serving_home, folder, client).kill(
            kind, 2, client, seed=secrets.randbits(16)
        )
    assert made.well, made
    assert made.rows > 0
    assert made.kills + made.finished == 2
