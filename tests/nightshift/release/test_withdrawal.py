"""Shadow, withdrawal and canary between real servers: OpenMLDB, Triton, the predict server."""

import datetime as dt
import shutil
from collections import Counter
from dataclasses import replace

import httpx
import pyarrow.compute as pc
import pytest

from nightshift import files
from nightshift.config.live import CanaryConfig
from nightshift.live.folders import hiding_key, live_folder
from nightshift.live.log import RequestLog
from nightshift.live.share import position
from nightshift.monitoring import act
from nightshift.night import servers
from nightshift.notify import incidents
from nightshift.registry import history, leases, pointer
from nightshift.registry import manifest as manifests
from nightshift.registry.names import deployment_name, sql_hash
from nightshift.release import canary, rollback, steps, switch
from nightshift.serving import pair
from nightshift.watch import tell_night
from testing.serving import wait_until

from .conftest import FIRST

LIVE = f"{FIRST}.001"
JOINED = "`flattenRequest`.`sku_id` = `product`.`sku_id`"
BROKEN = "`flattenRequest`.`reqId` = `product`.`sku_id`"
"""A join that finds no product: seven features have one value from then on."""


def fork(nights, sequence, change=lambda sql: sql):
    """The live release once more, under a version of its own and perhaps with another query."""
    store, pipeline = nights.pipeline.store, nights.pipeline
    source = store.folder(LIVE)
    made = source.manifest()
    version = made.model.version - 1 + sequence
    folder = store.folder(f"{FIRST}.{sequence:03d}")
    shutil.copytree(source.root, folder.root)
    sql = change(source.sql.read_text())
    folder.sql.write_text(sql)
    named = replace(made.sql, deployment=deployment_name(pipeline.owner, sql), sha256=sql_hash(sql))
    made = replace(
        made,
        release_id=folder.id,
        model=replace(made.model, version=version),
        features=replace(made.features, sql=named),
    )
    folder.manifest_path.unlink()
    manifests.write_once(folder.manifest_path, made)
    return folder.id


@pytest.fixture(scope="module")
def watched(nights):
    """The pipeline with a shadow and withdrawal; afterwards the first night serves alone."""
    config = nights.pipeline.config
    live = config.live.model_copy(
        update={
            "shadow": config.live.shadow.model_copy(update={"hours": 1.0}),
            "canary": CanaryConfig(column="user_id", share=0.5, hours=1.0),
        }
    )
    monitor = config.monitor.model_copy(update={"action": "withdraw"})
    yield nights.pipeline.with_config(live=live, monitor=monitor)
    night = nights.house.of(nights.second)
    leases.close(nights.pipeline.store, night.token)
    if pointer.read_live(nights.pipeline.releases).release_id != LIVE:
        rollback.roll_back(LIVE, nights.pipeline, run_id="the end")
    rollback.retire_rolled_back(nights.pipeline)
    for folder in nights.pipeline.store.releases():
        if folder.id != LIVE:
            shutil.rmtree(folder.root)
    assert loaded(nights.pipeline, LIVE) == (True, True)


