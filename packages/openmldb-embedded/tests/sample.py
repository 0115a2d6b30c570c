"""Picks ``vectors_sample.jsonl.gz`` out of a folder of vectors.

    python packages/openmldb-embedded/tests/sample.py ../shared/openmldb-vectors

One vector of each function, of each aggregate and of each shape of query, for each mode, accepted
and refused. The answers are OpenMLDB 0.9.2's own; its licence is Apache-2.0.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

FILES = ("functions", "aggregates", "queries")


def _kind(file: str, vector: dict[str, Any]) -> str:
    if file == "functions":
        what = vector["function"]
    elif file == "aggregates":
        what = min(vector["functions"])
    else:
        what = vector["shape"]
    return f"{what} {vector['mode']} {'refused' in vector}"


def main(folder: Path, target: Path) -> None:
    """Write the sample of ``folder`` to ``target``, always the same."""
    chance = random.Random(5)
    lines: list[dict[str, Any]] = [{"tables": json.loads((folder / "tables.json").read_text())}]
    for file in FILES:
        kinds: dict[str, list[dict[str, Any]]] = {}
        with gzip.open(folder / f"{file}.jsonl.gz", "rt", encoding="utf-8") as vectors:
            for line in vectors:
                vector = json.loads(line)
                kinds.setdefault(_kind(file, vector), []).append(vector)
        lines += [chance.choice(found) | {"file": file} for _, found in sorted(kinds.items())]
    with gzip.GzipFile(target, "wb", mtime=0) as out:
        for one in lines:
            out.write((json.dumps(one, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("vectors_sample.jsonl.gz"))
