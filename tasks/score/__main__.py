"""`python -m tasks.score`: the held-out rows scored by challenger and champion, row by row."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import files
from nightshift.encoding import encode_table
from nightshift.errors import ConfigurationError, ContractError
from nightshift.spec import FeatureSpec
from tasks.entry import TaskParser, log, run_task
from tasks.preprocess.pipeline import feature_files
from tasks.train.serving import Scorer

BATCH_ROWS = 8192
"""Rows scored at a time."""

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of the task."""
    parser = TaskParser(prog="tasks.score", description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of tasks.preprocess")
    parser.add_argument("--features", type=Path, required=True, help="exported feature files")
    parser.add_argument("--spec", type=Path, required=True, help="feature specification (YAML)")
    parser.add_argument("--model", type=Path, required=True, help="the challenger's model folder")
    parser.add_argument("--champion-model", type=Path, help="the live release's model folder")
    parser.add_argument("--champion-spec", type=Path, help="the live release's specification")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--result", type=Path, required=True, help="result file (JSON) to write")
    options = parser.parse_args(arguments)
    if (options.champion_model is None) != (options.champion_spec is None):
        parser.error("--champion-model and --champion-spec are given together or not at all")
    return options


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task: write request_id, label, challenger and champion of every held-out row.

    `champion` is NULL throughout where there is no champion, or where tonight's feature query
    no longer gives a column that the champion needs; the result then says why.
    """
    spec = FeatureSpec.load(options.spec)
    card = files.read_json(options.dataset / "data_card.json")
    test = pq.read_table(options.dataset / card["splits"]["test"]["file"])
    ids = _stored_ids(test, spec)
    log(f"{len(ids)} held-out rows")
    challenger = _scores(options.model, ids, spec, options.device)
    champion: Scores | None = None
    incomparable: str | None = None
    if options.champion_model is not None:
        champion_spec = FeatureSpec.load(options.champion_spec)
        try:
            if champion_spec.schema_hash != spec.schema_hash:
                ids = _encode_again(options.features, test["request_id"], champion_spec)
            champion = _scores(options.champion_model, ids, champion_spec, options.device)
        except ContractError as error:
            incomparable = str(error)
            log(f"the champion cannot score these rows: {incomparable}")
    table = pa.table(
        {
            "request_id": test["request_id"],
            "label": test["label"],
            "challenger": pa.array(challenger),
            "champion": pa.nulls(len(ids), pa.float64()) if champion is None else champion,
        }
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    files.write_bytes(options.out, buffer.getvalue().to_pybytes())
    return {
        "rows": len(table),
        "champion_scored": champion is not None,
        "incomparable": incomparable,
        "artefacts": {"scores": str(options.out)},
    }


def _stored_ids(table: pa.Table, spec: FeatureSpec) -> Ids:
    return np.stack([table[name].to_numpy() for name in spec.names], axis=1)


def _encode_again(features: Path, wanted: pa.ChunkedArray, spec: FeatureSpec) -> Ids:
    """Ids of the wanted requests by another specification, from the exported feature rows."""
    if not spec.keys:
        raise ConfigurationError(f"{spec.source} names no keys; a row cannot be found again")
    key = spec.keys[0]
    position = {request: row for row, request in enumerate(wanted.to_pylist())}
    ids = np.zeros((len(position), len(spec.names)), dtype=np.int64)
    found = np.zeros(len(position), dtype=bool)
    for path in feature_files(features):
        file = pq.ParquetFile(path)
        lacking = {key, *spec.names} - set(file.schema_arrow.names)
        if lacking:
            raise ContractError(
                f"the feature query gives no {', '.join(sorted(lacking))} any more, which the "
                f"live release's specification {spec.source} needs"
            )
        for batch in file.iter_batches(BATCH_ROWS, columns=[key, *spec.names]):
            rows = np.array([position.get(request, -1) for request in batch[key].to_pylist()])
            taken = np.flatnonzero(rows >= 0)
            if len(taken):
                ids[rows[taken]] = encode_table(spec, pa.Table.from_batches([batch.take(taken)]))
                found[rows[taken]] = True
    if not found.all():
        missing = wanted[int(np.flatnonzero(~found)[0])].as_py()
        raise ContractError(f"{features} has no row of the held-out request {missing}")
    return ids


def _scores(model: Path, ids: Ids, spec: FeatureSpec, device: str) -> Scores:
    scorer = Scorer.load(model, device)
    if scorer.schema_hash != spec.schema_hash:
        raise ContractError(
            f"{model} was trained by a specification of schema {scorer.schema_hash}, and "
            f"{spec.source} has {spec.schema_hash}"
        )
    parts = [
        scorer.score(ids[start : start + BATCH_ROWS]) for start in range(0, len(ids), BATCH_ROWS)
    ]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    return run_task("score", options.result, lambda: score(options))


if __name__ == "__main__":
    sys.exit(main())
