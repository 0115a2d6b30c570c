"""The DAG that writes a pipeline's list."""


def test_a_pipeline_has_it_with_the_part_score_alone(parsed):
    assert "score_movielens" in parsed
    assert "score_jd" not in parsed
    assert list(parsed["score_movielens"]["tasks"]) == ["score"]
    assert set(parsed["score_movielens"]["params"]) == {"ds", "replace"}
    assert parsed["score_movielens"]["params"]["replace"]["value"] is False


def test_it_has_a_schedule_of_its_own(parsed, unscheduled):
    assert parsed["scheduled"]["schedule"] == "0 5 * * *"
    assert parsed["scheduled"]["max_active_runs"] == 1
    assert unscheduled["scheduled"]["timetable"] == "NullTimetable"
