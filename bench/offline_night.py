"""One night of a pipeline of another domain by each offline engine: the same release?

Ad clicks are made as parquet, `./nightshift new --yes` proposes a pipeline from them, `./nightshift
data load` takes them in, and two installations train, judge and release it, the first with the
embedded engine, the second with OpenMLDB's batch engine on Spark. Compared are the datasets and their ids, the model's parameters,
the held-out scores and what the predict server answers. The exit code is 1 where anything differs.

    .venv/bin/python bench/offline_night.py [--rows 300]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nightshift.layout import RunFolder  # noqa: E402
from nightshift.plan import Plan  # noqa: E402
from nightshift.release import steps  # noqa: E402
from nightshift.serving import probe  # noqa: E402
from testing import adclicks  # noqa: E402
from testing.house import House  # noqa: E402

NAME = "ads"
ASKED = 50
DURATIONS = (
    "model/metrics.jsonl",
    "model/model_card.json",
    "model/training.html",
    "results/score.json",
)
"""Files that hold how long something took, and are not compared."""


def propose(folder: Path, rows: int) -> None:
    """A pipeline from parquet files and its source tables, by the commands of the README."""
    adclicks.write(folder / "export", rows)
    (folder / "pipelines").mkdir()
    variables = {
        "NIGHTSHIFT_PROJECT": str(folder),  # has no dags/ that a file would be left in
        "NIGHTSHIFT_HOME": str(folder / "home"),
        "NIGHTSHIFT_DATA": str(folder / "data"),
        "NIGHTSHIFT_PIPELINES": str(folder / "pipelines"),
    }
    for command in (
        ("new", NAME, "--from", str(folder / "export"), "--yes"),
        ("data", "load", "--pipeline", NAME, "--from", str(folder / "export")),
    ):
        subprocess.run(
            [sys.executable, "-P", "-m", "cli", *command],
            env={**os.environ, **variables, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            check=True,
        )


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
    parser.add_argument("--rows", type=int, default=300, help="impressions a day")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="offline-night-"))
    try:
        propose(folder, given.rows)
        ds = adclicks.LAST.isoformat()
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
