"""Features that have stopped to vary are seen within 1,000 requests."""

import numpy as np
import pyarrow as pa

from nightshift.monitoring.constant import constant

SHARES = {"price": 0.05, "brand": 0.4, "flag": 0.97, "gone": 0.1}


def live(n, broken_from=None, seed=0):
    rng = np.random.default_rng(seed)
    price = rng.normal(size=n)
    brand = rng.choice(["a", "b", "c"], n).astype(object)
    if broken_from is not None:
        price[broken_from:] = 0.0
        brand[broken_from:] = None
    return pa.table({"price": price, "brand": pa.array(brand, pa.string()), "flag": np.zeros(n)})


def test_what_varies_is_well():
    for seed in range(20):
        assert constant(live(1000, seed=seed), SHARES) == []


def test_a_fault_is_seen_within_1000_requests_of_its_beginning():
    assert constant(live(3000 + 1000, broken_from=3000), SHARES) == ["brand", "price"]
    assert constant(live(1000, broken_from=0), SHARES) == ["brand", "price"]


def test_few_requests_say_nothing():
    assert constant(live(499, broken_from=0), SHARES) == []
    assert constant(live(3400, broken_from=3000), SHARES) == []
