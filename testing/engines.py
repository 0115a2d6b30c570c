"""One pipeline of another domain by each offline engine: what a night of each leaves."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nightshift.layout import RunFolder
from nightshift.plan import Plan
from nightshift.release import steps
from nightshift.serving import pair, probe
from testing import adclicks
from testing.house import ROOT, House

NAME = "ads"
DS = adclicks.LAST.isoformat()
"""The night that is run."""
DURATIONS = (
    "model/metrics.jsonl",
    "model/model_card.json",
    "model/training.html",
    "results/score.json",
)
"""Files that hold how long something took, and are not compared."""

SMALL = {
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
}
"""Settings of Spark for a few thousand rows: what compiles plans takes longer than they do."""


def propose(folder: Path, rows: int) -> None:
    """A pipeline from parquet files of ad clicks and its source tables, by the README's commands.

    Args:
        folder: Where `pipelines/` and `data/` are made.
        rows: Impressions a day.
    """
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


def house(folder: Path, engine: str) -> House:
    """An installation of the proposed pipeline with one offline engine."""
    changes: dict[str, Any] = {
        "pipelines": folder / "pipelines",
        "pipeline": NAME,
        "data": folder / "data",
        "offline_engine": engine,
    }
    if engine == "spark":
        properties = folder / "taskmanager.properties"
        properties.write_text("\n".join(f"{name}={value}" for name, value in SMALL.items()))
        changes["spark_master"] = "local[2]"
        changes["taskmanager_properties"] = str(properties)
    return House.build(folder / engine, **changes)


def judged(house: House) -> Plan:
    """A night up to its candidate's scores, for which OpenMLDB alone has to run."""
    plan = house.plan(DS)
    house.features(plan)
    house.preprocess(plan)
    steps.gate(house.of(plan), "data")
    house.train(plan)
    house.candidate(plan)
    return plan


def night(house: House) -> str:
    """A whole night with all gates of the pipeline; its live release."""

    def more_gates(plan: Plan, release: str) -> None:
        for name in house.pipeline.config.gates_run:
            if name not in ("data", "quality", "rehearsal", "consistency"):
                steps.gate(house.of(plan), name, release)

    done = house.night(DS, before_gates=more_gates)
    assert done["switched"], done
    return str(done["release_id"])


def artefacts(house: House) -> dict[str, str]:
    """SHA-256 by name of a run's dataset, model and scores, but for files that hold durations."""
    run = RunFolder(Path(house.plan(DS)["run_dir"]))
    found = {}
    for path in sorted(p for p in run.root.rglob("*") if p.is_file()):
        name = path.relative_to(run.root).as_posix()
        wanted = name.startswith(("dataset/", "model/")) or "score" in name
        if wanted and name not in DURATIONS:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def manifest(house: House, release: str) -> dict[str, Any]:
    """What a release's manifest says of its features, its model and how good it is."""
    made = house.pipeline.store.folder(release).manifest()
    features = None if made.features is None else vars(made.features)
    return {"metrics": made.metrics, "signature": made.signature, "features": features}


def answers(house: House, release: str, count: int) -> list[dict[str, Any]]:
    """What the predict server answers to requests of the night's day."""
    file = house.settings.data / NAME / "impressions" / f"ds={DS}" / "part-0.parquet"
    columns = pq.read_schema(file).names
    rows = pair.request_rows(house.pipeline, columns, count, until=DS)
    found: list[dict[str, Any]] = probe.answers_by(
        house.settings.predict_url,
        NAME,
        release,
        [dict(zip(columns, row, strict=True)) for row in rows],
    )["predictions"]
    return found
