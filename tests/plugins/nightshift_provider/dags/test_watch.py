"""The DAG that looks whether all is well."""


def test_it_looks_every_five_minutes_without_being_unpaused(parsed, unscheduled):
    found = parsed["nightshift_watch"]
    assert found["schedule"] == "*/5 * * * *"
    assert (found["paused"], found["max_active_runs"]) == (False, 1)
    assert found["timeout_s"] == 600
    assert unscheduled["nightshift_watch"]["timetable"] == "NullTimetable"


def test_a_look_is_not_repeated_by_retries(parsed):
    """The next one comes soon; a failure of Airflow is seen by who reads the heartbeat."""
    (look,) = parsed["nightshift_watch"]["tasks"].values()
    assert look["retries"] == 0
