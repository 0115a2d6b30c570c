"""The predict server with and without its request log, or shadow, in turns, between the same servers.

    .venv/bin/python bench/request_log.py --seconds 5 --turns 6 [--shadow]

Builds a house of its own (tables, a night, real OpenMLDB and Triton), starts a second predict
server whose pipeline has the log off, and asks both with the same load generator
(`../shared/bench/predict_load.py`), one after the other, the order changing from turn to turn. With
`--shadow` there are two nights, both servers keep the log, and on the first one the release before
scores in shadow by the default share and rate, on the second one none.

Prints a line of JSON a run, then the medians of each side: p50, p99, requests/s, and milliseconds of
processor time a request of the predict server and its workers, which a busy machine changes least.
Then how many rows the log took and lost.
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
DS, BEFORE = "2026-11-19", "2026-11-18"

ON = {"log": "log: {enabled: true}", "shadow": "shadow: {hours: 24}"}
OFF = {"log": "log: {enabled: false}", "shadow": "shadow: {hours: 24, share: 1.0e-9}"}
"""By what is measured, the setting of the first server and of the second one."""


def with_setting(folder: Path, setting: str) -> Path:
    """A copy of the pipelines with a line more in the part `live` of the default one."""
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    shutil.copytree(ROOT / "include", folder / "include")
    config = folder / "pipelines" / "jd" / "pipeline.yaml"
    config.write_text(config.read_text().replace("\nlive:", f"\nlive:\n  {setting}"))
    return folder / "pipelines"


def without(house: House, folder: Path, what: str) -> tuple[Process, int]:
    """A second predict server of the same installation, without the log or the shadow."""
    pipelines = with_setting(folder, OFF[what])
    (port,) = free_ports(1)
    settings = dataclasses.replace(house.settings, predict_port=port, pipelines=pipelines)
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-P", "-m", "predict_server"]
    server = Process(Launch(argv, base_env(settings), ROOT), folder / "predict.log")
    health = f"{settings.predict_url}/health"
    wait_until(lambda: server.answers(health), "the second server answers", 120)
    return server, port


Side = tuple[Process, int]
"""A predict server and its port."""


def run(side: Side, file: Path, clients: int, seconds: float) -> dict[str, Any]:
    """One run of the load generator."""
    server, port = side
    before = server.cpu_s()
    argv = [sys.executable, str(LOAD), str(port), "/predict", str(file), str(clients)]
    done = subprocess.run([*argv, str(seconds)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    # Its clients ask for a second before they count.
    answered = max(found["req_s"] * (seconds + 1.0), 1.0)
    found["cpu_ms"] = round((server.cpu_s() - before) * 1000 / answered, 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--shadow", action="store_true", help="the shadow instead of the log")
    options = parser.parse_args()
    what = "shadow" if options.shadow else "log"
    if not LOAD.is_file():
        sys.exit(f"{LOAD} is not there; it makes the load")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        house = House.build(folder / "home", pipelines=with_setting(folder / "first", ON[what]))
        house.generate(16, 300, DS)
        second = None
        try:
            house.up()
            for ds in (BEFORE, DS) if options.shadow else (DS,):
                house.night(ds, promote="force")
            second, other = without(house, folder / "second", what)
            schema = httpx.get(f"{house.settings.predict_url}/schema", trust_env=False).json()
            names = [column["name"] for column in schema["request"]]
            rows = [
                dict(zip(names, row, strict=True))
                for row in request_rows(house.pipeline, names, 300)
            ]
            file = folder / "single.json"
            file.write_text(json.dumps(rows))
            sides: dict[str, Side] = {
                what: (house.processes["predict"], house.settings.predict_port),
                f"no {what}": (second, other),
            }
            made: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
            for one in sides.values():
                run(one, file, options.clients, 1.0)
            for turn in range(options.turns):
                for side in sorted(sides, reverse=bool(turn % 2)):
                    found = run(sides[side], file, options.clients, options.seconds)
                    made[side].append(found)
                    print(side, json.dumps(found), flush=True)
            report(made, what)
            text = httpx.get(f"{house.settings.predict_url}/metrics", trust_env=False).text
            print(
                "\n".join(
                    line
                    for line in text.splitlines()
                    if ("predict_log_" in line or "shadow_rows_total" in line) and "#" not in line
                )
            )
            if options.shadow:
                return  # both servers write to one log
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


def report(made: dict[str, list[dict[str, Any]]], what: str) -> None:
    """Medians of each side, and their ratio."""
    keys = [key for key, value in made[what][0].items() if isinstance(value, (int, float))]
    for key in keys:
        sides = {side: statistics.median(run[key] for run in runs) for side, runs in made.items()}
        on, off = sides[what], sides[f"no {what}"]
        ratio = on / off if off else float("nan")
        print(f"{key}: {what} {on:g}, no {what} {off:g}, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
