"""The dataset in memory: each split as a network takes it, the vocabulary, the statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import files
from nightshift.errors import ContractError, DataError
from nightshift.features.encoding import PAD_ID, Ids, numbers_of, stored_column
from nightshift.features.numbers import NumberStatistics, learn
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import blocks, defaults
from tasks.ctr.train import trees as boosted
from tasks.ctr.train.inputs import VALUE_ID, Inputs, Tensors
from tasks.ctr.train.metrics import Labels
from tasks.ctr.train.trees import Grown
from tasks.ctr.train.vocabulary import Vocabulary

SPLITS = ("train", "valid", "test")

_COUNTED_ROWS = 1 << 17

MOST_UNKNOWN = 0.95
"""Of a field's ids, so many are replaced by the unknown one at most: the others have to learn."""


@dataclass(frozen=True)
class Split:
    """One split: the network's input of n rows, and labels int8 [n]."""

    tensors: Tensors
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, most: int) -> Split:
        """At most so many of the rows, evenly spaced."""
        if len(self) <= most:
            return self
        at = self.places(most)
        return Split(self.tensors.take(at), self.labels[at])

    def places(self, most: int) -> npt.NDArray[np.int64]:
        """Which rows `sample` takes."""
        return np.linspace(0, len(self) - 1, min(most, len(self))).astype(np.int64)


@dataclass(frozen=True)
class Dataset:
    """What tasks.ctr.preprocess wrote, ready to train on.

    Attributes:
        folder: where it lies.
        card: its data card.
        inputs: how encoded rows become the network's input, by the training split's statistics.
        vocabulary: ids of the training split.
        splits: by name, `train`, `valid`, `test`; a refit has only the first.
        digest: hex SHA-256 over the splits' files and the schema hash.
    """

    folder: Path
    card: dict[str, Any]
    inputs: Inputs
    vocabulary: Vocabulary
    splits: dict[str, Split]
    digest: str

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """For each of the network's columns the row of unknown ids."""
        parts = [source.part for source in self.inputs.sources]
        offsets: npt.NDArray[np.int64] = self.vocabulary.offsets[parts]
        return offsets

    def columns(self, split: str, spec: FeatureSpec) -> _Columns:
        """Encoded columns of a split by number, read when they are asked for."""
        return _Columns(self.folder / self.card["splits"][split]["file"], spec.columns)

    def unknown_rates(self) -> npt.NDArray[np.float32]:
        """For each of the network's columns the share of ids that training replaces by the unknown.

        With it, ids are as often unknown in training as in the validation rows, which are later:
        0 where they bring no more unknown ones than the training rows (those rarer than
        `min_count`). The columns of one field have the same.
        """
        rates = np.zeros(len(self.inputs.sources), dtype=np.float32)
        train, valid = (self._unknown(name) for name in ("train", "valid"))
        for group in self.inputs.groups:
            if group.kind in ("id", "token"):
                known = 1.0 - train[group.first]
                more = valid[group.first] - train[group.first]
                if known > 0 and more > 0:
                    rates[group.first : group.first + group.width] = more / known
        return np.minimum(rates, np.float32(MOST_UNKNOWN))

    def _unknown(self, split: str) -> npt.NDArray[np.float64]:
        """For each column the share of its field's lookups that are of the unknown row."""
        tensors = self.splits[split].tensors
        looked = np.zeros((2, len(self.inputs.sources)))
        for x in _chunks(tensors):
            counts = np.ones(x.rows.shape, bool) if x.weights is None else x.weights != 0
            looked[0] += ((x.rows == self.offsets) & counts).sum(axis=0)
            looked[1] += counts.sum(axis=0)
        starts = [group.first for group in self.inputs.groups]
        unknown, all_ = np.add.reduceat(looked, starts, axis=1)
        return np.repeat(unknown / np.maximum(all_, 1), self.inputs.group_widths)

    def penalty_of_row(
        self, oov_rate: float | npt.NDArray[np.float32] = 0.0
    ) -> npt.NDArray[np.float32]:
        """1 / the training lookups of each row of the table; so much of its penalty has each.

        A row that a number weighs counts by its lookups, too.

        Args:
            oov_rate: share of ids replaced by the unknown row, of all or of each column.
        """
        counts = np.zeros(self.vocabulary.num_rows)
        rates = np.where(self.inputs.may_be_unknown(), oov_rate, 0.0)
        for x in _chunks(self.splits["train"].tensors):
            looked = np.ones(x.rows.shape, bool) if x.weights is None else x.weights != 0
            kept = np.broadcast_to(1.0 - rates, x.rows.shape)
            counts += np.bincount(x.rows[looked], kept[looked], minlength=len(counts))
            np.add.at(counts, self.offsets, looked.sum(axis=0) * rates)
        shares: npt.NDArray[np.float32] = (1.0 / np.maximum(counts, 1)).astype(np.float32)
        return shares


