"""The predict server with and without its request log, in turns, between the same servers.

    .venv/bin/python bench/request_log.py --seconds 5 --turns 6

Builds a house of its own (tables, one night, real OpenMLDB and Triton), starts a second predict
server whose pipeline has the log off, and asks both with the same load generator
(`../shared/bench/predict_load.py`), one after the other, the order changing from turn to turn.
Prints a line of JSON a run, then the medians of p50, p99 and requests/s of each side, and how many
rows the log took and lost.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from laptop.services.launch import Launch, base_env
from nightshift.live.log import RequestLog
from nightshift.serving.pair import request_rows
from testing.house import House
from testing.serving import ROOT, Process, free_ports, wait_until

LOAD = Path(__file__).resolve().parents[2] / "shared" / "bench" / "predict_load.py"
DS = "2026-11-19"


def without_log(house: House, folder: Path) -> tuple[Process, int]:
    """A second predict server of the same installation, whose pipelines keep no log."""
    shutil.copytree(house.settings.pipelines, folder / "pipelines")
    shutil.copytree(house.settings.include, folder / "include")
    config = folder / "pipelines" / "jd" / "pipeline.yaml"
    config.write_text(config.read_text().replace("\nlive:", "\nlive:\n  log: {enabled: false}"))
    (port,) = free_ports(1)
    settings = dataclasses.replace(
        house.settings, predict_port=port, pipelines=folder / "pipelines"
    )
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-P", "-m", "predict_server"]
    server = Process(Launch(argv, base_env(settings), ROOT), folder / "predict.log")

    def up() -> bool:
        server.check()
        try:
            return httpx.get(f"{settings.predict_url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(up, "the server without a log answers", 120)
    return server, port


def run(port: int, file: Path, clients: int, seconds: float) -> dict[str, Any]:
    """One run of the load generator."""
    argv = [sys.executable, str(LOAD), str(port), "/predict", str(file), str(clients)]
    done = subprocess.run([*argv, str(seconds)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=6)
    options = parser.parse_args()
    if not LOAD.is_file():
        sys.exit(f"{LOAD} is not there; it makes the load")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        house = House.build(folder / "home")
        house.generate(16, 300, DS)
        second = None
        try:
            house.up()
            house.night(DS)
            second, other = without_log(house, folder)
            schema = httpx.get(f"{house.settings.predict_url}/schema", trust_env=False).json()
            names = [column["name"] for column in schema["request"]]
            rows = [
                dict(zip(names, row, strict=True))
                for row in request_rows(house.pipeline, names, 300)
            ]
            file = folder / "single.json"
            file.write_text(json.dumps(rows))
            sides = {"log": house.settings.predict_port, "no log": other}
            made: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
            for port in sides.values():
                run(port, file, options.clients, 1.0)
            for turn in range(options.turns):
                for side in sorted(sides, reverse=bool(turn % 2)):
                    found = run(sides[side], file, options.clients, options.seconds)
                    made[side].append(found)
                    print(side, json.dumps(found), flush=True)
            report(made)
            text = httpx.get(f"{house.settings.predict_url}/metrics", trust_env=False).text
            print(
                "\n".join(
                    line for line in text.splitlines() if "predict_log_" in line and "#" not in line
                )
            )
            log, counted = RequestLog.of(house.pipeline), counted_rows(text, house.pipeline.name)
            # The last answers' rows are still on their way; a lost one is an error here.
            wait_until(lambda: log.read().num_rows == counted, "all rows are in the log", 60)
            print("rows in the log:", counted)
        finally:
            if second is not None:
                second.stop()
            house.down()


def counted_rows(metrics: str, pipeline: str) -> int:
    """Rows that the server took for the log, by its metrics."""
    name = f'nightshift_predict_log_rows_total{{pipeline="{pipeline}"}} '
    (value,) = [line[len(name) :] for line in metrics.splitlines() if line.startswith(name)]
    return int(float(value))


def report(made: dict[str, list[dict[str, Any]]]) -> None:
    """Medians of each side, and their ratio."""
    keys = [key for key, value in made["log"][0].items() if isinstance(value, (int, float))]
    for key in keys:
        sides = {side: statistics.median(run[key] for run in runs) for side, runs in made.items()}
        ratio = sides["log"] / sides["no log"] if sides["no log"] else float("nan")
        print(f"{key}: log {sides['log']:g}, no log {sides['no log']:g}, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
