"""The batch half of the recorded vectors through the batch engine on Spark.

    python recorded.py FOLDER [--share N [--first K]] [--json OUT]

What differs is a difference between OpenMLDB's two own engines (0.9.0 on Spark, 0.9.2 in C++), not
one of ours: it shows which recorded answers a user of offline jobs does not get.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import gzip
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[5]))
sys.path.insert(0, str(Path(__file__).parent))

import referee
from openmldb_compiler.offline import offline_refusals
from openmldb_embedded.columns import Batch
from openmldb_sql.types import SqlType

PACK = 40
SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def vectors(folder: Path, share: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """Every `share`-th batch vector that the engine accepts, from one on, tables filled in."""
    shared = json.loads((folder / "tables.json").read_text())
    for name in ("functions", "aggregates", "queries"):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            found = (json.loads(line) for line in lines)
            good = (
                v
                for v in found
                if v["mode"] == "batch" and "refused" not in v and "crash_rows" not in v
            )
            for vector in itertools.islice(good, first % share, None, share):
                if isinstance(vector["tables"], str):
                    vector["tables"] = shared[vector["tables"]]
                yield vector


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind in ("float", "double") and isinstance(value, str):
        return SPECIAL[value]
    if kind in ("float", "double"):
        return float(value)
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]).decode("utf-8", "replace")
    return value


def _rows(rows: list[list[Any]], columns: list[list[str]]) -> list[list[Any]]:
    return [[_value(v, k) for v, (_, k) in zip(row, columns, strict=True)] for row in rows]


class Tables:
    """The vectors' tables as files, each content once."""

    def __init__(self, spark: referee.Referee) -> None:
        self.spark = spark
        self.known: dict[str, str] = {}

    def of(self, vector: dict[str, Any]) -> dict[str, str]:
        """The files of a vector's tables."""
        found = {}
        for name, table in vector["tables"].items():
            key = json.dumps(table)
            if key not in self.known:
                fields = [(n, SqlType.from_sql_name(t)) for n, t in table["columns"]]
                rows = [
                    tuple(
                        dt.date.fromisoformat(v) if k == "date" and v is not None else v
                        for v, (_, k) in zip(row, table["columns"], strict=True)
                    )
                    for row in _rows(table["rows"], table["columns"])
                ]
                number = f"table{len(self.known)}"
                self.known[key] = self.spark.store(number, Batch.from_rows(fields, rows))
            found[name] = self.known[key]
        return found


def judge(vector: dict[str, Any], answer: dict[str, Any]) -> str | None:
    """What differs from the recorded answer."""
    if "error" in answer:
        return "refused: " + answer["error"].replace("\n", " ")[:200]
    loose = set(vector.get("undefined_rows", [])) | set(vector.get("crash_rows", []))
    keep = lambda rows: [row for row in rows if not loose or row[0] not in loose]  # noqa: E731
    wanted = keep(_rows(vector["rows"], vector["columns"]))
    return referee.difference(vector["columns"], wanted, {**answer, "rows": keep(answer["rows"])})


def run(
    spark: referee.Referee, folder: Path, share: int, first: int = 0
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Each vector, and what differs; functions are asked some dozens at a time."""
    tables = Tables(spark)
    packed: list[dict[str, Any]] = []
    for vector in vectors(folder, share, first):
        # Some are refused only where nothing else of the SELECT is computed.
        if vector["kind"] == "function" and not offline_refusals(vector["sql"]):
            packed.append(vector)
            if len(packed) == PACK:
                yield from _pack(spark, tables, packed)
                packed = []
            continue
        if packed:
            yield from _pack(spark, tables, packed)
            packed = []
        yield vector, judge(vector, spark.ask(tables.of(vector), vector["sql"]))


def _pack(
    spark: referee.Referee, tables: Tables, packed: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], str | None]]:
    items = []
    for at, vector in enumerate(packed):
        head, _, tail = vector["sql"].partition(" AS x FROM ")
        if not head.startswith("SELECT id, ") or tail != "t":
            items = []
            break
        items.append(f"{head[len('SELECT id, ') :]} AS x{at}")
    answer: dict[str, Any] = {"error": "not asked together"}
    if items:
        answer = spark.ask(tables.of(packed[0]), f"SELECT id, {', '.join(items)} FROM t")
    if "error" in answer and len(packed) > 1:
        middle = len(packed) // 2
        yield from _pack(spark, tables, packed[:middle])
        yield from _pack(spark, tables, packed[middle:])
        return
    if "error" in answer:
        answer = spark.ask(tables.of(packed[0]), packed[0]["sql"])
    for at, vector in enumerate(packed):
        if "error" in answer:
            yield vector, judge(vector, answer)
            continue
        one = {
            "columns": [answer["columns"][0], answer["columns"][at + 1]],
            "rows": [[row[0], row[at + 1]] for row in answer["rows"]],
        }
        yield vector, judge(vector, one)


def main() -> None:
    """Print the differences by function, window or shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=int, default=1, help="every so many-th vector")
    parser.add_argument("--first", type=int, default=0, help="the first of them, below the share")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    total: collections.Counter[str] = collections.Counter()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        spark = referee.Referee(Path(folder))
        for vector, what in run(spark, given.folder, given.share, given.first):
            total[vector["kind"]] += 1
            if what is not None:
                label = vector.get("function") or vector.get("shape") or vector.get("window")
                found.append([vector["kind"], label, vector["id"], vector["sql"], what])
        spark.end()
    print(dict(total), len(found), "differ")
    for (kind, label), n in collections.Counter((k, str(x)) for k, x, *_ in found).most_common():
        example = next(f for f in found if f[0] == kind and str(f[1]) == label)
        print(f"{n:5} {kind} {label}: {example[3][:160]} | {example[4][:200]}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=0))


if __name__ == "__main__":
    main()