def load(
    folder: Path,
    spec: FeatureSpec,
    min_count: int | None,
    auto_bins: int | None = None,
    *,
    max_ids: int = 0,
    own_scale: bool = False,
    scratch: Path | None = None,
    names: Sequence[str] = SPLITS,
) -> Dataset:
    """Read a dataset, one column at a time: 4 bytes an id stay in memory.

    Args:
        folder: what tasks.ctr.preprocess wrote.
        spec: its specification.
        min_count: an id seen less often in training counts as never seen; None: by the data.
        auto_bins: bins of a number whose specification leaves them to training; None: by the
            data.
        max_ids: ids of a column that are known at most, the most frequent ones; 0: no limit.
        own_scale: numbers whose transform is `auto` keep their own scale instead of their ranks.
        scratch: folder of a disk where the input is kept instead of in memory; None: in memory.
        names: the splits to read, `train` among them.

    Raises:
        ContractError: it was made by another specification, or a file is not as its card says.
        DataError: a split is empty.
    """
    card = files.read_json(folder / "data_card.json")
    if not spec.accepts(card.get("schema_hash", "")):
        raise ContractError(
            f"{folder} was encoded by a specification of schema {card.get('schema_hash')}, and "
            f"{spec.source} has {spec.schema_hash}; run tasks.ctr.preprocess again"
        )
    sources = {name: folder / card["splits"][name]["file"] for name in names}
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
    stored = {name: _Columns(path, spec.columns) for name, path in sources.items()}
    labels = {name: _labels(path) for name, path in sources.items()}
    bins = auto_bins
    if bins is None:
        bins = defaults.bins(len(labels["train"]), int(np.count_nonzero(labels["train"])))
    inputs = _inputs(spec, stored["train"], bins, own_scale)
    vocabulary = _vocabulary(inputs, stored["train"], min_count, max_ids)
    splits = {}
    for name, path in sources.items():
        count = len(labels[name])
        if scratch is None:
            tensors = inputs.of_columns(stored[name], count, vocabulary)
        else:
            tensors = blocks.on_disk(path, spec.columns, count, inputs, vocabulary, scratch)
        splits[name] = Split(tensors, labels[name])
    return Dataset(folder, card, inputs, vocabulary, splits, digest.hexdigest())


def grow_trees(
    data: Dataset, spec: FeatureSpec, most: int, seed: int, *, exactly: bool = False
) -> Grown | None:
    """Grow trees on a dataset's training rows; None where there is too little to grow them of.

    Args:
        data: the dataset.
        spec: its specification.
        most: trees at most.
        seed: of the folds.
        exactly: grow as many as that, whatever the validation rows would say.
    """
    train = data.columns("train", spec), data.splits["train"].labels
    valid = None if exactly else (data.columns("valid", spec), data.splits["valid"].labels)
    return boosted.grow(spec.fields, *train, valid, most=most, seed=seed)


def with_trees(data: Dataset, spec: FeatureSpec, grown: Grown) -> Dataset:
    """The dataset with the trees' logit as one more number of each row."""
    spread = float(grown.train.std())
    learned = NumberStatistics(
        "standard", shift=float(grown.train.mean()), scale=spread if spread > 0 else 1.0
    )
    inputs = Inputs(
        data.inputs.fields, {**data.inputs.statistics, boosted.NAME: learned}, grown.trees
    )
    vocabulary = Vocabulary([*data.vocabulary.hashes, np.array([VALUE_ID], dtype=np.int64)])
    row = vocabulary.num_rows - 1
    splits = {}
    for name, split in data.splits.items():
        known = {"train": grown.train, "valid": grown.valid}.get(name)
        if known is None:
            known = grown.trees.score(data.columns(name, spec), len(split))
        value = learned.apply(known)[:, None]
        x = split.tensors
        weights = np.ones(x.rows.shape, np.float32) if x.weights is None else x.weights
        dense = np.empty((len(split), 0), np.float32) if x.dense is None else x.dense
        tensors = Tensors(
            np.hstack([x.rows, np.full((len(split), 1), row, dtype=np.int32)]),
            np.hstack([weights, value]),
            np.hstack([dense, value]),
        )
        splits[name] = Split(tensors, split.labels)
    return replace(data, inputs=inputs, vocabulary=vocabulary, splits=splits)


