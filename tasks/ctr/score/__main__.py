"""`python -m tasks.ctr.score`: a dataset's held-out rows in, scores of one or two models out.

Both models score the same rows through the code that serves them. A champion of another
specification scores them by its own ids, made from the same feature rows, as far as those
have its columns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift import files
from nightshift.data import reading
from nightshift.errors import ContractError
from nightshift.features.encoding import Ids, encode_table, encoded_of_stored
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.serving import Scorer, check_device
from tasks.entry import TaskParser, log, run_task

BATCH_ROWS = 65_536


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of the task."""
    parser = TaskParser(prog="tasks.ctr.score", description=__doc__)
    parser.add_argument(
        "--dataset", type=Path, required=True, help="folder of tasks.ctr.preprocess"
    )
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument("--spec", type=Path, required=True, help="the dataset's specification")
    parser.add_argument("--model", type=Path, required=True, help="the challenger's model folder")
    parser.add_argument("--champion-model", type=Path, help="the champion's model folder")
    parser.add_argument("--champion-spec", type=Path, help="its specification")
    parser.add_argument("--features", type=Path, help="feature files, for a champion of another")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--result", type=Path, required=True, help="result file (JSON) to write")
    return parser.parse_args(arguments)


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task; returns the result's figures."""
    check_device(options.device)
    spec = FeatureSpec.load(options.spec)
    card = files.read_json(options.dataset / "data_card.json")
    if not spec.accepts(card.get("schema_hash", "")):
        raise ContractError(
            f"{options.dataset} was encoded by another specification than {options.spec}; run "
            "tasks.ctr.preprocess again"
        )
    challenger = Scorer.load(options.model, options.device)
    if not spec.accepts(challenger.schema_hash):
        raise ContractError(
            f"{options.model} was trained by another specification than {options.spec}; run "
            "tasks.ctr.train again"
        )
    champion, encode, incomparable = _champion(options, spec)
    source = options.dataset / card["splits"][options.split]["file"]
    parts = []
    for batch in _batches(source):
        ids = encoded_of_stored(spec, batch)
        columns = {name: batch[name] for name in ("request_id", "request_time", "label")}
        columns["challenger"] = pa.array(challenger.score(ids))
        if champion is not None and encode is not None:
            columns["champion"] = pa.array(champion.score(encode(batch, ids)))
        parts.append(pa.table(columns))
    if not parts:
        raise ContractError(f"{source} holds no rows; run tasks.ctr.preprocess again")
    table = pa.concat_tables(parts)
    staged = files.staging_path(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        pq.write_table(table, staged, compression="zstd")
        staged.replace(options.out)
    finally:
        staged.unlink(missing_ok=True)
    log(f"{len(table)} rows scored by {'one model' if champion is None else 'both models'}")
    return {
        "rows": len(table),
        "split": options.split,
        "champion_scored": champion is not None,
        "incomparable": incomparable,
        "artefacts": {"scores": str(options.out)},
    }


def _batches(source: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield pa.Table.from_batches([batch])


class _SameIds:
    """The champion takes the dataset's ids as they are."""

    def __call__(self, batch: pa.Table, ids: Ids) -> Ids:
        return ids


class _OwnIds:
    """The champion's ids are made from the feature rows by its own specification."""

    def __init__(self, spec: FeatureSpec, key: str, features: Path) -> None:
        self._spec, self._key, self._features = spec, key, features

    def __call__(self, batch: pa.Table, ids: Ids) -> Ids:
        names = batch["request_id"].to_pylist()
        rows = reading.table(
            reading.parquet_files(self._features),
            columns=[self._key, *self._spec.names],
            where=pc.field(self._key).isin(names),
        )
        where = {name: at for at, name in enumerate(rows[self._key].to_pylist())}
        order = pa.array([where[name] for name in names], pa.int64())
        return encode_table(self._spec, rows.take(order))


def _champion(
    options: argparse.Namespace, spec: FeatureSpec
) -> tuple[Scorer | None, _SameIds | _OwnIds | None, str | None]:
    """The champion and how its ids are made, or why it cannot score these rows."""
    if options.champion_model is None:
        return None, None, None
    champion = Scorer.load(options.champion_model, options.device)
    if spec.accepts(champion.schema_hash):
        return champion, _SameIds(), None
    if options.champion_spec is None or options.features is None:
        return None, None, "it is of another specification, and its own is not available"
    own = FeatureSpec.load(options.champion_spec)
    if not own.accepts(champion.schema_hash):
        raise ContractError(f"{options.champion_model} is not of the specification {own.source}")
    sample = next(iter(reading.parquet_files(options.features)), None)
    there = set(pq.read_schema(sample).names) if sample else set()
    absent = [name for name in own.names if name not in there]
    if absent:
        return None, None, f"its feature {absent[0]} is no longer among the feature query's"
    try:
        shown = [sample] if sample else []
        encode_table(own, reading.table(shown, columns=list(own.names)).slice(0, 1))
    except ContractError as error:
        return None, None, f"its features cannot be made from the feature query's: {error}"
    return champion, _OwnIds(own, spec.keys[0], options.features), None


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    return run_task("score", options.result, options.out, lambda: score(options))


if __name__ == "__main__":
    sys.exit(main())
