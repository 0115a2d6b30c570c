"""Logged requests of a range of days: which count, in what order, in which parts."""

import datetime as dt
import types

import numpy as np
import pyarrow as pa
import pytest

from nightshift import zones
from nightshift.errors import DataError
from nightshift.live.folders import live_folder
from nightshift.live.hiding import HASHED
from nightshift.live.log import RequestLog
from nightshift.live.skew import requests
from nightshift.live.skew.requests import NoRequests, Requests, logged
from nightshift.settings import Settings
from tests.nightshift.live.conftest import answer, context, write

DAY = dt.date(2026, 3, 2)
ZONE = zones.Zone.of("Asia/Shanghai")
START = ZONE.start_ms(DAY)
COLUMNS = ["id", "at", "who"]


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """As much of a pipeline as the log of its requests needs."""
    monkeypatch.setattr(requests, "request_columns", lambda pipeline: COLUMNS)
    tables = types.SimpleNamespace(request_time="at", request_table="visit")
    return types.SimpleNamespace(
        name="shop",
        settings=Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)}),
        features=types.SimpleNamespace(tables=tables),
        zone=ZONE,
    )


def log_of(pipeline, *asked, request=(("id", "string"), ("at", "timestamp"), ("who", "string"))):
    """A log of (time of the request, who, role, release)."""
    kept = {}
    frames = []
    for number, (at, who, role, release) in enumerate(asked):
        if release not in kept:
            kept[release] = len(kept) + 1
            made = {"number": kept[release], "release": release, "request": request}
            frames.append(context(**made, features=(("visits", "int64"),), key=None))
        frames.append(
            answer(
                number,
                START * 1000 + number,
                context=kept[release],
                role=role,
                rows=[[f"v{number}", at, who][: len(request)]],
                features=[[number]],
            )
        )
    folder = RequestLog.of(pipeline).folder
    assert folder == live_folder(pipeline.settings, "shop") / "requests"
    write(folder, "w-1", frames)


def of(pipeline, first=DAY, last=DAY, sample=None):
    return logged(pipeline, first, last, sample, 1)


def test_requests_of_the_days_by_release_in_the_order_of_their_own_times(pipeline):
    day = 86_400_000
    log_of(
        pipeline,
        (START + 2000, "ann", "live", "r1"),
        (START + 1000, "bob", "live", "r1"),
        (START - 1, "old", "live", "r1"),
        (START, "first", "canary", "r2"),
        (START + day - 1, "last", "live", "r1"),
        (START + day, "next", "live", "r1"),
        # Nobody's requests, and one that was not answered.
        (START + 10, "shadow", "shadow", "r2"),
        (START + 20, "probe", "probe", "r1"),
        (START + 30, "error", "error", "r1"),
    )
    live, canary = of(pipeline)
    assert (live.release, canary.release) == ("r1", "r2")
    assert [row[2] for row in live.rows] == ["bob", "ann", "last"]
    assert [row[2] for row in canary.rows] == ["first"]
    assert live.times.tolist() == [START + 1000, START + 2000, START + day - 1]
    assert live.columns == COLUMNS
    assert live.served(["visits", "unknown"]) == [[1, None], [0, None], [4, None]]
    assert live.began.tolist() == [START - 1] * 3
    assert len(of(pipeline, last=DAY + dt.timedelta(days=1))[0]) == 4


def test_a_sample_is_drawn_of_all_and_the_same_each_time(pipeline):
    log_of(pipeline, *((START + n, f"u{n}", "live", "r1") for n in range(50)))
    (drawn,) = of(pipeline, sample=10)
    assert len(set(drawn.times.tolist())) == 10
    assert drawn.times.tolist() == sorted(drawn.times)
    assert of(pipeline, sample=10)[0].times.tolist() == drawn.times.tolist()
    assert len(of(pipeline, sample=50)[0]) == 50


def test_days_without_requests_are_an_error_of_their_own(pipeline):
    with pytest.raises(NoRequests, match="from 2026-03-02 to 2026-03-02"):
        of(pipeline)
    log_of(pipeline, (START - 1, "old", "live", "r1"))
    with pytest.raises(NoRequests):
        of(pipeline)


def test_what_the_log_hides_cannot_be_replayed(pipeline):
    log_of(pipeline, (START, f"{HASHED}0f", "live", "r1"))
    with pytest.raises(DataError, match="live.log.hashed"):
        of(pipeline)


def test_a_field_that_the_log_left_out_is_named(pipeline):
    log_of(pipeline, (START, "", "live", "r1"), request=(("id", "string"), ("at", "timestamp")))
    with pytest.raises(DataError, match="has no who of requests.*live.log.omitted"):
        of(pipeline)


def test_those_of_one_key_are_in_one_part():
    rng = np.random.default_rng(3)
    users = [None if n == 7 else f"u{n}" for n in rng.integers(0, 30, 1000)]
    log = pa.table(
        {
            "release": ["r1"] * 1000,
            "model": ["m"] * 1000,
            "model_version": [1] * 1000,
            "request.who": users,
            "request.page": [f"p{n % 3}" for n in range(1000)],
            "request.at": pa.array(range(1000), pa.int64()),
            "began": pa.array(range(0, 1_000_000, 1000), pa.timestamp("us", "UTC")),
        }
    )
    whole = Requests.of(log, ["who", "page", "at"], "at")
    parts = list(whole.parts(["who"], 100))
    assert 2 <= len(parts) <= 10
    assert sorted(row[2] for part in parts for row in part.rows) == list(range(1000))
    seen = [{row[0] for row in part.rows} for part in parts]
    assert sum(map(len, seen)) == len(set(users))
    both = [{(row[0], row[1]) for row in part.rows} for part in whole.parts(["who", "page"], 100)]
    assert sum(map(len, both)) == len(set.union(*both))
    for part in parts:  # each in the order of its times
        assert part.times.tolist() == sorted(part.times) == [row[2] for row in part.rows]
        assert part.began.tolist() == part.times.tolist()
    # Without a key, or where they fit, there is one part.
    assert [len(part) for part in whole.parts([], 100)] == [1000]
    assert [len(part) for part in whole.parts(["who"], 1000)] == [1000]
