"""How often, and how soon, the sequential test withdraws a release: simulated lives.

PYTHONPATH=. .venv/bin/python bench/withdrawal.py [--runs 1000] [--positives 1000]
"""

from __future__ import annotations

import argparse

import numpy as np

from nightshift.monitoring import sequential
from testing.simulated import ends, games

CASES = ((0.0, 0.25), (0.0, 0.5), (0.01, 0.0), (0.02, 0.0), (0.02, 0.25), (0.03, 0.0))
PART = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="lives of a release in each case")
    parser.add_argument("--positives", type=int, default=1000, help="of one life")
    given = parser.parse_args()
    print("AUC lost  noise of the old  withdrawn  within 500  median")
    for loss, noise in CASES:
        at = []
        for first in range(0, given.runs, PART):
            runs = min(PART, given.runs - first)
            played = games(first, loss=loss, runs=runs, positives=given.positives, noise=noise)
            at.append(ends(sequential.both(*played)))
        found = np.concatenate(at)
        median = np.median(found)
        print(
            f"{loss:8.2f}  {noise:16.2f}  {np.isfinite(found).mean():9.1%}  "
            f"{(found <= 500).mean():10.1%}  {median if np.isfinite(median) else '-'!s:>6}"
        )


if __name__ == "__main__":
    main()
