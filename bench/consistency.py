"""Offline rows of the JD tables against their online replay: docs/benchmarks.md.

One night on the tutorial's data with 14 held-out days; then the consistency check with a sample
of 2,000 requests in place of a night's 200. Prints the report.

    python bench/consistency.py ../shared/data/jd [--sample 2000]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pyarrow.parquet as pq  # noqa: E402

from laptop.data.cli import lay_out  # noqa: E402
from laptop.data.jd import last_full_day  # noqa: E402
from nightshift import commands  # noqa: E402
from nightshift.gates import parity  # noqa: E402
from nightshift.layout import RunFolder  # noqa: E402
from nightshift.release import steps  # noqa: E402
from testing.house import OWN, House  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jd", type=Path)
    parser.add_argument("--sample", type=int, default=2000)
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench-consistency")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.home, ignore_errors=True)
    house = House.build(arguments.home)
    lay_out(house.pipeline.data, arguments.jd.resolve(), replace=False)
    # The tutorial's requests go on after its actions end; a night of such a day is refused.
    last = last_full_day(house.pipeline.data).isoformat()
    folders = (house.pipeline.data / "flattenRequest").glob("ds=*")
    days = sorted(path.name[3:] for path in folders if path.name[3:] <= last)
    own = dataclasses.replace(OWN, epochs=1, label_settle_days=3, test_days=14, valid_days=2)
    house.up()
    try:
        plan = house.plan(days[-1], "bench", train_days=len(days) + 60)
        night = house.of(plan)
        steps.begin(night)
        house.features(plan)
        house.task(plan, "preprocess", commands.preprocess_arguments(night, own))
        house.task(plan, "train", commands.train_arguments(night, own))
        release = str(house.candidate(plan)["release_id"])
        house.load_online(plan)
        steps.gate(night, "rehearsal", release)
        gates = {**night.gate("consistency"), "sample": arguments.sample}
        report = parity.replayed(night, release, gates)
        held_out = len(pq.read_table(RunFolder(Path(plan["run_dir"])).dataset / "test"))
        print(json.dumps({"held_out": held_out, "days": days[-14:], **report}, indent=2))
    finally:
        house.down()
    return 0 if report["status"] == "pass" else 1


if __name__ == "__main__":
    sys.exit(main())