@pytest.fixture(scope="module")
def requests(watched):
    """Request rows as a client sends them."""
    now = pointer.read_live(watched.releases)
    with servers(watched.settings) as both:
        info = both.openmldb.deployment(now.database, now.deployment)
    columns = [name for name, _ in info.input_schema]
    rows = pair.request_rows(watched, columns, 300)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def ask(pipeline, rows):
    answer = httpx.post(f"{pipeline.settings.predict_url}/predict", json={"rows": rows}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def logged(pipeline, release, role, count):
    log = RequestLog.of(pipeline)
    where = (pc.field("release") == release) & (pc.field("role") == role)
    wait_until(lambda: log.read(where=where).num_rows >= count, f"{count} rows of {release}")
    return log.read(where=where)


def loaded(pipeline, release):
    """Whether both halves of a release are there."""
    made = pipeline.store.folder(release).manifest()
    with servers(pipeline.settings) as both:
        return (
            made.sql.deployment in both.openmldb.deployments(made.sql.database),
            both.triton.ready(made.model.name, made.model.version),
        )


def test_a_release_whose_features_are_constant_is_withdrawn(nights, watched, requests):
    bad = fork(nights, 801, lambda sql: sql.replace(JOINED, BROKEN))
    with servers(watched.settings) as both:
        value = switch.switch(
            both,
            watched,
            bad,
            requests=lambda columns: pair.request_rows(watched, columns, 1),
            promote="force",
            reason="force",
        )
        assert value["switched"]
        switch.retire(both, watched, run_token=None)
    assert pointer.read_live(watched.releases).shadow.pair.release_id == LIVE
    assert loaded(watched, LIVE) == (True, True)  # warm
    for start in range(0, 600, 5):
        answer = ask(watched, requests[start % 300 : start % 300 + 5])
        assert answer["release"] == bad
    logged(watched, bad, "live", 600)
    shadow = logged(watched, LIVE, "shadow", 20)
    assert len(shadow["feature.product_brand"].unique()) > 1
    soon = dt.datetime.now(dt.timezone.utc) + dt.timedelta(minutes=1)
    value = act.monitor(watched, run_id="watch 1", until=soon)
    assert (value["action"], value["went_back_to"]) == ("withdrawn", LIVE), value.get("why")
    assert "product_brand" in value["warnings"][0]
    assert ask(watched, requests[:1])["release"] == LIVE
    live = pointer.read_live(watched.releases)
    assert (live.release_id, live.shadow) == (LIVE, None)
    assert loaded(watched, bad) == (False, False)
    rows = {row.release_id: row for row in history.rows(watched.releases)}
    assert "withdrawn" in rows[bad].why
    assert "one value in all of the last 500 requests" in rows[bad].why
    tell_night(watched)
    told = [r.incident for r in incidents.listed(watched.settings)]
    (one,) = [i for i in told if i.kind == "withdrawal" and bad in i.title]
    assert "product_brand" in one.text
    # What was withdrawn is not gone back to, and not withdrawn once more.
    assert act.monitor(watched, run_id="watch 2", until=soon)["action"] != "withdrawn"
    assert ask(watched, requests[:1])["release"] == LIVE


def test_a_canary_has_its_users_until_it_is_promoted(nights, watched, requests):
    new = fork(nights, 802)
    with servers(watched.settings) as both:
        canary.begin(both, watched, new, actor="test")
        switch.retire(both, watched, run_token=None)
    assert loaded(watched, new) == (True, True)
    assert history_of(watched)[new].why.startswith("canary since")
    key = hiding_key(live_folder(watched.settings, watched.name))
    seen = Counter()
    for row in requests[:40]:
        answer = ask(watched, [row])
        mine = position(row["user_id"], new, key) < 0.5
        assert answer["release"] == (new if mine else LIVE)
        assert answer["receipt"]["release"] == answer["release"]
        version = watched.store.folder(answer["release"]).manifest().model.version
        assert answer["model_version"] == version
        seen[answer["release"]] += 1
    assert set(seen) == {new, LIVE}
    logged(watched, new, "canary", seen[new])
    with pytest.raises(canary.ConfigurationError, match="user_id"):
        canary.check_column(watched, "no_such_column")
    assert canary.due(watched, dt.datetime.now(dt.timezone.utc)) is None
    later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=2)
    assert canary.due(watched, later) == new
    assert canary.promote_due(watched, actor="test")["live"] == new
    live = pointer.read_live(watched.releases)
    assert (live.release_id, live.canary) == (new, None)
    assert live.shadow.pair.release_id == LIVE
    assert {ask(watched, [row])["release"] for row in requests[:10]} == {new}


def history_of(pipeline):
    return {row.release_id: row for row in history.rows(pipeline.releases)}


def test_a_night_makes_its_candidate_a_canary(nights, watched):
    live = pointer.read_live(watched.releases)
    night = replace(nights.house.of(nights.second), pipeline=watched)
    made = steps.make_candidate(night)
    release = made["release_id"]
    folder = watched.store.folder(release)
    files.write_json(folder.verdict_path, {"accepted": True, "reasons": [], "warnings": []})
    value = steps.switch_over(night, release)
    assert (value["switched"], value["canary"], value["live"]) == (False, True, live.release_id)
    found = pointer.read_live(watched.releases)
    assert found.canary.pair.release_id == release
    assert folder.verdict()["note"].startswith("a canary for 1 hours: 0.5 of the users by user_id")
    assert pointer.end_canary(watched.releases, release, reason="the test is over")
