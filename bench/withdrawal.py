"""How often, and how soon, a release is withdrawn: simulated lives, judged as the monitor judges.

PYTHONPATH=. .venv/bin/python bench/withdrawal.py [--runs 1000] [--positives 1000]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from testing.simulated import life

CASES: Mapping[str, dict[str, Any]] = {
    "A/A, like the old one": {"noise": 0.25},
    "A/A, less alike": {"noise": 0.5},
    "0.01 AUC lost": {"loss": 0.01, "noise": 0.0},
    "0.02 AUC lost": {"loss": 0.02, "noise": 0.0},
    "0.02 AUC lost, less alike": {"loss": 0.02, "noise": 0.25},
    "0.02 AUC lost by wrong features": {"loss": 0.02, "noise": 0.0, "recalibrated": False},
    "0.03 AUC lost": {"loss": 0.03, "noise": 0.0},
    "all features constant": {"constant": 12, "positives": 50},
    "one feature constant": {"constant": 1, "positives": 50},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="lives of a release in each case")
    parser.add_argument("--positives", type=int, default=1000, help="of one life")
    parser.add_argument("--every", type=int, default=500, help="requests between two looks")
    given = parser.parse_args()
    print(
        f"{'case':34}  withdrawn  within 500 positives  median positives  "
        "within 1,000 requests  latest request"
    )
    for name, case in CASES.items():
        options = {"positives": given.positives, "every": given.every, **case}
        ends = [life(seed, **options) for seed in range(given.runs)]
        gone = [end for end in ends if end.reason]
        positives = np.array([end.positives if end.reason else np.inf for end in ends])
        requests = np.array([end.requests if end.reason else np.inf for end in ends])
        median = np.median(positives)
        print(
            f"{name:34}  {len(gone) / len(ends):9.1%}  {(positives <= 500).mean():20.1%}  "
            f"{median if np.isfinite(median) else '-'!s:>16}  "
            f"{(requests <= 1000).mean():21.1%}  "
            f"{max((end.requests for end in gone), default='-')!s:>14}",
            flush=True,
        )


if __name__ == "__main__":
    main()
