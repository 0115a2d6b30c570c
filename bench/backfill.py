"""A backfill over past dates, through Airflow: seconds and bytes a date, and what it left alone.

    .venv/bin/python bench/backfill.py --dates 30

Starts the laptop's services in a temporary home (ports of its own), makes generated tables, lets
the newest date go live, backfills the dates before it with `airflow backfill create`, and runs
one of them once more. Shown are seconds and bytes a date, the peer being the night by hand of the
same home; and whether the live release is what it was, whether every date has a version of its
own, and whether the second run of a date gave the same features and ids, byte for byte. A run that
failed is told with the end of its log.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cli import night  # noqa: E402
from cli.airflow_api import AirflowApi  # noqa: E402
from nightshift.pipeline import Pipeline  # noqa: E402
from nightshift.registry.pointer import read_live  # noqa: E402
from nightshift.settings import Settings  # noqa: E402
from testing.serving import free_ports  # noqa: E402

LAST = dt.date(2026, 3, 31)


def environment(home: Path) -> dict[str, str]:
    names = ("OPENMLDB", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "PREDICT", "AIRFLOW")
    free = zip(names, free_ports(len(names)), strict=True)
    ports = {f"NIGHTSHIFT_{name}_PORT": str(port) for name, port in free}
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("NIGHTSHIFT_", "AIRFLOW"))}
    keep = {"NIGHTSHIFT_SCHEDULES": "on", "NIGHTSHIFT_START_TIMEOUT_S": "600"}
    return {**outer, "NIGHTSHIFT_HOME": str(home), **keep, **ports}


def nightshift(env: dict[str, str], *arguments: str) -> None:
    print("$ ./nightshift", *arguments, flush=True)
    subprocess.run([sys.executable, str(ROOT / "nightshift"), *arguments], env=env, check=True)


def backfilled(api: AirflowApi, dag_id: str) -> list[dict[str, object]]:
    runs = api.request("GET", f"/dags/{dag_id}/dagRuns?run_type=backfill&limit=100")["dag_runs"]
    return list(runs)


def seconds(run: dict[str, object]) -> float:
    start, end = (dt.datetime.fromisoformat(str(run[key])) for key in ("start_date", "end_date"))
    return (end - start).total_seconds()


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def content(folder: Path) -> str:
    """Hash of the rows of a folder's parquet files, file by file."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.parquet")):
        digest.update(json.dumps(pq.read_table(path).to_pydict(), default=str).encode())
    return digest.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=30)
    parser.add_argument("--rows-per-day", type=int, default=800)
    options = parser.parse_args()
    first = LAST - dt.timedelta(days=options.dates)
    with tempfile.TemporaryDirectory(prefix="nightshift-backfill-") as folder:
        env = environment(Path(folder))
        settings = Settings.from_env(env)
        pipeline = Pipeline.load(settings)
        days = pipeline.config.train_days + 15 + options.dates
        try:
            nightshift(
                env,
                *("data", "generate", "--end", LAST.isoformat(), "--days", str(days)),
                *("--rows-per-day", str(options.rows_per_day)),
            )
            nightshift(env, "up")
            begun = time.monotonic()
            nightshift(env, "run", "--ds", LAST.isoformat())
            by_hand = time.monotonic() - begun
            live = read_live(pipeline.releases)
            nightshift(env, "airflow", "dags", "unpause", f"retrain_{pipeline.name}")
            nightshift(
                env,
                *("airflow", "backfill", "create", "--dag-id", f"retrain_{pipeline.name}"),
                *("--from-date", first.isoformat()),
                *("--to-date", f"{LAST - dt.timedelta(days=1)}T23:59", "--max-active-runs", "1"),
            )
            api = AirflowApi(settings)
            while True:
                runs = backfilled(api, f"retrain_{pipeline.name}")
                if len(runs) == options.dates and all(
                    run["state"] in ("success", "failed") for run in runs
                ):
                    break
                time.sleep(5)
            for run in runs:
                if run["state"] != "success":
                    night.explain(settings, f"retrain_{pipeline.name}", str(run["dag_run_id"]))
            nightshift(env, "releases")
            after = read_live(pipeline.releases)
            date = first.isoformat()
            (once,) = (pipeline.runs / date).iterdir()
            nightshift(env, "run", "--ds", date)
            (again,) = set((pipeline.runs / date).iterdir()) - {once}
            states = [str(run["state"]) for run in runs]
            took = [seconds(run) for run in runs]
            versions = {int(p.name) for p in (pipeline.model_repo / pipeline.model).glob("2*")}
            assert live is not None and after is not None
            print(
                json.dumps(
                    {
                        "dates": options.dates,
                        "succeeded": states.count("success"),
                        "seconds_a_date_median": round(statistics.median(took), 1),
                        "seconds_a_date_worst": round(max(took), 1),
                        "of_a_night_by_hand": round(statistics.median(took) / by_hand, 2),
                        "bytes_a_date": size(once),
                        "versions": len(versions),
                        "live_unchanged": live.release_id == after.release_id,
                        "same_features": content(once / "features") == content(again / "features"),
                        "same_ids": content(once / "dataset") == content(again / "dataset"),
                    },
                    indent=2,
                )
            )
        finally:
            nightshift(env, "down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
