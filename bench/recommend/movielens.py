"""Retrieval on MovieLens-100k against LibRecommender's ItemCF and ALS, on the same split.

    ./nightshift data movielens
    python bench/recommend/movielens.py [--split days|random] [--peer PYTHON]

`days` holds out the last 20 days, as the pipeline's gate does; `random` a fifth of the ratings.
A film rated 4 or 5 was liked. Relevant are films liked in the held-out part that the viewer had
not rated before; films rated before are left out of every list. PYTHON is an environment with
LibRecommender (`bench.recommend.peer_librecommender` says how to make one).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from nightshift import layout  # noqa: E402
from nightshift.pipeline import Pipeline  # noqa: E402
from nightshift.recommend import fitting, heldout, interactions  # noqa: E402
from nightshift.recommend.interactions import ID, Interactions  # noqa: E402
from nightshift.settings import Settings  # noqa: E402

LAST, DAYS, TEST_DAYS = "1998-04-23", 216, 20
LONG = 800
"""Items asked of the peer, so that enough are left without what was rated before."""


def split(found: Interactions, how: str, last: int) -> tuple[Interactions, int]:
    """The interactions with days that make the split, and how many days are held out."""
    if how == "days":
        return found, TEST_DAYS
    held = np.random.default_rng(10).random(len(found.day)) < 0.2
    return replace(found, day=np.where(held, last, last - 1).astype(np.int32)), 1


def peer(found: Interactions, early: Any, python: str, users: list[int]) -> dict[str, Any]:
    """The peer's lists by user, from what was liked in the earlier part."""
    names, items = found.users.to_pylist(), found.items[ID].to_pylist()
    rows = np.flatnonzero(early & found.liked)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        lines = [f"{names[found.user[n]]},{items[found.item[n]]}" for n in rows]
        (place / "train.csv").write_text("\n".join(["user,item", *lines]) + "\n")
        (place / "users.json").write_text(json.dumps([names[user] for user in users]))
        script = Path(__file__).with_name("peer_librecommender.py")
        subprocess.run(
            [python, script, "train.csv", "users.json", "answers.json", str(LONG)],
            cwd=place, check=True, stdout=sys.stderr,
        )  # fmt: skip
        answers: dict[str, Any] = json.loads((place / "answers.json").read_text())
    return answers


def figures(found: Interactions, later: Any, lists: dict[int, list[int]]) -> dict[str, float]:
    """Recall and NDCG at 10 of lists by user."""
    recalls, gains = [], []
    for user, items in lists.items():
        own = found.user == user
        before = found.item[own & ~later]
        relevant = np.setdiff1d(found.item[own & later & found.liked], before)
        if not len(relevant):
            continue
        answer = np.array([item for item in items if item not in set(before.tolist())][:200])
        recalls.append(heldout.recall(answer, relevant)[0])
        gains.append(heldout.ndcg(answer[:10], relevant))
    return {
        "recall@10": round(float(np.mean(recalls)), 4),
        "ndcg@10": round(float(np.mean(gains)), 4),
        "users": len(recalls),
    }


def main() -> int:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--split", choices=("days", "random"), default="random")
    parser.add_argument("--peer", metavar="PYTHON", help="an environment with LibRecommender")
    given = parser.parse_args()
    pipeline = Pipeline.load(Settings.from_env(), "movielens")
    options, tables = pipeline.recommend, pipeline.features.tables
    options = options.model_copy(update={"candidates": 200})
    last = layout.parse_date(LAST)
    read = interactions.read(pipeline.data, tables, options, last=last, days=DAYS)
    found, test_days = split(read, given.split, fitting.days(last))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        card = fitting.build(
            found, options, Path(folder) / "out", last=last, last_ms=pipeline.zone.end_ms(last) - 1,
            test_days=test_days,
            request={"id": tables.request_id, "time": tables.request_time},
        )  # fmt: skip
        seconds = time.perf_counter() - began
    held = card["held_out"]
    result: dict[str, Any] = {
        "split": given.split,
        "ours": {
            "merged": {"recall@10": held["recall"]["10"], "ndcg@10": held["ndcg"]["10"]},
            **{name: {"recall@10": at["10"]} for name, at in held["by_retriever"].items()},
            "users": held["users"],
            "fit_twice_and_measure_s": round(seconds, 1),
        },
    }
    if given.peer:
        later = found.day >= fitting.days(last) - test_days + 1
        users = sorted({int(user) for user in found.user[later & found.liked]})
        place = {item: n for n, item in enumerate(found.items[ID].to_pylist())}
        names = found.users.to_pylist()
        for name, answer in peer(found, ~later, given.peer, users).items():
            lists = {u: [place[i] for i in answer["items"][names[u]]] for u in users}
            result[name] = {**figures(found, later, lists), "fit_s": answer["fit_s"]}
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
