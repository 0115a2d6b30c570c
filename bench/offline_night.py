"""One night of a pipeline of another domain by each offline engine: the same release?

Ad clicks are made as parquet, `./nightshift new`'s own code proposes a pipeline from them, and two
installations train, judge and release it, the first with the embedded engine, the second with
OpenMLDB's batch engine on Spark. Compared are the datasets and their ids, the model's parameters,
the held-out scores and what the predict server answers. The exit code is 1 where anything differs.

    .venv/bin/python bench/offline_night.py [--days 16] [--rows 300]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nightshift.layout import RunFolder  # noqa: E402
from nightshift.plan import Plan  # noqa: E402
from nightshift.release import steps  # noqa: E402
from nightshift.scaffold import roles as deciding  # noqa: E402
from nightshift.scaffold import survey as looking  # noqa: E402
from nightshift.scaffold import write as writing  # noqa: E402
from nightshift.serving import probe  # noqa: E402
from testing.house import House  # noqa: E402

FIRST = np.datetime64("2026-05-01")
NAME = "ads"
ASKED = 50
DURATIONS = (
    "model/metrics.jsonl",
    "model/model_card.json",
    "model/training.html",
    "results/score.json",
)
"""Files that hold how long something took, and are not compared."""


def lay_out(folder: Path, days: int, rows: int) -> str:
    """Impressions, clicks and campaigns, clicks depending on all three; the last date."""
    rng = np.random.default_rng(3)
    n = days * rows
    times = FIRST.astype("datetime64[ms]") + np.repeat(np.arange(days), rows) * np.timedelta64(
        86_400_000, "ms"
    )
    times = times + (3_600_000 + rng.permutation(n) * (36_000_000 // n)).astype("timedelta64[ms]")
    campaign = rng.integers(0, 30, n)
    mobile = rng.random(n) < 0.5
    bid = rng.random(n)
    shown = pa.table(
        {
            "impression_id": pa.array(np.arange(n) + (1 << 40), pa.int64()),
            "shown_at": pa.array(times, pa.timestamp("ms")),
            "user_id": pa.array(rng.integers(0, 90, n) + (1 << 35), pa.int64()),
            "campaign_id": pa.array(campaign, pa.int64()),
            "bid": pa.array(bid, pa.float64(), mask=rng.random(n) < 0.1),
            "is_mobile": pa.array(mobile),
            "city": pa.array([("Zürich", "北京", "O'Fallon", None)[i % 4] for i in range(n)]),
        }
    )
    chance = 0.03 + 0.35 * (campaign % 5 == 0) + 0.15 * mobile + 0.1 * bid
    clicked = shown.filter(pa.array(rng.random(n) < chance))
    clicks = pa.table(
        {"impression_id": clicked["impression_id"], "clicked_at": clicked["shown_at"]}
    )
    for name, table, column in (
        ("impressions", shown, "shown_at"),
        ("clicks", clicks, "clicked_at"),
    ):
        dates = np.array(table[column].to_numpy(), "datetime64[D]")
        for day in np.unique(dates):
            part = folder / name / f"ds={day}"
            part.mkdir(parents=True)
            pq.write_table(table.filter(pa.array(dates == day)), part / "part-0.parquet")
    (folder / "campaigns").mkdir()
    campaigns = pa.table(
        {
            "campaign_id": pa.array(range(30), pa.int64()),
            "budget": pa.array([None if i % 7 == 0 else i * 1.5 for i in range(30)]),
            "theme": pa.array([("naïve", "スポーツ", None)[i % 3] for i in range(30)]),
        }
    )
    pq.write_table(campaigns, folder / "campaigns" / "part-0.parquet")
    return str(FIRST + np.timedelta64(days - 1, "D"))


@dataclass
class Made:
    """What a night left.

    Attributes:
        release: The live release, and the model's parameters and metrics as its manifest has them.
        files: SHA-256 by name, of datasets, models and scores.
        answers: The predict server's.
        seconds: The night, with the servers up.
    """

    release: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)
    seconds: float = 0.0


def _more_gates(house: House, plan: Plan, release: str) -> None:
    """The gates that the pipeline runs beside those of every house."""
    for name in house.pipeline.config.gates_run:
        if name not in ("data", "quality", "rehearsal", "consistency"):
            steps.gate(house.of(plan), name, release)


def night(folder: Path, engine: str, ds: str) -> Made:
    """A whole night with one engine."""
    changes: dict[str, Any] = {
        "pipelines": folder / "pipelines",
        "pipeline": NAME,
        "data": folder / "data",
        "offline_engine": engine,
    }
    if engine == "spark":
        changes["spark_master"] = "local[2]"
    house = House.build(folder / engine, **changes)
    made = Made()
    try:
        house.up()
        began = time.monotonic()
        done = house.night(ds, before_gates=lambda plan, release: _more_gates(house, plan, release))
        made.seconds = time.monotonic() - began
        assert done["switched"], done
        plan = house.plan(ds)
        run = RunFolder(Path(plan["run_dir"]))
        for path in sorted(p for p in run.root.rglob("*") if p.is_file()):
            name = path.relative_to(run.root).as_posix()
            if name.startswith(("dataset/", "model/")) or "score" in name:
                made.files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        release = house.of(plan).folder(str(done["release_id"]))
        manifest = json.loads((Path(release.root) / "manifest.json").read_text())
        made.release = {name: manifest[name] for name in ("ds", "metrics", "signature")}
        columns = pq.read_schema(
            folder / "data" / NAME / "impressions" / f"ds={ds}" / "part-0.parquet"
        ).names
        rows = house.of(plan).requests(ASKED)(columns)
        made.answers = probe.answers_by(
            house.settings.predict_url,
            NAME,
            str(done["release_id"]),
            [dict(zip(columns, row, strict=True)) for row in rows],
        )["predictions"]
    finally:
        house.down()
    return made


def differences(one: Made, other: Made) -> list[str]:
    """What differs: files by name, then the manifest's entries and the answers."""
    found = [
        name
        for name in sorted(one.files.keys() | other.files.keys())
        if name not in DURATIONS and one.files.get(name) != other.files.get(name)
    ]
    found += [
        f"manifest: {name}" for name in one.release if one.release[name] != other.release[name]
    ]
    return found + (["answers of the predict server"] if one.answers != other.answers else [])


def main() -> int:
    """Run both nights and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=16)
    parser.add_argument("--rows", type=int, default=300, help="impressions a day")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="offline-night-"))
    try:
        ds = lay_out(folder / "data" / NAME, given.days, given.rows)
        (folder / "pipelines").mkdir()
        roles = deciding.decide(
            looking.survey(folder / "data" / NAME), requests="impressions", labels="clicks"
        )
        texts = writing.contents(NAME, roles, writing.window_of(roles, 1), given.rows)
        target = folder / "pipelines" / NAME
        target.mkdir()
        for name, text in texts.items():
            (target / name).write_text(text)
        made = {engine: night(folder, engine, ds) for engine in ("embedded", "spark")}
        for engine, found in made.items():
            print(f"{engine}: {found.seconds:.0f} s, {len(found.files)} files, {found.release}")
        one, other = made["embedded"], made["spark"]
        print(f"{len(one.answers)} answers, the first: {one.answers[0]}")
        wrong = differences(one, other)
        print("equal in everything" if not wrong else f"differ: {wrong}")
        return 1 if wrong else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
