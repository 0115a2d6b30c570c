"""The rollback DAG as Airflow's own parser reads it."""

import json
import re

import pytest

from tests.plugins.nightshift_provider.dags.conftest import ROOT


@pytest.fixture
def rollback(parsed):
    return parsed["rollback_jd"]


def test_it_is_started_by_hand_and_documented(rollback):
    assert rollback["timetable"] == "NullTimetable"
    assert rollback["max_active_runs"] == 1
    assert "served before" in rollback["doc"]


def test_the_switch_waits_its_turn_and_the_old_pair_goes_after_it(rollback):
    restore = rollback["tasks"]["restore"]
    assert (restore["downstream"], restore["pool"]) == (["retire"], "nightshift_switch")
    assert restore["told"]
    pools = json.loads((ROOT / "include" / "pools.json").read_text())
    assert pools["nightshift_switch"]["slots"] == 1


def test_the_form_takes_a_release_or_nothing(rollback):
    schema = rollback["params"]["release_id"]
    assert schema["type"] == ["null", "string"]
    assert set(rollback["params"]) == {"release_id"}
    fits = re.compile(schema["pattern"]).search
    assert fits("2026-11-19.001")
    assert fits("")
    assert not any(map(fits, ("2026-11-19", "../2026-11-19.001", "2026-11-19.001; rm")))
