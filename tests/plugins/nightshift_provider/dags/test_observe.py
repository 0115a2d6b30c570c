"""The DAG of the skew ledger."""


def test_it_leaves_the_store_to_one_at_a_time(parsed):
    found = parsed["observe_jd"]
    assert {name: task["pool"] for name, task in found["tasks"].items()} == {
        "observe": "nightshift_online"
    }
    assert list(found["params"]) == ["from", "to", "sample"]
    assert found["params"]["sample"]["value"] == 20_000
    assert "./nightshift observe --pipeline jd" in found["doc"]


def test_it_runs_by_the_schedule_of_the_nights_where_there_is_a_log(parsed, unscheduled):
    assert parsed["observe_jd"]["timetable"] == "CronPartitionTimetable"
    assert parsed["observe_movielens"]["timetable"] == parsed["retrain_movielens"]["timetable"]
    assert parsed["unlogged"]["timetable"] == "NullTimetable"
    assert unscheduled["observe_jd"]["timetable"] == "NullTimetable"
    assert not parsed["observe_jd"]["catchup"]
