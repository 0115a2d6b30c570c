"""The first items that a mask allows, against a plain loop."""

import numpy as np
import pytest

from nightshift.recommend.retrievers.base import allowed


@pytest.mark.parametrize("count", [0, 1, 7, 500])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_the_order_is_kept_and_the_mask_respected(count, share):
    rng = np.random.default_rng(int(100 * share) + count)
    order = rng.permutation(300).astype(np.int32)
    mask = rng.random(300) < share
    found = allowed(order, mask, count)
    assert found.tolist() == [item for item in order.tolist() if mask[item]][:count]


def test_no_order_gives_no_items():
    assert len(allowed(np.zeros(0, np.int32), np.ones(3, bool), 5)) == 0
