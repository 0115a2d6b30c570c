"""What a refit is worth on the days after a release: docs/benchmarks.md.

Each night trains a model that holds days out, and its refit on all judged days. Both score the rows
of the day after the night, which neither has seen: what the release would have served.

    python bench/refit.py [--data clicks] [--nights 8] [--rows-per-day 4000]
    python bench/refit.py --data movielens --folder .../recbole/dataset_example/ml-100k

`clicks` are made ad clicks with campaigns that come and go; `movielens` is MovieLens-100k by its own
days. Prints a line of JSON a night, and one of all nights: AUC and log loss of both, and the
interval of a paired bootstrap of the rows of all days.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import yaml  # noqa: E402

from bench.stranger_data import Made, movielens, passing  # noqa: E402
from nightshift.features.specification import FeatureSpec  # noqa: E402
from nightshift.gates import measures  # noqa: E402
from testing.workshop import evaluate, run  # noqa: E402

SCORE = """
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from nightshift.features.encoding import encode_table
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.serving import Scorer
spec = FeatureSpec.load(Path(spec))
table = pq.read_table(rows, columns=list(spec.names))
np.save(out, Scorer.load(Path(model)).score(encode_table(spec, table)))
answer = True
"""

DAY_MS = 86_400_000
AHEAD_MS = 8 * 3_600_000
"""Days are those of UTC+8."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=("clicks", "movielens"), default="clicks")
    parser.add_argument("--folder", type=Path, help="of ml-100k.inter, .user and .item")
    parser.add_argument("--nights", type=int, default=8)
    parser.add_argument("--rows-per-day", type=int, default=4000)
    parser.add_argument("--train-days", type=int, default=30)
    parser.add_argument("--settle", type=int, default=3)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if (options.data == "movielens") != (options.folder is not None):
        parser.error("--data movielens needs --folder, and clicks takes none")
    with tempfile.TemporaryDirectory(prefix="refit-") as name:
        print(json.dumps(measured(Path(name), options)), flush=True)
    return 0


def made(options: argparse.Namespace) -> Made:
    """The rows, one a request, and their specification."""
    if options.data == "movielens":
        return movielens(options.folder, own_days=True)
    return passing(options.rows_per_day, options.train_days + options.nights + 1, options.seed)


def measured(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of all nights together."""
    table, spec = made(options)
    spec |= {"label_settle_days": options.settle, "test_days": 2, "valid_days": 2}
    (root / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (root / "defaults.yaml").write_text("threads: 1\n")
    (root / "features").mkdir()
    pq.write_table(table, root / "features" / "part-0.parquet")
    millis = table[spec["time"]].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    days = (millis + AHEAD_MS) // DAY_MS
    last = int(days.max())
    names, parts = FeatureSpec.load(root / "spec.yaml").names, []
    for day in range(last - options.nights, last):
        served = pc.equal(pa.array(days), day + 1)
        rows = table.filter(served).select([spec["label"], *names])
        if rows.num_rows:
            parts.append(night(root, options, dt.date(1970, 1, 1) + dt.timedelta(days=day), rows))
    labels, judged, refit = (np.concatenate([part[at] for part in parts]) for at in range(3))
    return {"data": options.data, "nights": len(parts), **figures(labels, judged, refit)}


def night(
    root: Path, options: argparse.Namespace, ds: dt.date, rows: pa.Table
) -> tuple[Any, Any, Any]:
    """Labels of the day after a night, and the scores of its judged model and its refit."""
    pq.write_table(rows, root / "rows.parquet")
    seconds = {}
    scores = []
    for name in ("judged", "refit"):
        begun = time.monotonic()
        again = ["--refit"] if name == "refit" else []
        run(
            "preprocess",
            *("--features", root / "features", "--spec", root / "spec.yaml", "--ds", ds),
            *("--train-days", options.train_days, "--out", root / f"{name}-data"),
            *("--result", root / "result.json", *again),
        )
        recipe: list[Any] = ["--refit-of", root / "judged"]
        if name == "judged":
            recipe = ["--hyperparameters", root / "defaults.yaml"]
            recipe += [part for one in options.set for part in ("--set", one)]
        run(
            "train",
            *("--dataset", root / f"{name}-data", "--spec", root / "spec.yaml", *recipe),
            *("--out", root / name, "--checkpoint", root / "checkpoint"),
            *("--result", root / "result.json"),
        )
        seconds[name] = round(time.monotonic() - begun, 1)
        out = root / f"{name}.npy"
        given = {"spec": root / "spec.yaml", "rows": root / "rows.parquet", "model": root / name}
        evaluate(SCORE, out=str(out), **{key: str(value) for key, value in given.items()})
        scores.append(np.load(out).astype(np.float64))
    labels = rows.column(0).to_numpy().astype(bool)
    card = json.loads((root / "refit" / "model_card.json").read_text())
    judged = card["refit"]["judged"]["dataset"]["splits"]["train"]
    line = {
        "night": f"{ds}",
        "learned_until": [judged["last_day"], card["refit"]["learned"]["last_day"]],
        "held_out_auc": card["test"]["auc"],
        "seconds": seconds,
        **figures(labels, *scores),
    }
    print(json.dumps(line), flush=True)
    return labels, scores[0], scores[1]


def figures(labels: Any, judged: Any, refit: Any) -> dict[str, Any]:
    """AUC and log loss of both, and what the refit changes, with its 90 % interval."""
    pair = measures.paired_bootstrap(labels, refit, judged)
    found: dict[str, Any] = {"rows": len(labels), "positives": int(labels.sum())}
    for name, scores in (("judged", judged), ("refit", refit)):
        found[name] = {
            "auc": measures.auc(labels, scores),
            "logloss": measures.logloss(labels, scores),
        }
    if pair is not None:
        for name, gap in (("auc", pair.auc), ("logloss", pair.logloss)):
            found[f"{name}_difference"] = [gap.difference, gap.low, gap.high]
    return found


if __name__ == "__main__":
    sys.exit(main())
