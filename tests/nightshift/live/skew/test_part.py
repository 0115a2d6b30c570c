"""A cause for each differing value of a part of the requests."""

import msgspec
import pyarrow.compute as pc

from nightshift.live.skew import causes as c
from nightshift.live.skew import replay
from nightshift.live.skew.text import as_text
from testing.shop import QUERY
from tests.nightshift.live.skew.conftest import START, YESTERDAY, causes_of, requests_of


def test_a_request_that_is_asked_again_sees_itself(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    at = START + 5000
    asked = shop.ask("ann", at)
    number = len(shop.answers)
    shop.ask("ann", at, keep=False)  # the same again: its row is in the store by now
    shop.answers[number].rows[0][0] = asked
    shop.answers[number].features[0][0] = asked
    shop.answers[number] = msgspec.structs.replace(
        shop.answers[number], began_us=(at + 1000) * 1000
    )
    shop.night()
    causes = causes_of(shop.observe())
    assert {key: requests_of(cause) for key, cause in causes.items()} == {
        (c.AGAIN, "visit"): {asked}
    }


def test_a_query_that_was_changed_since_is_a_cause_of_its_own_that_counts_as_no_skew(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    asked = shop.ask("ann", START + 5000)
    shop.night()
    clean = shop.observe()
    assert (clean["values_differing"], clean["status"]) == (0, "explained")
    assert clean["releases"][0]["price"]["why"]
    changed = QUERY.replace("count(page) OVER own", "count(page) OVER own + 1")
    shop.pipeline.features.sql.write_text(changed)
    found = shop.observe()
    causes = causes_of(found)
    assert {key: requests_of(cause) for key, cause in causes.items()} == {(c.QUERY, ""): {asked}}
    assert causes[c.QUERY, ""]["features"] == {"visits": 1}
    (example,) = causes[c.QUERY, ""]["examples"]
    assert (example["served"], example["training"]) == (1, 2)
    assert causes[c.QUERY, ""]["price"] is None
    assert (found["rows_differing"], found["values_differing"], found["status"]) == (
        0, 0, "explained",
    )  # fmt: skip
    assert f"{c.QUERY}: 1 values" in as_text(found)
    # Layout alone is no change.
    shop.pipeline.features.sql.write_text(QUERY.replace("\n", "\n  ") + "\n;\n")
    assert not causes_of(shop.observe())


def test_serving_that_computes_otherwise_than_training_is_code(shop, monkeypatch):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    asked = shop.ask("ann", START + 5000)
    shop.night()
    given = replay.training

    def otherwise(*args, **options):
        table = given(*args, **options)
        at = table.column_names.index("visits")
        return table.set_column(at, "visits", pc.add(table["visits"], 1))

    monkeypatch.setattr(replay, "training", otherwise)
    causes = causes_of(shop.observe())
    assert {key: requests_of(cause) for key, cause in causes.items()} == {(c.CODE, ""): {asked}}


def test_what_was_served_and_cannot_be_replayed_is_a_bug_or_a_corrected_partition(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    shop.event("click", ["ann", START + 1000, "x"], START + 1100)
    asked = shop.ask("ann", START + 5000)
    # A partition that lost the click after it was served.
    shop.rows["click"].clear()
    shop.night()
    found = shop.observe()
    (one,) = found["releases"][0]["served_otherwise"]
    assert (one["request_id"], one["feature"], one["cause"]) == (asked, "clicks", c.CHANGED)
    assert (one["served"], one["replayed"]) == (2, 1)  # with the request's own empty row
    assert found["not_reproduced"] == 0


def test_a_value_that_the_store_cannot_have_given_is_a_bug(shop):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    shop.ask("ann", START + 5000)
    (only,) = shop.answers
    info = shop.client.deployment(shop.pipeline.database, "served")
    place = [name for name, _ in info.output_schema].index("visits")
    only.features[0][place] = 17
    shop.night()
    found = shop.observe()
    assert (found["status"], found["not_reproduced"]) == ("bug", 1)
    assert found["releases"][0]["served_otherwise"][0]["served"] == 17
    assert "17" in as_text(found)
