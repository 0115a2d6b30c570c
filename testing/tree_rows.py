"""Encoded rows that trees are tried on, in the tests' environment and in the tasks'."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import PAD_ID, Ids, number_bits
from nightshift.features.specification import FeatureSpec

SPEC = FeatureSpec.parse(
    {
        "version": 1,
        "label": "y",
        "time": "at",
        "test_days": 1,
        "valid_days": 1,
        "keys": ["at"],
        "categorical": {
            "tags": {"type": "string", "split": ",", "most": 2},
            "shop": "string",
            "visit": "string",
        },
        "numeric": {"x": {"type": "double"}, "z": {"type": "double"}},
    },
    source="spec.yaml",
)
SHOP, VISIT, X, Z = 2, 3, 4, 5
"""Columns of the encoded row; the two before them are tokens, which trees do not look at."""


def rows(count: int, seed: int, signal: bool = True) -> tuple[dict[int, Ids], npt.NDArray[np.int8]]:
    """Encoded rows; positives follow the signs of x and z together, and some shops."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, count))
    shop = rng.integers(0, 12, count)
    logit = -1.0 + (2.5 * ((x > 0) ^ (z > 0)) + 1.0 * (shop % 3 == 0)) * signal
    labels = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    field = {field.name: field for field in SPEC.fields}
    columns = {
        0: np.full(count, PAD_ID),
        1: np.full(count, PAD_ID),
        SHOP: shop.astype(np.int64) * 7919 - 40_000,
        VISIT: rng.integers(-(2**62), 2**62, count),
        X: number_bits(x, field["x"]),
        Z: number_bits(z, field["z"]),
    }
    return columns, labels
