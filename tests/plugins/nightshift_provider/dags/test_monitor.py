"""The DAG that watches quality in service."""


def test_it_measures_often_and_never_twice_at_once(parsed, unscheduled):
    found = parsed["monitor_jd"]
    assert found["schedule"] == "*/10 * * * *"
    assert (found["max_active_runs"], found["catchup"]) == (1, False)
    assert found["timeout_s"] == 3600
    assert unscheduled["monitor_jd"]["timetable"] == "NullTimetable"


def test_it_holds_up_no_switch(parsed):
    assert parsed["monitor_jd"]["tasks"]["monitor"]["pool"] == "default_pool"
