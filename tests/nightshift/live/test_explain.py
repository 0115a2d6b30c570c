"""One answer of the log, with what was asked, seen and answered."""

import pytest

from nightshift.errors import ConfigurationError, DataError
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.live.explain import explain, text
from tests.nightshift.live.skew.conftest import RELEASE, START, YESTERDAY, shop

__all__ = ["shop"]


@pytest.fixture
def asked(shop):
    """Two clicks in reach of a request, one too old, one that came after it, one of another."""
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    shop.event("click", ["ann", START + 1000, "x"], START + 1500)
    shop.event("click", ["ann", START + 2000, "y"], START + 2500)
    shop.event("click", ["ann", START - 86_400_000, "old"], START)
    shop.event("click", ["bob", START + 1000, "x"], START + 1500)
    shop.ask("ann", START + 5000)
    shop.event("click", ["ann", START + 3000, "late"], START + 60_000)
    shop.night()
    return shop


RECEIPT = "20260301T16-abc-0"


def test_it_shows_names_request_features_ids_and_the_rows_of_each_window(asked):
    found = explain(asked.pipeline, RECEIPT, asked.client)
    assert (found["pipeline"], found["receipt"], found["release"]) == ("shop", RECEIPT, RELEASE)
    (row,) = found["rows"]
    assert row["request"] == {"id": "v0", "at": START + 5000, "who": "ann", "page": "p"}
    assert row["features"]["clicks"] == 3  # with the empty row of the request itself
    assert row["features"]["city"] == "Rome"
    spec = FeatureSpec.load(asked.pipeline.store.folder(RELEASE).spec)
    names = list(row["features"])
    (ids,) = encode_rows(spec, names, [list(row["features"].values())])
    assert row["ids"] == dict(zip(spec.names, map(str, ids.tolist()), strict=True))
    clicks = row["windows"]["window clicked"]["click"]
    # The newest first; what came after the answer is left out.
    assert [(one["page"], one["arrived"]) for one in clicks] == [
        ("y", START + 2500),
        ("x", START + 1500),
    ]
    assert row["windows"]["window said"]["comment"] == []
    said = text(found)
    assert f"answer     {RECEIPT}" in said
    assert "clicks = 3  id " in said
    assert "window clicked, click: 2 rows in reach" in said


def test_without_a_server_it_leaves_the_windows_out(asked):
    (row,) = explain(asked.pipeline, RECEIPT)["rows"]
    assert "windows" not in row


def test_ids_of_a_release_that_is_gone_cannot_be_told(asked):
    asked.pipeline.store.folder(RELEASE).spec.unlink()
    found = explain(asked.pipeline, RECEIPT)
    assert found["rows"][0]["ids"] is None
    assert "features (ids cannot be told)" in text(found)


def test_an_answer_that_is_not_kept_says_why_that_may_be(asked):
    with pytest.raises(DataError, match="has no answer 20260301T16-abc-9: it was not sampled"):
        explain(asked.pipeline, "20260301T16-abc-9")
    with pytest.raises(ConfigurationError, match="receipt"):
        explain(asked.pipeline, "../etc/passwd")
