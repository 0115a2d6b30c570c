"""The nightly DAG as Airflow's own parser reads it."""

import json

import pytest

from tests.plugins.nightshift_provider.dags.conftest import ROOT, run


@pytest.fixture
def night(parsed):
    return parsed["retrain_jd"]


IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import jd
assert {"retrain_jd", "rollback_jd"} <= set(vars(jd))
print(sorted({"numpy", "pandas", "pyarrow", "tritonclient", "oneflow", "docker"} & set(sys.modules)))
"""


def test_it_parses_nightly_by_partition_one_run_at_a_time(night):
    assert night["timetable"] == "CronPartitionTimetable"
    assert (night["catchup"], night["max_active_runs"]) == (False, 1)


def test_the_schedule_can_be_turned_off(unscheduled):
    assert unscheduled["retrain_jd"]["timetable"] == "NullTimetable"


def test_nothing_goes_live_before_every_gate(night):
    gates = {"data", "quality", "rehearsal", "consistency", "accept"}
    assert gates <= set(night["tasks"]["switch"]["upstream"])


def test_the_night_is_ended_after_everything_whatever_became_of_it(night):
    finish = night["tasks"]["finish"]
    assert finish["teardown"]
    others = set(night["tasks"]) - {"finish"}
    assert set(finish["upstream"]) == others


def test_what_must_not_overlap_waits_in_a_pool_of_one(night):
    pools = json.loads((ROOT / "include" / "pools.json").read_text())
    used = {t["pool"] for t in night["tasks"].values()} - {"default_pool"}
    assert used == set(pools)
    assert {pool["slots"] for pool in pools.values()} == {1}
    assert night["tasks"]["switch"]["pool"] == "nightshift_switch"


def test_every_param_is_explained_in_the_form_and_every_task_in_the_graph(night):
    for name, schema in night["params"].items():
        assert schema.get("title"), name
        assert schema.get("description"), name
    # The branch's two ways and the approval explain themselves by their names.
    silent = {name for name, t in night["tasks"].items() if not t["doc"]} - {"approve"}
    assert not silent


def test_no_heavy_module_is_imported_where_dags_are_read(tmp_path_factory):
    assert run(tmp_path_factory.mktemp("airflow"), IMPORT) == "[]"


def test_a_task_that_fails_is_tried_again_and_told(night):
    for name, task in night["tasks"].items():
        assert task["told"], name
        assert task["retries"] >= 1 or name == "approve", name
