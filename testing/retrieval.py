"""A small world for retrieval: users of eight tastes, and what they liked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nightshift.config.recommend import Factors, Recommend
from nightshift.recommend import fitting
from nightshift.recommend.interactions import ID, Interactions

USERS, ITEMS, TASTES, ROWS = 120, 80, 8, 4000
LAST = dt.date(2024, 3, 31)
LAST_MS = 1_711_900_799_999
NUMBER = (LAST - dt.date(1970, 1, 1)).days


def world(seed: int = 1) -> Interactions:
    """Users like items whose number has their taste as remainder; item 79 was never touched."""
    random = np.random.default_rng(seed)
    user = random.integers(0, USERS, ROWS)
    own = random.integers(0, ITEMS // TASTES - 1, ROWS) * TASTES + user % TASTES
    item = np.where(random.random(ROWS) < 0.8, own, random.integers(0, ITEMS - 1, ROWS))
    items = pa.table(
        {
            ID: pa.array([f"i{n:02d}" for n in range(ITEMS)], pa.large_string()),
            "taste": pa.array([n % TASTES for n in range(ITEMS)]),
            "words": pa.array([f"Drama Sci-Fi{n % 2}" for n in range(ITEMS)]),
        }
    )
    return Interactions(
        pa.array([f"u{n:03d}" for n in range(USERS)], pa.large_string()),
        items,
        user.astype(np.int32),
        item.astype(np.int32),
        np.sort(random.integers(NUMBER - 19, NUMBER + 1, ROWS)).astype(np.int32),
        random.random(ROWS) < 0.9,
        0,
    )


def options(**changes: Any) -> Recommend:
    values: dict[str, Any] = {
        "user": "user",
        "item": "product",
        "retrievers": ("item_neighbours", "user_neighbours", "embeddings"),
        "factors": Factors(dimensions=8, iterations=5),
        "candidates": 20,
        "neighbours": 10,
    }
    return Recommend(**{**values, **changes})


def build(found: Interactions, chosen: Recommend, out: Path) -> dict[str, Any]:
    return fitting.build(
        found,
        chosen,
        out,
        last=LAST,
        last_ms=LAST_MS,
        test_days=3,
        request={"id": "reqId", "time": "eventTime"},
    )
