"""Tables that keep rows for ever, hardly long enough, or not at all."""

import re
import time

from nightshift.check import check_pipeline
from tests.nightshift.check.conftest import CREATE, lay, plant


def expiry(settings):
    return {p.key: p for p in check_pipeline(settings, "shop") if p.file.endswith(CREATE)}


def test_a_table_that_keeps_fed_rows_for_ever_is_advised_of_and_a_recorded_one_is_not(settings):
    now = int(time.time() * 1000)
    today = time.strftime("%Y-%m-%d")
    row = {"pair_id": ["a"], "sku_id": ["x"]}
    lay(settings, "flattenRequest", {"at": [now], **row}, today)
    lay(settings, "bo_comment", {"at": [1000], "sku_id": ["x"]}, "2016-03-01")
    found = expiry(settings)
    assert set(found) == {"flattenRequest"}
    assert found["flattenRequest"].level == "warning"
    # 14 days and 10 rows of a user's requests: features.sql.
    assert "ttl=(21d, 10), ttl_type=absandlat" in found["flattenRequest"].fix
    for text, said in (
        ("ttl=(21d, 10), ttl_type=absandlat", None),
        ("ttl=(15d, 10), ttl_type=absandlat", "is left out"),
        ("ttl=21d, ttl_type=absolute", "reaches back 10 row(s)"),
        ("ttl=(13d, 10), ttl_type=absandlat", "reaches back 14 day(s)"),
    ):
        path = settings.pipelines / "shop" / CREATE
        path.write_text(re.sub(r"(key=user_id, ts=eventTime, )[^)]*\)?.*?(?=\)\n)",
                               rf"\1{text}", path.read_text()))  # fmt: skip
        found = expiry(settings)
        if said is None:
            assert found == {}
        else:
            assert said in found["flattenRequest"].message, text
    plant(settings, CREATE, r"key=sku_id, ts=ingestionTime, ttl=0m, ttl_type=absolute",
          "key=sku_id, ts=ingestionTime, ttl=(71d, 10), ttl_type=absandlat")  # fmt: skip
    plant(settings, CREATE, re.escape("ttl=(13d, 10)"), "ttl=(21d, 10)")
    found = expiry(settings)
    assert set(found) == {"bo_comment"}
    assert "gone as soon as they are loaded" in found["bo_comment"].message
