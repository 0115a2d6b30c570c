"""The DAG of experiments."""

import re


def test_experiments_are_started_by_hand_and_hold_up_no_night(parsed):
    found = parsed["experiment_jd"]
    assert found["timetable"] == "NullTimetable"
    assert {task["pool"] for task in found["tasks"].values()} == {"default_pool"}
    assert list(found["params"]) == ["name", "experiment", "last", "jobs"]


def test_the_form_as_it_opens_has_a_name_that_is_one(parsed):
    name = parsed["experiment_jd"]["params"]["name"]
    fits = re.compile(name["pattern"]).search
    assert fits(name["value"])
    assert not any(map(fits, ("", "../x", "A", "-x", "x" * 51)))
