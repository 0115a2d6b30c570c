"""Somebody with ad clicks and no pipeline: from parquet files to a served prediction, at one try.

Every step is a command of `./nightshift`, as the README has them. Only `up` is not among them: the
services are those of the demo's house.
"""

from __future__ import annotations

import datetime as dt
import json

import pytest

from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live
from testing import adclicks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

NAME = "adclicks"
DS = adclicks.LAST.isoformat()


def test_another_domains_files_become_a_served_prediction_at_one_try(demo, laptop_house):
    house = laptop_house
    adclicks.write(house.folder / "export", rows_a_day=150)
    made = house.call("new", NAME, "--from", "export", "--yes")
    assert "requests: impressions" in made
    assert "label: a row of clicks is a positive, a request without one is not" in made
    assert json.loads(house.call("check", NAME, "--json")) == [
        {
            "pipeline": NAME,
            "file": str(house.settings.data / NAME),
            "key": "",
            "message": "there is no source table yet",
            "fix": f"./nightshift data load --pipeline {NAME} --from FOLDER",
            "level": "warning",
        }
    ]
    house.call("data", "load", "--pipeline", NAME, "--from", "export")
    assert json.loads(house.call("check", NAME, "--json")) == []
    ran = house.call("run", "--pipeline", NAME, "--ds", DS)
    live = read_live(Pipeline.load(house.settings, NAME).releases)
    assert (live.ds, f"{live.model} {live.model_version}" in ran) == (DS, True)

    example = house.call("predict", "--pipeline", NAME, "--example")
    (house.folder / "example.json").write_text(example)
    answer = json.loads(house.call("predict", "--pipeline", NAME, "--request", "example.json"))
    (one,) = answer["predictions"]
    assert one["request_id"] == json.loads(example)["impression_id"] >= 1 << 60
    assert answer["model_version"] == live.model_version

    # The day after: people click on every sixth ad, and the served scores have learned it.
    noon = dt.datetime.combine(adclicks.LAST + dt.timedelta(1), dt.time(4), dt.timezone.utc)
    rows = [
        {
            "impression_id": (1 << 61) + number,
            "shown_at": round(noon.timestamp() * 1000) + number,
            "user_id": (1 << 55) + number,
            "ad_id": (1 << 54) + number % 24,
            "bid": None if number % 7 == 0 else 0.5,
            "is_mobile": number % 2 == 0,
            "signed_up": None if number % 5 == 0 else "2025-02-28",
            "city": ("Zürich", "北京", "nowhere so far", None)[number // 24 % 4],
        }
        for number in range(96)
    ]
    (house.folder / "tomorrow.json").write_text(json.dumps(rows))
    answer = json.loads(house.call("predict", "--pipeline", NAME, "--request", "tomorrow.json"))
    assert [p["request_id"] for p in answer["predictions"]] == [r["impression_id"] for r in rows]
    scores = [p["score"] for p in answer["predictions"]]
    liked = [score for number, score in enumerate(scores) if number % 6 == 0]
    others = [score for number, score in enumerate(scores) if number % 6]
    assert 0 < min(scores) <= max(scores) < 1
    assert sum(liked) / len(liked) > 1.5 * sum(others) / len(others)