def _chunks(tensors: Tensors) -> Iterator[Tensors]:
    for at in range(0, len(tensors), _COUNTED_ROWS):
        yield tensors.take(slice(at, at + _COUNTED_ROWS))


class _Columns:
    """Encoded columns of a split's file by number, read when they are asked for."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self.path, self.names = path, names

    def __getitem__(self, at: int) -> Ids:
        return stored_column(_column(self.path, self.names[at]))


def _inputs(spec: FeatureSpec, train: _Columns, auto_bins: int, own_scale: bool) -> Inputs:
    statistics = {}
    at = 0
    for field in spec.fields:
        if field.number:
            raw = numbers_of(train[at])
            statistics[field.name] = learn(raw, field, auto_bins, own_scale=own_scale)
        at += field.width
    return Inputs(spec.fields, statistics)


def _vocabulary(
    inputs: Inputs, train: _Columns, min_count: int | None, max_ids: int = 0
) -> Vocabulary:
    """Each part's known ids; tokens that share a field's embeddings are counted with it."""
    hashes: list[Ids] = []
    for part in range(len(inputs.part_names)):
        sources = [source for source in inputs.sources if source.part == part]
        kind = sources[0].kind
        if kind == "value":
            hashes.append(np.array([VALUE_ID], dtype=np.int64))
        elif kind == "bin":
            name = inputs.part_names[part].removesuffix("/bin")
            bins = len(inputs.statistics[name].edges) + 1
            hashes.append(np.arange(1, bins + 1, dtype=np.int64))
        else:
            columns = [train[source.column] for source in sources]
            ids = columns[0] if len(columns) == 1 else np.concatenate(columns)
            known, counts = np.unique(ids, return_counts=True)
            kept = counts >= (defaults.MIN_COUNT if min_count is None else min_count)
            if len(columns) > 1 or kind == "token":
                kept &= known != PAD_ID
            if max_ids and np.count_nonzero(kept) > max_ids:
                # Ties go by the id, so that the same rows know the same ids.
                first = np.lexsort((known, -np.where(kept, counts, 0)))[:max_ids]
                kept = np.zeros(len(known), dtype=bool)
                kept[first] = True
            hashes.append(known[kept])
    return Vocabulary(hashes)


def _column(path: Path, column: str) -> pa.ChunkedArray:
    try:
        return pq.read_table(path, columns=[column]).column(column)
    except (pa.ArrowInvalid, KeyError) as error:
        raise ContractError(f"{path} has no readable column {column}: {error}") from error


def _labels(path: Path) -> Labels:
    labels: Labels = _column(path, "label").to_numpy().astype(np.int8)
    if not len(labels):
        raise DataError(f"{path} holds no row; give the split more days")
    return labels


def first_ids(path: Path, spec: FeatureSpec, at: npt.NDArray[np.int64]) -> Ids:
    """Encoded rows of some rows of a split's file: int64 [k, width]."""
    columns = _Columns(path, spec.columns)
    return np.stack([columns[position][at] for position in range(spec.width)], axis=1)


@dataclass(frozen=True)
class Batch:
    """One training step's inputs, of a static size B; rows past the data weigh nothing.

    Attributes:
        tensors: the network's input, B rows.
        labels: float32 [B].
        weights: float32 [B], 0 for a padding row, else 1 (or the weight of the row's class).
        count: rows that are not padding.
        penalties: float32 [B, columns], the share of its row's L2 penalty that a lookup has; None
            where every lookup has the whole of it.
        masks: per masked layer uint8 [B, width], empty without dropout.
    """

    tensors: Tensors
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    count: int
    penalties: npt.NDArray[np.float32] | None
    masks: tuple[npt.NDArray[np.uint8], ...]

    def arrays(self) -> list[npt.NDArray[Any]]:
        """What the training graph takes, in its order."""
        x = self.tensors
        given: list[npt.NDArray[Any] | None] = [x.rows, x.weights, x.dense]
        given += [self.labels, self.weights, self.penalties]
        given.extend(self.masks)
        return [array for array in given if array is not None]


