"""Seconds that Airflow's DAG processor needs to read DAG files.

    .venv/bin/python bench/dag_parse.py [--pipelines 20]

The peer, read in the same process, is a DAG of two of Airflow's own BashOperators: what any DAG
costs. Each file is parsed `--repeat` times by Airflow's own DagBag; shown are medians, and the
first time, which also pays for imports that later files find done. Then so many copies of the
pipeline jd are parsed one after another, as the processor does in each of its rounds: seconds of
wall time and of processor time, which other programs on the machine do not stretch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PEER = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("peer", schedule=None):
    BashOperator(task_id="a", bash_command="true") >> BashOperator(task_id="b", bash_command="true")
"""


def parse(path: Path) -> tuple[float, float]:
    """Seconds of wall time and of processor time for one file, which must have no error."""
    from airflow.dag_processing.dagbag import BundleDagBag

    wall, cpu = time.perf_counter(), time.process_time()
    bag = BundleDagBag(path, bundle_path=path.parent, bundle_name="bench")
    took = time.perf_counter() - wall, time.process_time() - cpu
    assert not bag.import_errors, bag.import_errors
    assert bag.dags, f"no DAG in {path}"
    return took


def by_file(files: list[Path], repeat: int) -> dict[str, dict[str, float]]:
    """First and median time of each file; the first file is the peer."""
    found: dict[str, dict[str, float]] = {}
    for path in files:
        took = [parse(path)[0] for _ in range(repeat)]
        found[path.stem] = {
            "first_s": round(took[0], 3),
            "median_s": round(statistics.median(took), 3),
        }
    peer = found[files[0].stem]["median_s"]
    for figures in found.values():
        figures["of_peer"] = round(figures["median_s"] / peer, 1)
    return found


def copies(home: Path, count: int) -> list[Path]:
    """DAG files of so many copies of the pipeline jd, which `NIGHTSHIFT_PIPELINES` then names."""
    (home / "include").symlink_to(ROOT / "include")
    (home / "dags").mkdir()
    for number in range(count):
        name = f"copy{number}"
        shutil.copytree(ROOT / "pipelines" / "jd", home / "pipelines" / name)
        text = (ROOT / "dags" / "jd.py").read_text().replace('"jd"', f'"{name}"')
        (home / "dags" / f"{name}.py").write_text(text)
    os.environ["NIGHTSHIFT_PIPELINES"] = str(home / "pipelines")
    return sorted((home / "dags").glob("*.py"))


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--pipelines", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightshift-parse-") as folder:
        home = Path(folder)
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "NIGHTSHIFT_HOME": folder,
        }
        with contextlib.redirect_stdout(sys.stderr):
            from airflow.utils.db import initdb

            initdb()
        (home / "peer.py").write_text(PEER)
        # The peer is first, so that Airflow's own imports are not laid to our files.
        found = {
            "files": by_file([home / "peer.py", *sorted((ROOT / "dags").glob("*.py"))],
                             options.repeat),
        }  # fmt: skip
        rounds = []
        files = copies(home, options.pipelines)
        for _ in range(3):
            took = [parse(path) for path in files]
            rounds.append([sum(part) for part in zip(*took, strict=True)])
    wall, cpu = min(rounds)
    together = {"pipelines": len(files), "wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}
    print(json.dumps({**found, "together": together}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
