"""Pairs beside the live one: shadow scores after the answers, and a canary's users."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import io
import time
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from predict_server.beside import PATIENCE_S, Answered, Beside, Shadow
from predict_server.metrics import Metrics
from predict_server.pipelines import of_installation
from predict_server.uploads import PARQUET

from nightshift.config.live import ShadowConfig
from nightshift.errors import ServiceUnavailable
from nightshift.live.folders import hiding_key, live_folder
from nightshift.live.log import RequestLog
from nightshift.live.share import position
from nightshift.registry import pointer
from nightshift.serving.probe import PROBE
from tests.server.predict_server.conftest import FEATURES, TABLE, Client, Pair, row
from tests.server.predict_server.test_uploads import to_parquet

FILES = {
    "tables.yaml": "version: 1\nevents: {requests: eventTime}\n"
    "requests: {table: requests, id: reqId}\n",
    "create_tables.sql": TABLE + ";",
    "features.sql": FEATURES.format(days=2),
    "feature_spec.yaml": "version: 1\n",
}
PREDICT = "/v1/pipelines/beside/predict"


@contextlib.asynccontextmanager
async def served(house, home, live="shadow: {hours: 1, share: 1.0, rows_per_s: 10000}"):
    folder = home / "pipelines" / "beside"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "pipeline.yaml").write_text(f"version: 1\ndatabase: shop\nlive: {{{live}}}\n")
    settings = dataclasses.replace(
        house.settings, home=home, data=home / "data", pipelines=home / "pipelines",
        pipeline="beside",
    )  # fmt: skip
    made = Client(settings, of_installation(settings)())
    await made.app._start()
    yield made
    await made.app._stop()
    await made.http.aclose()


def beside(house, pair):
    return house.pointer(pair).names


def until(seconds=3600):
    at = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def switch(house, home, pair, **parts):
    house.switch(pair, home / "releases" / "beside", **parts)


def log_of(home):
    return RequestLog(home / "live" / "beside" / "requests").read()


async def rows_of(home, count):
    for _ in range(200):
        found = log_of(home)
        if found.num_rows >= count:
            return found.to_pylist()
        await asyncio.sleep(0.05)
    raise AssertionError(f"{found.num_rows} of {count} rows were logged")


@pytest.mark.parametrize("same", [False, True], ids=["other features", "same features"])
async def test_the_release_before_scores_the_same_requests_in_shadow(house, tmp_path, same):
    live, before = house.pairs
    if same:
        before = Pair("r0", live.deployment, before.version)
    shadow = pointer.Shadow(pair=beside(house, before), until=until())
    switch(house, tmp_path, live, shadow=shadow)
    asked = [row(n) for n in range(9)]
    async with served(house, tmp_path) as client:
        answer = await client.ask(PREDICT, {"rows": asked})
        assert answer["release"] == "r1"
        found = await rows_of(tmp_path, 18)
    by_role = {role: [one for one in found if one["role"] == role] for role in ("live", "shadow")}
    for role, pair in (("live", live), ("shadow", before)):
        assert [one["release"] for one in by_role[role]] == [pair.release_id] * 9
        scores = [one["score"] for one in by_role[role]]
        assert scores == pytest.approx(house.expected(pair, asked), abs=1e-6)
    assert {one["of"] for one in by_role["shadow"]} == {answer["receipt"]["id"]}
    assert {one["of"] for one in by_role["live"]} == {None}
    ids = [[(one["row"], one["request_id"]) for one in rows] for rows in by_role.values()]
    assert ids[0] == ids[1]


async def test_a_shadow_whose_time_is_over_or_that_is_broken_costs_nothing(house, tmp_path):
    live, before = house.pairs
    for number, shadow in enumerate(
        (
            pointer.Shadow(pair=beside(house, before), until=until(-1)),
            pointer.Shadow(
                pair=dataclasses.replace(beside(house, before), deployment="gone"), until=until()
            ),
            pointer.Shadow(
                pair=dataclasses.replace(beside(house, before), feature_spec="/gone"), until=until()
            ),
        )
    ):
        home = tmp_path / str(number)
        switch(house, home, live, shadow=shadow)
        async with served(house, home) as client:
            assert (await client.ask(PREDICT, {"rows": [row(1)]}))["release"] == "r1"
            (one,) = await rows_of(home, 1)
            assert one["role"] == "live"


async def test_a_canary_has_its_users_and_no_others_and_no_answer_mixes(house, tmp_path):
    live, candidate = house.pairs
    canary = pointer.Canary(
        pair=beside(house, candidate), share=0.5, column="user", since="2026-11-26T00:00:00Z"
    )
    switch(house, tmp_path, live, canary=canary)
    asked = [row(n) for n in range(14)]  # seven users, twice each
    async with served(house, tmp_path) as client:
        answers = [await client.ask(PREDICT, {"rows": [one]}) for one in asked]
        again = [await client.ask(PREDICT, {"rows": [one]}) for one in asked]
        mixed = await client.ask(PREDICT, {"rows": asked})
        ranked = [
            await client.ask(
                "/v1/pipelines/beside/rank",
                {"user": {k: v for k, v in one.items() if k != "product"},
                 "candidates": [{"product": "p1"}, {"product": "p2"}]},
            )
            for one in asked[:7]
        ]  # fmt: skip
        found = await rows_of(tmp_path, 2 * (14 + 14 + 14 + 14))
    key = hiding_key(live_folder(client.app.settings, "beside"))
    mine = {one["user"] for one in asked if position(one["user"], "r2", key) < 0.5}
    for one, answer, other in zip(asked, answers, again, strict=True):
        pair = candidate if one["user"] in mine else live
        assert answer["release"] == other["release"] == pair.release_id
        assert answer["receipt"]["release"] == pair.release_id
        assert (answer["deployment"], answer["model_version"]) == (pair.deployment, pair.version)
        score = answer["predictions"][0]["score"]
        assert score == pytest.approx(house.expected(pair, [one])[0], abs=1e-6)
    assert mixed["release"] == ("r2" if len(mine) == 7 else "r1")
    for one, answer in zip(asked, ranked, strict=False):
        assert answer["release"] == ("r2" if one["user"] in mine else "r1")
    # Each scores the other's requests in shadow.
    served_by = {one["receipt"]: one for one in found if one["role"] != "shadow"}
    for one in found:
        if one["role"] == "shadow":
            assert {one["release"], served_by[one["of"]]["release"]} == {"r1", "r2"}
    roles = Counter((one["role"], one["release"]) for one in found)
    assert roles["shadow", "r1"] == roles["canary", "r2"]
    assert roles["shadow", "r2"] == roles["live", "r1"]


async def test_the_live_release_answers_what_a_canary_cannot(house, tmp_path):
    live, candidate = house.pairs
    canary = pointer.Canary(
        pair=beside(house, candidate), share=0.999999, column="user", since="2026-11-26T00:00:00Z"
    )
    switch(house, tmp_path, live, canary=canary)
    async with served(house, tmp_path) as client:
        assert (await client.ask(PREDICT, {"rows": [row(1)]}))["release"] == "r2"
        release = client.app.hosts.get("beside").follower.current._canary._beside.release

        async def away(*_, **__):
            raise ServiceUnavailable("its process died")

        release._infer = away
        answer = await client.ask(PREDICT, {"rows": [row(2)]})
        assert answer["release"] == "r1"
        found = await rows_of(tmp_path, 4)
    (error,) = [one for one in found if one["role"] == "error"]
    assert (error["release"], error["request.reqId"]) == ("r2", "q2")
    assert np.isnan(error["score"])


async def test_a_clients_impatience_is_not_a_canarys_failure(house, tmp_path):
    live, candidate = house.pairs
    switch(house, tmp_path, live, canary=share_of_everybody(house, candidate))
    async with served(house, tmp_path) as client:
        for release in (live, candidate):
            await client.ask(PREDICT, {"rows": [row(1, user=None if release is live else "u1")]})
        current = client.app.hosts.get("beside").follower.current
        canary = current._canary._beside.release

        async def late(ids, timeout_s):
            await asyncio.sleep(timeout_s + 0.01)
            raise ServiceUnavailable("no answer in time")

        canary._infer = late
        for place, seconds in enumerate(("0.2", "0.9", "1.5")):
            hasty = {"headers": {"X-Request-Timeout": seconds}}
            answer = await client.ask(PREDICT, {"rows": [row(10 + place)]}, **hasty)
            assert answer["release"] == "r1"
        current._infer = late
        hasty = {"headers": {"X-Request-Timeout": "0.1"}}
        await client.ask(PREDICT, {"rows": [row(20, user=None)]}, status=504, **hasty)
        patient = {"headers": {"X-Request-Timeout": "0.8"}}
        await client.ask(PREDICT, {"rows": [row(21, user=None)]}, status=504, **patient)
    # All is written when the server has stopped. A canary has half of the client's time, so that
    # the live release can answer after it.
    found = log_of(tmp_path).to_pylist()
    errors = {(one["release"], one["request.reqId"]) for one in found if one["role"] == "error"}
    assert errors == {("r2", "q12"), ("r1", "q21")}


def share_of_everybody(house, candidate):
    return pointer.Canary(
        pair=beside(house, candidate), share=0.999999, column="user", since="2026-11-26T00:00:00Z"
    )


async def test_a_probe_is_answered_by_the_live_release_and_judges_nobody(house, tmp_path):
    live, candidate = house.pairs
    switch(house, tmp_path, live, canary=share_of_everybody(house, candidate))
    probe = {"headers": {PROBE: "1"}}
    candidates = {"user": {k: v for k, v in row(3).items() if k != "product"}}
    candidates["candidates"] = [{"product": "p1"}]
    taken = []
    async with served(house, tmp_path) as client:
        release = client.app.hosts.get("beside").follower.current
        release._context = dataclasses.replace(
            release._context, scored=lambda ids, rows: taken.append(ids)
        )
        asked = await client.ask(PREDICT, {"rows": [row(1), row(2)]}, **probe)
        ranked = await client.ask("/v1/pipelines/beside/rank", candidates, **probe)
        real = await client.ask(PREDICT, {"rows": [row(4, user=None)]})  # a canary has no nobody
        other = await client.ask(PREDICT, {"rows": [row(5)]}, headers={PROBE: "0"})
        assert [one["release"] for one in (asked, ranked, real, other)] == ["r1", "r1", "r1", "r2"]
        found = await rows_of(tmp_path, 3 + 2 + 2)

        async def away(*_, **__):
            raise ServiceUnavailable("its process died")

        release._infer = away
        await client.ask(PREDICT, {"rows": [row(1)]}, status=503, **probe)
        await client.ask(PREDICT, {"rows": [row(6, user=None)]}, status=503)
        found = await rows_of(tmp_path, 3 + 2 + 2 + 1)
    assert taken == [["q4"]]
    # Of a probe the answer alone; of the request that failed, that it did.
    assert Counter((one["role"], one["release"], one["request_id"]) for one in found) == {
        ("probe", "r1", "q1"): 1,
        ("probe", "r1", "q2"): 1,
        ("probe", "r1", "q3"): 1,
        ("live", "r1", "q4"): 1,
        ("shadow", "r2", "q4"): 1,
        ("canary", "r2", "q5"): 1,
        ("shadow", "r1", "q5"): 1,
        ("error", "r1", None): 1,
    }


async def test_a_file_is_scored_by_the_live_release_alone_and_is_no_live_traffic(house, tmp_path):
    live, candidate = house.pairs
    switch(house, tmp_path, live, canary=share_of_everybody(house, candidate))
    asked = [row(n) for n in range(9)]
    async with served(house, tmp_path) as client:
        answer = await client.http.post(
            "/v1/pipelines/beside/upload",
            content=to_parquet(asked),
            headers={"content-type": PARQUET},
        )
        assert answer.status_code == 200, answer.text
        await client.ask(PREDICT, {"rows": [row(20)]})  # logged after whatever the file left
        found = await rows_of(tmp_path, 2)
    assert answer.headers["x-nightshift-release"] == "r1"
    scores = pq.read_table(io.BytesIO(answer.content)).column("score").to_pylist()
    assert scores == pytest.approx(house.expected(live, asked), abs=1e-6)
    assert {one["request.reqId"] for one in found} == {"q20"}
    assert sorted(one["role"] for one in found) == ["canary", "shadow"]


class Slow:
    """A pair that answers when it is told to."""

    def __init__(self):
        self.go = asyncio.Event()
        self.scored = []
        self.waiting_rows = 0

    def same_features(self, other):
        return True

    async def score_beside(self, rows, features, deadline):
        await self.go.wait()
        return rows

    def record_shadow(self, answered, scored):
        self.scored += scored


def counted(metrics, result):
    return metrics.registry.get_sample_value(
        "nightshift_predict_shadow_rows_total", {"pipeline": "ads", "result": result}
    )


def shadow_of(slow, metrics, **config):
    by = Beside("r0", None)
    by.release = slow
    made = ShadowConfig(hours=1, **{"share": 1.0, "rows_per_s": 1e9, **config})
    return Shadow(slow, by, made, 1.0, None, metrics.of("ads"))


def answered(count, inserts=None):
    return Answered("r", "predict", 0.0, [[n] for n in range(count)], [[n] for n in range(count)],
                    inserts)  # fmt: skip


async def test_a_full_queue_drops_and_counts_and_still_inserts():
    metrics, slow, inserted = Metrics(), Slow(), []
    shadow = shadow_of(slow, metrics)
    for number in range(10):
        shadow.offer(answered(500, lambda number=number: inserted.append(number)))
    assert counted(metrics, "full") == 10 * 500 - 2000
    assert inserted == list(range(4, 10))
    slow.go.set()
    await shadow._task
    assert (counted(metrics, "scored"), len(slow.scored)) == (2000, 2000)
    assert sorted(inserted) == list(range(10))


async def test_the_rate_is_bounded():
    metrics, slow = Metrics(), Slow()
    slow.go.set()
    shadow = shadow_of(slow, metrics, rows_per_s=50)
    for _ in range(10):
        shadow.offer(answered(20))
    await shadow._task
    assert counted(metrics, "scored") == 60  # 50, and the rest of the request that passed it
    assert counted(metrics, "rate") == 140


async def test_answers_come_first():
    metrics, slow = Metrics(), Slow()
    slow.go.set()
    slow.waiting_rows = 1
    shadow = shadow_of(slow, metrics)
    shadow.offer(answered(1))
    await asyncio.sleep(0.1)
    assert slow.scored == []
    slow.waiting_rows = 0
    await shadow._task
    assert slow.scored == [[0]]
    shadow._queue.append((time.monotonic() - PATIENCE_S, answered(1)))
    await shadow._run()
    assert counted(metrics, "late") == 1


def test_the_share_is_of_the_requests_by_their_content():
    shadow = shadow_of(None, Metrics(), share=0.25)
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, 4000, dtype=np.uint64)
    wanted = [shadow.wants({"logged": True, "request": f"{int(n):016x}"}) for n in hashes]
    assert 900 < sum(wanted) < 1100
    assert not shadow.wants({"logged": False, "request": "0" * 16})
