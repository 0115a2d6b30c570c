"""Parquet files of ad clicks, as somebody who never saw Nightshift would have them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST = dt.date(2026, 5, 1)
LAST = dt.date(2026, 5, 16)
"""The days of impressions, in UTC+8."""
DAYS = (LAST - FIRST).days + 1


def write(folder: Path, rows_a_day: int = 300) -> None:
    """`impressions/`, `clicks/` and `ads/`: one file each, without partitions.

    Ids are bigints beyond 2**53, numbers are doubles with NULLs, flags are booleans, and texts are
    Arrow's large strings of several scripts. Only a clicked impression has a row among the clicks;
    who clicks depends on the ad, the flag, the city and the bid.

    Args:
        folder: where the tables' folders are made.
        rows_a_day: impressions of each day.
    """
    rng = np.random.default_rng(16)
    count = DAYS * rows_a_day
    # 9 to 19 o'clock in UTC+8, each impression at a moment of its own.
    start = np.datetime64(FIRST.isoformat(), "ms") + np.timedelta64(1, "h")
    moment = np.tile(np.arange(rows_a_day) * (36_000_000 // rows_a_day), DAYS)
    shown_at = start + np.repeat(np.arange(DAYS), rows_a_day) * np.timedelta64(1, "D")
    shown_at = shown_at + (moment + rng.integers(0, 900, count)).astype("timedelta64[ms]")
    ad, city = rng.integers(0, 24, count), rng.integers(0, 5, count)
    mobile, bid = rng.random(count) < 0.6, rng.gamma(2.0, 0.4, count)
    signed_up = np.datetime64("2024-01-01", "D") + rng.integers(0, 800, count)
    impressions = pa.table(
        {
            "impression_id": pa.array(np.arange(count) + (1 << 60), pa.int64()),
            "shown_at": pa.array(shown_at, pa.timestamp("ms")),
            "user_id": pa.array(rng.integers(0, 120, count) + (1 << 55), pa.int64()),
            "ad_id": pa.array(ad + (1 << 54), pa.int64()),
            "bid": pa.array(bid, pa.float64(), mask=rng.random(count) < 0.1),
            "is_mobile": pa.array(mobile, mask=rng.random(count) < 0.05),
            "signed_up": pa.array(signed_up, pa.date32(), mask=rng.random(count) < 0.2),
            "city": pa.array(
                [("Zürich", "北京", "O'Fallon", "القاهرة", None)[n] for n in city],
                pa.large_string(),
            ),
        }
    )
    chance = 0.02 + 0.4 * (ad % 6 == 0) + 0.12 * mobile + 0.15 * (city == 1) + 0.05 * bid
    clicked = impressions.filter(pa.array(rng.random(count) < chance))
    clicks = pa.table(
        {
            "impression_id": clicked["impression_id"],
            "clicked_at": pa.array(
                clicked["shown_at"].to_numpy() + np.timedelta64(1500, "ms"), pa.timestamp("ms")
            ),
        }
    )
    ads = pa.table(
        {
            "ad_id": pa.array(np.arange(24) + (1 << 54), pa.int64()),
            "begins": pa.array([dt.date(2026, 1, 1 + n) for n in range(24)], pa.date32()),
            "budget": pa.array([None if n % 7 == 0 else n * 12.5 for n in range(24)]),
            "is_video": pa.array([None if n % 11 == 3 else n % 2 == 0 for n in range(24)]),
            "theme": pa.array(
                [("naïve", "スポーツ", "a,b;'c'\\d", None)[n % 4] for n in range(24)],
                pa.large_string(),
            ),
        }
    )
    for name, table in (("impressions", impressions), ("clicks", clicks), ("ads", ads)):
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "export.parquet")