@dataclass(frozen=True)
class Batches:
    """The training batches of any epoch; every random number depends on (seed, epoch, step) only.

    So an epoch can be taken up again at any step, with the same batches and the same dropout.

    Attributes:
        split: the training rows.
        offsets: for each input column the row of unknown ids.
        may_be_unknown: which input columns hold ids.
        batch_size: rows a step.
        seed: of all random numbers.
        oov_rate: share of ids replaced by the row of unknown ones, of all or of each column.
        dropped: of 256 byte values, how many drop a unit.
        widths: of the layers that are masked.
        kept_negatives: share of the negatives that an epoch draws.
        positive_weight: weight of a positive row; a negative one weighs 1.
        penalty_of_row: float32 [rows of the table], what one lookup of a row is penalized by.
        block_rows: rows of a block, of which some at a time are shuffled; 0: all rows at once.
    """

    split: Split
    offsets: npt.NDArray[np.int64]
    may_be_unknown: npt.NDArray[np.bool_]
    batch_size: int
    seed: int
    oov_rate: float | npt.NDArray[np.float32]
    dropped: int
    widths: tuple[int, ...]
    kept_negatives: float = 1.0
    positive_weight: float = 1.0
    penalty_of_row: npt.NDArray[np.float32] | None = None
    block_rows: int = 0

    @property
    def rows(self) -> int:
        """Rows an epoch."""
        if self.kept_negatives == 1.0:
            return len(self.split)
        positives = int(np.count_nonzero(self.split.labels))
        return positives + self._drawn(len(self.split) - positives)

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return -(-self.rows // self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Batches of an epoch from `first_step` on, in that epoch's random order."""
        order = self._order(self._rng(1, epoch))
        announced: set[int] = set()
        for step in range(first_step, self.steps):
            taken = order[step * self.batch_size : (step + 1) * self.batch_size]
            if self.block_rows:
                self._announce(np.unique(taken // self.block_rows).tolist(), announced)
            yield self._batch(taken, self._rng(2, epoch, step))

    def _announce(self, wanted: list[int], announced: set[int]) -> None:
        """Have blocks read as a whole before their rows are asked for one by one."""
        x = self.split.tensors
        for block in wanted:
            if block not in announced:
                announced.add(block)
                first = block * self.block_rows
                for array in (x.rows, x.weights, x.dense):
                    blocks.soon(array, first, min(first + self.block_rows, len(x)))

    def _drawn(self, negatives: int) -> int:
        return max(1, round(negatives * self.kept_negatives)) if negatives else 0

    def _order(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.kept_negatives == 1.0:
            if self.block_rows:
                return blocks.order(np.arange(len(self.split)), self.block_rows, rng)
            return rng.permutation(len(self.split))
        negatives = np.flatnonzero(self.split.labels == 0)
        drawn = rng.choice(negatives, self._drawn(len(negatives)), replace=False)
        both = np.concatenate([np.flatnonzero(self.split.labels == 1), drawn])
        return (
            blocks.order(both, self.block_rows, rng) if self.block_rows else rng.permutation(both)
        )

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, *key]))

    def _batch(self, taken: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        size, count = self.batch_size, len(taken)
        taken_rows = self.split.tensors.rows[taken]
        if np.any(self.oov_rate):
            unknown = rng.random(taken_rows.shape, dtype=np.float32) < self.oov_rate
            unknown &= self.may_be_unknown
            np.copyto(taken_rows, self.offsets, where=unknown, casting="same_kind")
        source = self.split.tensors
        tensors = Tensors(
            _padded(taken_rows.astype(np.int32, copy=False), size),
            None if source.weights is None else _padded(source.weights[taken], size),
            None if source.dense is None else _padded(source.dense[taken], size),
        )
        labels = np.zeros(size, dtype=np.float32)
        labels[:count] = self.split.labels[taken]
        weights = np.zeros(size, dtype=np.float32)
        weights[:count] = 1.0
        if self.positive_weight != 1.0:
            weights[labels == 1.0] = self.positive_weight
        penalties = None if self.penalty_of_row is None else self.penalty_of_row[tensors.rows]
        masks = tuple(self._mask(rng, width) for width in self.widths) if self.dropped else ()
        return Batch(tensors, labels, weights, count, penalties, masks)

    def _mask(self, rng: np.random.Generator, width: int) -> npt.NDArray[np.uint8]:
        drawn = random_bytes(rng, self.batch_size * width)
        return (drawn >= self.dropped).view(np.uint8).reshape(self.batch_size, width)


def random_bytes(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
    """The bytes that `rng.bytes` gives of PCG64, in about a third of the time.

    Args:
        rng: a generator of PCG64.
        count: number of bytes.
    """
    whole = rng.bit_generator
    if count % 8 or whole.state["has_uint32"]:
        # Half a number is left, of which `bytes` gives the other half first.
        return np.frombuffer(rng.bytes(count), dtype=np.uint8)
    drawn: npt.NDArray[np.uint64] = whole.random_raw(count // 8)
    return drawn.astype("<u8", copy=False).view(np.uint8)


def _padded(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    if len(values) == size:
        return values
    whole = np.zeros((size, values.shape[1]), dtype=values.dtype)
    whole[: len(values)] = values
    return whole
