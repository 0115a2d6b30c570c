"""Shadow, withdrawal and canary between real servers: OpenMLDB, Triton, the predict server."""

import datetime as dt

from nightshift.monitoring import act
from nightshift.night import servers
from nightshift.notify import incidents
from nightshift.registry import history, pointer
from nightshift.release import switch
from nightshift.serving import pair
from nightshift.watch import tell_night

from .conftest import LIVE, ask, fork, loaded, logged

JOINED = "`flattenRequest`.`sku_id` = `product`.`sku_id`"
BROKEN = "`flattenRequest`.`reqId` = `product`.`sku_id`"
"""A join that finds no product: seven features have one value from then on."""


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
