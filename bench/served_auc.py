"""Served AUC beside held-out AUC of the default pipeline, with the ledger's proof: docs/benchmarks.md.

A night of the day before `--from` makes a release; then each day up to `--to` is played to the real
predict server as live traffic, its partitions land, and a night's load brings the online store into
agreement with them. At the end the skew ledger compares every request that was served with what
training sees of it.

    python bench/served_auc.py [--data ../shared/data/jd --from 2016-03-20 --to 2016-04-07]
        [--live stream|after|nightly]

`--live stream` is the pipeline as it is. `after` posts the events of a request's own instant after
it; `nightly` streams nothing and inserts no request. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from laptop.data.cli import lay_out, make_tables  # noqa: E402
from laptop.data.generate import Spec  # noqa: E402
from nightshift import commands, files, layout  # noqa: E402
from nightshift.live.log import RequestLog  # noqa: E402
from nightshift.live.skew import run as skew  # noqa: E402
from nightshift.live.skew.text import as_text  # noqa: E402
from nightshift.live.stream import play, timeline  # noqa: E402
from nightshift.pipeline import Pipeline  # noqa: E402
from nightshift.release import steps  # noqa: E402
from testing.house import House  # noqa: E402
from testing.serving import wait_until  # noqa: E402

LIVE: dict[str, dict[str, Any]] = {
    "stream": {},
    "after": {"same_instant": "after"},
    "nightly": {"same_instant": "after", "insert_requests": False},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the JD tutorial's files; else made tables")
    parser.add_argument("--from", dest="first", type=dt.date.fromisoformat)
    parser.add_argument("--to", dest="last", type=dt.date.fromisoformat)
    parser.add_argument("--rows-per-day", type=int, default=800)
    parser.add_argument("--epochs", type=int, help="default: as the pipeline has it")
    parser.add_argument("--held-out", type=int, default=7, help="days that the night holds out")
    parser.add_argument("--live", choices=sorted(LIVE), default="stream")
    options = parser.parse_args()
    first = options.first or dt.date(2026, 11, 13)
    last = options.last or dt.date(2026, 11, 19)
    with tempfile.TemporaryDirectory(prefix="served-auc-") as name:
        found = measured(Path(name), options, first, last)
    print(json.dumps(found))
    return 0 if found["status"] == "explained" else 1


def measured(folder: Path, options: argparse.Namespace, first: dt.date, last: dt.date) -> Any:
    """The figures of a house of its own."""
    pipelines = folder / "pipelines"
    shutil.copytree(ROOT / "pipelines", pipelines)
    shutil.copytree(ROOT / "include", folder / "include")
    house = House.build(folder / "home", pipelines=pipelines)
    live = house.pipeline.config.live.model_copy(update=LIVE[options.live])
    if options.live != "stream":
        config = pipelines / "jd" / "pipeline.yaml"
        text = config.read_text().replace("same_instant: before", "same_instant: after")
        if not live.insert_requests:
            text = text.replace("insert_requests: true", "insert_requests: false")
        config.write_text(text)
        house.pipeline = Pipeline.load(house.settings)
    whole = Pipeline.load(dataclasses.replace(house.settings, data=folder / "whole"))
    if options.data is not None:
        lay_out(whole.data, options.data.resolve())
    else:
        spec = Spec(rows_per_day=options.rows_per_day)
        make_tables(whole.data, spec, last, 40)
    days = layout.days_back(last, (last - first).days + 1)
    night = first - dt.timedelta(days=1)
    for table in whole.features.tables.names:
        source = whole.data / table
        for path in sorted(source.iterdir()):
            if not path.name.startswith("ds=") or path.name[3:] <= night.isoformat():
                land(path, house.pipeline.data / table / path.name)
    house.up()
    try:
        held_out = release(house, night, options)
        asked = 0
        for day in days:
            tables = whole.features.tables
            moments = timeline(whole, day)
            if options.live == "nightly":
                moments = [one for one in moments if one.request]
            asked += play(whole, moments, speed=0).requests
            wait_until(partial(_logged, house.pipeline, asked), "the log has every request", 60)
            time.sleep(0.5)  # the last request's row is on its way
            for table in tables.events:
                place = layout.partition(whole.data, table, day)
                if place.is_dir():
                    land(place, house.pipeline.data / table / place.name)
            house.load_online(house.plan(f"{day}"))
        found = skew.observe(house.pipeline, first, last)
        print(as_text(found), file=sys.stderr)
    finally:
        house.down()
    (one,) = found["releases"]
    return {
        "live": options.live,
        "days": [f"{first}", f"{last}"],
        "held_out": held_out,
        **{name: found[name] for name in ("status", "requests", "compared", "rows_differing",
                                          "values_differing", "not_reproduced", "unexplained")},
        "causes": {f"{c['cause']}: {c['table']}": [c["rows"], c["values"]] for c in one["causes"]},
        "price": one["price"],
    }  # fmt: skip


def _logged(pipeline: Pipeline, rows: int) -> bool:
    return bool(RequestLog.of(pipeline).read(columns=["receipt"]).num_rows >= rows)


def land(source: Path, target: Path) -> None:
    """Copy a partition, whole or not at all."""
    if source.is_dir():
        with files.staged_dir(target, replace=True) as staged:
            shutil.copytree(source, staged, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def release(house: House, night: dt.date, options: argparse.Namespace) -> Any:
    """Make a release of a date by the shipped settings; its figures on the held-out days."""
    own = commands.Overrides(
        epochs=options.epochs,
        label_settle_days=3,
        test_days=options.held_out,
        valid_days=3,
        hyperparameters={"threads": 1},
    )
    there = sorted((house.pipeline.data / "flattenRequest").glob("ds=*"))
    plan = house.plan(f"{night}", train_days=len(there))
    steps.begin(house.of(plan))
    house.features(plan)
    house.task(plan, "preprocess", commands.preprocess_arguments(house.of(plan), own))
    steps.gate(house.of(plan), "data")
    house.task(plan, "train", commands.train_arguments(house.of(plan), own))
    made = str(house.candidate(plan)["release_id"])
    house.load_online(plan)
    quality = steps.gate(house.of(plan), "quality", made)
    for name in ("rehearsal", "consistency"):
        steps.gate(house.of(plan), name, made)
    steps.accept(house.of(plan), made)
    steps.switch_over(house.of(plan), made, promote="force", actor="bench")
    house.end(plan, made)
    return {
        **{name: quality["challenger"][name] for name in ("rows", "positives", "auc")},
        "auc_interval": quality["curves"]["intervals"]["auc"],
    }


if __name__ == "__main__":
    sys.exit(main())
