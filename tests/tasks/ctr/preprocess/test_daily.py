"""Counts by day, against a plain count of the rows."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from tasks.ctr.preprocess.daily import Daily
from tasks.ctr.preprocess.window import WindowRule

DS = dt.date(2026, 3, 10)
RULE = WindowRule(DS, train_days=5, label_settle_days=2, test_days=1, valid_days=1)
EPOCH = dt.date(1970, 1, 1)


def test_batches_add_up_to_what_the_rows_hold():
    rng = np.random.default_rng(3)
    n = 400
    days = rng.integers(RULE.first_day - 2, RULE.last_day + 3, n).astype(np.int32)
    labels = rng.integers(0, 2, n).astype(np.int8)
    labelled = rng.random(n) < 0.7
    prices = [None if x < 0.2 else float("nan") if x < 0.3 else x for x in rng.random(n)]
    towns = [None if x < 0.1 else "x" for x in rng.random(n)]
    daily = Daily(SimpleNamespace(names=("price", "town")), RULE)
    for part in (slice(0, 150), slice(150, 150), slice(150, n)):
        batch = pa.RecordBatch.from_pydict(
            {"price": pa.array(prices[part], pa.float64()), "town": pa.array(towns[part])}
        )
        daily.add(batch, days[part], labels[part], labelled[part])

    found = daily.summary()
    assert [one["day"] for one in found] == [
        str(DS - dt.timedelta(days=back)) for back in (4, 3, 2, 1, 0)
    ]
    for one in found:
        at = (dt.date.fromisoformat(one["day"]) - EPOCH).days
        rows = [n for n in range(n) if days[n] == at]
        assert one["rows"] == len(rows)
        assert one["labelled"] == sum(bool(labelled[n]) for n in rows)
        assert one["positives"] == sum(bool(labelled[n]) and labels[n] == 1 for n in rows)
        assert one["nulls"]["price"] == sum(prices[n] is None for n in rows)
        assert one["nulls"].get("town", 0) == sum(towns[n] is None for n in rows)
        assert one.get("not_finite", {}).get("price", 0) == sum(
            prices[n] != prices[n] for n in rows
        )
        # Labels of the last two days have not settled.
        assert one["settled"] == (at <= (DS - EPOCH).days - 2)


def test_a_day_without_rows_is_there_with_zeros():
    for one in Daily(SimpleNamespace(names=()), RULE).summary():
        assert (one["rows"], one["labelled"], one["positives"], one["nulls"]) == (0, 0, 0, {})
