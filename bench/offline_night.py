"""One night of a pipeline of another domain by each offline engine: the same release?

Ad clicks are made as parquet, `./nightshift new --yes` proposes a pipeline from them, `./nightshift
data load` takes them in, and two installations train, judge and release it, the first with the
embedded engine, the second with OpenMLDB's batch engine on Spark. Compared are the datasets and
their ids, the model's parameters, the held-out scores and what the predict server answers. The exit
code is 1 where anything differs.

    .venv/bin/python bench/offline_night.py [--rows 300]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from testing import engines  # noqa: E402

ASKED = 50


@dataclass
class Made:
    """What a night left.

    Attributes:
        release: The live release's manifest, as far as it is compared.
        files: SHA-256 by name, of datasets, models and scores.
        answers: The predict server's.
        seconds: The night, with the servers up.
    """

    release: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)
    seconds: float = 0.0


def night(folder: Path, engine: str) -> Made:
    """A whole night with one engine."""
    house = engines.house(folder, engine)
    made = Made()
    try:
        house.up()
        began = time.monotonic()
        release = engines.night(house)
        made.seconds = time.monotonic() - began
        made.files = engines.artefacts(house)
        made.release = engines.manifest(house, release)
        made.answers = engines.answers(house, release, ASKED)
    finally:
        house.down()
    return made


def differences(one: Made, other: Made) -> list[str]:
    """What differs: files by name, then the manifest's entries and the answers."""
    found = [
        name
        for name in sorted(one.files.keys() | other.files.keys())
        if one.files.get(name) != other.files.get(name)
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
        engines.propose(folder, given.rows)
        made = {engine: night(folder, engine) for engine in ("embedded", "spark")}
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
