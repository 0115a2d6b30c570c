"""Seconds that Airflow's DAG processor needs to read each DAG file.

    .venv/bin/python bench/dag_parse.py

The peer, read in the same process, is a DAG of two of Airflow's own BashOperators: what any DAG
costs. Each file is parsed `--repeat` times by Airflow's own DagBag; shown are medians, and the
first time, which also pays for imports that later files find done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightshift-parse-") as folder:
        home = Path(folder)
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        with contextlib.redirect_stdout(sys.stderr):
            from airflow.dag_processing.dagbag import BundleDagBag
            from airflow.utils.db import initdb

            initdb()

        (home / "peer.py").write_text(PEER)
        # The peer is first, so that Airflow's own imports are not laid to our files.
        files = [home / "peer.py", *sorted((ROOT / "dags").glob("*.py"))]
        found: dict[str, dict[str, float]] = {}
        for path in files:
            sys.path.insert(0, str(path.parent))
            took = []
            for _ in range(options.repeat):
                begun = time.perf_counter()
                bag = BundleDagBag(path, bundle_path=path.parent, bundle_name="bench")
                took.append(time.perf_counter() - begun)
                assert not bag.import_errors, bag.import_errors
            found[path.stem] = {
                "first_s": round(took[0], 3),
                "median_s": round(statistics.median(took), 3),
            }
        peer = found["peer"]["median_s"]
        for figures in found.values():
            figures["of_peer"] = round(figures["median_s"] / peer, 1)
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
