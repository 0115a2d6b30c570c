"""Nights, a backfill, a rollback and a retirement on the embedded OpenMLDB in a cluster's mood.

    .venv/bin/python bench/cluster_nights.py [--mood TEXT] [--rows N]

Real servers, real training; no task is tried a second time: an error ends it. It prints a line a
step, and at the end what OpenMLDB holds: rows that lack or are too many, deployments, databases.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nightshift import layout  # noqa: E402
from nightshift.errors import ReleaseRejected  # noqa: E402
from nightshift.openmldb.loads import partition_rows  # noqa: E402
from nightshift.openmldb.rows import stored_count  # noqa: E402
from nightshift.registry import pointer  # noqa: E402
from nightshift.release import rollback  # noqa: E402
from testing.house import House  # noqa: E402

MOOD = "deploy_seconds=1, index_seconds=2, failed_seconds=0.7, unseen_seconds=60"
NIGHTS = ("2026-11-08", "2026-11-09")
BACKFILL = ("2026-11-05", "2026-11-06", "2026-11-07")


def main() -> int:
    """Run it; 1 where rows lack or are too many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mood", default=MOOD, help=f"openmldb_embedded.moods ({MOOD})")
    parser.add_argument("--rows", type=int, default=800, help="requests a day")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        house = House.build(Path(folder) / "house", mood=given.mood)
        house.generate(days=18, rows_per_day=given.rows, end="2026-11-10")
        house.up()
        try:
            return _run(house)
        finally:
            house.down()


def _run(house: House) -> int:
    def step(name: str, begun: float, what: str) -> None:
        print(f"{name:<24}{time.monotonic() - begun:6.1f} s  {what}", flush=True)

    for ds in NIGHTS:
        begun = time.monotonic()
        found = house.night(ds)
        step(f"night of {ds}", begun, "live" if found["switched"] else str(found["why"]))
    for ds in BACKFILL:
        begun = time.monotonic()
        try:
            found = house.night(ds, f"backfill__{ds}")
            became = "live" if found["switched"] else "kept: " + found["why"]
        except ReleaseRejected as error:
            became = f"judged and rejected: {error}"
        step(f"backfill of {ds}", begun, became)
    begun = time.monotonic()
    back = rollback.roll_back(None, house.pipeline, run_id="rollback")
    step("rollback", begun, f"live is {back['live']}")
    begun = time.monotonic()
    retired = rollback.retire_rolled_back(house.pipeline)
    step("retire", begun, f"versions unpinned: {retired['versions_unpinned']}")
    return _wrong(house)


def _wrong(house: House) -> int:
    """Count rows that lack or are too many in the online store."""
    pipeline, wrong = house.pipeline, 0
    reach = pipeline.features.spec.lookback_days
    with house.client() as client:
        for table, column in pipeline.features.tables.events.items():
            last = dt.date.fromisoformat(NIGHTS[-1])
            days = layout.days_back(last, reach.get(table, 0) + 1)
            for day in layout.present(pipeline.data, table, days):
                start = layout.day_start_ms(day)
                held = stored_count(
                    client, pipeline.database, table, column, start, start + layout.DAY_MS
                )
                wrong += abs(held - partition_rows(pipeline.data, table, day))
        deployments = client.deployments(pipeline.database)
        databases = [name for name in client.databases() if name.startswith(pipeline.owner)]
    live = pointer.read_live(pipeline.releases)
    print(f"rows that lack or are too many: {wrong}")
    print(f"deployments: {deployments}; databases of runs: {databases}; live: {live}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
