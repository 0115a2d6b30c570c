"""The DAG that bounds what grows."""


def test_it_runs_daily_without_being_unpaused(parsed, unscheduled):
    found = parsed["nightshift_upkeep"]
    assert found["schedule"] == "40 4 * * *"
    assert found["paused"] is False
    assert found["timeout_s"] == 7200
    assert unscheduled["nightshift_upkeep"]["timetable"] == "NullTimetable"


def test_one_part_that_fails_leaves_the_other_and_both_tell(parsed):
    tasks = parsed["nightshift_upkeep"]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "records": [],
        "database": [],
    }
    for task in tasks.values():
        assert task["retries"] == 2
        assert task["told"]
        assert task["well"]  # so that the incident is closed
