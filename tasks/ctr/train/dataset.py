"""The dataset in memory: table rows and labels of each split, and the vocabulary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import files
from nightshift.errors import ContractError, DataError
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.metrics import Labels
from tasks.ctr.train.vocabulary import Ids, Rows, Vocabulary

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """One split: table rows int32 [n, number of fields] and labels int8 [n]."""

    rows: Rows
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """What tasks.ctr.preprocess wrote, ready to train on.

    Attributes:
        folder: where it lies.
        card: its data card.
        vocabulary: ids of the training split.
        splits: by name, `train`, `valid`, `test`.
        digest: hex SHA-256 over the splits' files and the schema hash.
    """

    folder: Path
    card: dict[str, Any]
    vocabulary: Vocabulary
    splits: dict[str, Split]
    digest: str


def load(folder: Path, spec: FeatureSpec, min_count: int) -> Dataset:
    """Read a dataset, one id column at a time: 4 bytes an id stay in memory.

    Raises:
        ContractError: it was made by another specification, or a file is not as its card says.
        DataError: a split is empty.
    """
    card = files.read_json(folder / "data_card.json")
    if card.get("schema_hash") != spec.schema_hash:
        raise ContractError(
            f"{folder} was encoded by a specification of schema {card.get('schema_hash')}, and "
            f"{spec.source} has {spec.schema_hash}; run tasks.ctr.preprocess again"
        )
    sources = {name: folder / card["splits"][name]["file"] for name in SPLITS}
    digest = hashlib.sha256(spec.schema_hash.encode())
    for name, path in sources.items():
        if not path.is_file():
            raise ContractError(f"{path} is not there; run tasks.ctr.preprocess again")
        found = files.sha256_file(path)
        if found != card["splits"][name]["sha256"]:
            raise ContractError(
                f"{path} is not the file that its data card describes; run tasks.ctr.preprocess again"
            )
        digest.update(found.encode())
    vocabulary = Vocabulary.learn((_ids(sources["train"], name) for name in spec.names), min_count)
    splits = {name: _split(path, spec, vocabulary) for name, path in sources.items()}
    return Dataset(folder, card, vocabulary, splits, digest.hexdigest())


def _ids(path: Path, column: str) -> Ids:
    ids: Ids = _column(path, column).to_numpy()
    return ids


def _column(path: Path, column: str) -> pa.ChunkedArray:
    try:
        return pq.read_table(path, columns=[column]).column(column)
    except (pa.ArrowInvalid, KeyError) as error:
        raise ContractError(f"{path} has no readable column {column}: {error}") from error


def _split(path: Path, spec: FeatureSpec, vocabulary: Vocabulary) -> Split:
    labels = _column(path, "label").to_numpy().astype(np.int8)
    if not len(labels):
        raise DataError(f"{path} holds no row; give the split more days")
    rows = np.empty((len(labels), len(spec.names)), dtype=np.int32)
    for position, name in enumerate(spec.names):
        rows[:, position] = vocabulary.rows_of_field(position, _ids(path, name))
    return Split(rows, labels)


def first_ids(path: Path, spec: FeatureSpec, at: npt.NDArray[np.int64]) -> Ids:
    """Ids of some rows of a split's file: int64 [k, number of fields]."""
    return np.stack([_ids(path, name)[at] for name in spec.names], axis=1)


@dataclass(frozen=True)
class Batch:
    """One training step's inputs, of a static size B; rows past the data weigh nothing.

    Attributes:
        rows: int32 [B, number of fields].
        labels: float32 [B].
        weights: float32 [B], 1 for a real row and 0 for a padding one.
        masks: per hidden layer uint8 [B, width], empty without dropout.
    """

    rows: Rows
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    masks: tuple[npt.NDArray[np.uint8], ...]


@dataclass(frozen=True)
class Batches:
    """The training batches of any epoch; every random number depends on (seed, epoch, step) only.

    So an epoch can be taken up again at any step, with the same batches and the same dropout.
    """

    split: Split
    vocabulary: Vocabulary
    batch_size: int
    seed: int
    oov_rate: float
    dropped: int
    hidden: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return -(-len(self.split) // self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Batches of an epoch from `first_step` on, in that epoch's random order."""
        order = self._rng(1, epoch).permutation(len(self.split))
        for step in range(first_step, self.steps):
            taken = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self._batch(taken, self._rng(2, epoch, step))

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, *key]))

    def _batch(self, taken: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        size, count = self.batch_size, len(taken)
        rows = np.zeros((size, self.vocabulary.num_fields), dtype=np.int32)
        rows[:count] = self.split.rows[taken]
        if self.oov_rate:
            unknown = rng.random((count, rows.shape[1]), dtype=np.float32) < self.oov_rate
            rows[:count] = np.where(unknown, self.vocabulary.offsets, rows[:count])
        labels = np.zeros(size, dtype=np.float32)
        labels[:count] = self.split.labels[taken]
        weights = np.zeros(size, dtype=np.float32)
        weights[:count] = 1.0
        masks = tuple(self._mask(rng, width) for width in self.hidden) if self.dropped else ()
        return Batch(rows, labels, weights, masks)

    def _mask(self, rng: np.random.Generator, width: int) -> npt.NDArray[np.uint8]:
        drawn = np.frombuffer(rng.bytes(self.batch_size * width), dtype=np.uint8)
        return (drawn >= self.dropped).astype(np.uint8).reshape(self.batch_size, width)
