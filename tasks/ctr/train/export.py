"""The trained model on disk: parameters, vocabulary, golden rows, card, metrics."""

from __future__ import annotations

import io
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow
import pyarrow as pa
from oneflow import nn

import nightshift
from nightshift import files
from nightshift.contract.golden import Golden
from nightshift.contract.signature import DEFAULT_TOLERANCE, ctr_signature
from nightshift.contract.signature import FILE as SIGNATURE
from nightshift.errors import ContractError
from nightshift.features.encoding import MISSING_BITS, Ids, hash_text
from nightshift.features.specification import ENCODING_VERSION, FeatureSpec
from tasks.ctr.train.dataset import Dataset, first_ids
from tasks.ctr.train.metrics import Labels, Scores
from tasks.ctr.train.models import Network, build, plan, views
from tasks.ctr.train.serving import NETWORK_VERSION, TREES, Scorer

_GRAPH_ROWS = 1000


class ScoreGraph(nn.Graph):  # type: ignore[misc]
    """The network as OneFlow's C++ backend runs it: its input tensors in, probabilities out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module = network

    def build(self, rows: flow.Tensor, *given: flow.Tensor) -> flow.Tensor:
        """Probabilities float32 [n, 1] of the network's inputs."""
        shape, rest = self.module.shape, list(given)
        weights = rest.pop(0) if shape.weighted else None
        dense = rest.pop(0) if shape.num_dense else None
        return flow.sigmoid(self.module(rows, weights, dense)).reshape(rows.shape[0], 1)


def save_network(folder: Path, network: Network, data: Dataset, spec: FeatureSpec) -> None:
    """Write the model folder that `tasks.ctr.train.serving` reads; `folder` must be new."""
    network = build(network.shape, views(network), "cpu")
    network.eval()
    graph = ScoreGraph(network)
    shape = network.shape
    given: list[npt.NDArray[Any]] = [np.zeros((_GRAPH_ROWS, shape.num_columns), dtype=np.int32)]
    if shape.weighted:
        given.append(np.zeros((_GRAPH_ROWS, shape.num_columns), dtype=np.float32))
    if shape.num_dense:
        given.append(np.zeros((_GRAPH_ROWS, shape.num_dense), dtype=np.float32))
    with flow.no_grad():
        graph(*(flow.from_numpy(array) for array in given))
    flow.save(graph, str(folder))
    data.vocabulary.save(folder / "vocabulary.npz")
    trees = data.inputs.trees
    if trees is not None:
        trees.save(folder / TREES)
    files.write_json(
        folder / "network.json",
        {
            "version": NETWORK_VERSION if trees else NETWORK_VERSION - 1,
            "architecture": network.shape.to_json(),
            "parameters": {
                name: list(weight.shape) for name, weight in sorted(plan(shape).items())
            },
            "fields": list(spec.names),
            "inputs": {
                "fields": [field.to_json() for field in data.inputs.fields],
                "numbers": data.inputs.to_json(),
                **({"trees": TREES} if trees else {}),
            },
            "table_sizes": data.vocabulary.table_sizes,
            "schema_hash": spec.schema_hash,
            "encoding_version": ENCODING_VERSION,
            "oneflow": flow.__version__,
        },
    )


def golden_ids(data: Dataset, spec: FeatureSpec, count: int) -> Ids:
    """Encoded rows whose scores are kept: int64 [count + 2, width].

    Rows of the test (of a refit's training rows), positives first as far as half of them, then one of them with an unseen id
    (or a missing number) in its first column, and one row in which nothing is known.
    """
    split = "test" if "test" in data.splits else "train"
    labels = data.splits[split].labels
    positives = np.flatnonzero(labels == 1)[: -(-count // 2)]
    negatives = np.flatnonzero(labels == 0)[: count - len(positives)]
    taken = np.sort(np.concatenate([positives, negatives]))
    ids = first_ids(data.folder / data.card["splits"][split]["file"], spec, taken)
    unseen = np.empty(spec.width, dtype=np.int64)
    for source in data.inputs.sources:
        if source.column < 0:
            continue
        number = source.kind in ("value", "bin")
        known = data.vocabulary.hashes[source.part]
        unseen[source.column] = MISSING_BITS if number else _unseen(known, source.column)
    partly = ids[0].copy()
    partly[0] = unseen[0]
    return np.concatenate([ids, partly[None], unseen[None]])


def _unseen(known: npt.NDArray[np.int64], position: int) -> int:
    """An id that is not among the known ones."""
    number = 0
    while True:
        candidate = hash_text(f"\0unseen {position} {number}".encode())
        if candidate not in known:
            return candidate
        number += 1


def write_scores(target: Path, labels: Labels, scores: Scores) -> None:
    """Keep labels int8 [n] and scores float32 [n] of rows, in their order, as an `.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, label=labels.astype(np.int8), score=scores.astype(np.float32))
    files.write_bytes(target, buffer.getvalue())


def write_golden(model: Path, target: Path, ids: Ids, expected: Scores) -> None:
    """Score golden rows with the saved model and keep both.

    Args:
        model: the saved model's folder.
        target: the folder that gets `golden.npz` and `signature.json`.
        ids: int64 [k, number of fields].
        expected: the trained network's scores, float32 [k].

    Raises:
        ContractError: the saved model does not give the trained network's scores.
    """
    scores = Scorer.load(model).score(ids)
    worst = float(np.abs(scores - expected).max())
    if not worst <= DEFAULT_TOLERANCE:
        raise ContractError(
            f"the model saved in {model} scores the golden rows differently, by up to {worst:g}; "
            f"allowed are {DEFAULT_TOLERANCE:g}. Weights as large as these lose too much of a "
            "float's precision: lower learning_rate or raise l2_embedding"
        )
    signature = ctr_signature(ids.shape[1])
    files.write_json(target / SIGNATURE, signature.to_json())
    Golden(
        {signature.inputs[0].name: ids}, {signature.outputs[0].name: scores.reshape(-1, 1)}
    ).save(target)


def versions() -> dict[str, str]:
    """Versions of what decides a model's bits."""
    return {
        "nightshift": nightshift.__version__,
        "oneflow": flow.__version__,
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def write_metrics(target: Path, history: list[dict[str, Any]]) -> None:
    """Write `metrics.jsonl`: one JSON object a line, one line an epoch."""
    lines = (json.dumps(entry, sort_keys=True, allow_nan=False) + "\n" for entry in history)
    files.write_text(target, "".join(lines))


def dataset_summary(data: Dataset) -> dict[str, Any]:
    """What the model card says of the data."""
    return {
        "sha256": data.digest,
        "ds": data.card["ds"],
        "window": data.card["window"],
        "splits": {
            name: {
                "rows": len(split),
                "positives": positives(split.labels),
                "first_day": data.card["splits"][name]["days"][0]["day"],
                "last_day": data.card["splits"][name]["days"][-1]["day"],
            }
            for name, split in data.splits.items()
        },
    }


def positives(labels: Labels) -> int:
    """Number of ones."""
    return int(np.count_nonzero(labels))
