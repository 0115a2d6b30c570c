"""From an encoded row to what a network takes: table rows, weights of them, and dense numbers.

All fields share one embedding table, and every input is "a weight times a row of it":

- an id: its row, weight 1;
- a number: the field's one value row, weighted by the transformed number, so that it enters a
  factorisation machine as value times embedding; a missing one is the field's first row,
  weight 1. Beside it, where the field has bins, the row of the number's bin;
- trees, where there are any: their logit, as a number;
- a text of several values: a row a token. The weights of a row's tokens add up to 1 (pool
  `mean`) or are 1 each (`sum`); padding weighs 0. The columns are added up to one field.

A model of nothing but ids has weights of 1 throughout and no dense numbers, and skips both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.errors import ContractError
from nightshift.features.encoding import PAD_ID, Ids, numbers_of
from nightshift.features.numbers import NumberStatistics
from nightshift.features.specification import Field
from tasks.ctr.train import trees as boosted
from tasks.ctr.train.trees import Trees
from tasks.ctr.train.vocabulary import Rows, Vocabulary

Floats = npt.NDArray[np.float32]

VALUE_ID = 1
"""In the vocabulary of a number: its value row. Its first row is that of a missing number."""


@dataclass(frozen=True)
class Source:
    """One column of a network's input.

    Attributes:
        column: the column of the encoded row that it is made of; -1 where it is made of many.
        part: the vocabulary's part that holds its rows.
        kind: `id`, `value` (of a number), `bin` (of a number) or `token`.
    """

    column: int
    part: int
    kind: str


@dataclass(frozen=True)
class Group:
    """One field of the network: columns that are added up to one embedding.

    Attributes:
        name: the feature's name; a number's bins are `name/bin`.
        kind: as of its sources.
        first: its first column of the network's input.
        width: number of columns.
        pool: of tokens; empty otherwise.
        sequence: the tokens' order means something.
    """

    name: str
    kind: str
    first: int
    width: int
    pool: str = ""
    sequence: bool = False


@dataclass(frozen=True)
class Tensors:
    """A network's input of n rows.

    Attributes:
        rows: int32 [n, columns] rows of the embedding table.
        weights: float32 [n, columns], or None where every one is 1.
        dense: float32 [n, numbers] transformed numbers, 0 for a missing one; None without any.
    """

    rows: Rows
    weights: Floats | None
    dense: Floats | None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, at: npt.NDArray[np.int64] | slice) -> Tensors:
        """Some of the rows."""
        return Tensors(
            self.rows[at],
            None if self.weights is None else self.weights[at],
            None if self.dense is None else self.dense[at],
        )


class Inputs:
    """How encoded rows become a network's input; kept with the model.

    Attributes:
        fields: the specification's fields.
        statistics: of each numeric field that stays a number, and of the trees' logit, by name.
        trees: whose logit is the last number, or None.
        groups: the network's fields.
        sources: the network's columns.
        part_names: what each part of the vocabulary is of.
        numbers: names of the dense inputs.
    """

    def __init__(
        self,
        fields: tuple[Field, ...],
        statistics: dict[str, NumberStatistics],
        trees: Trees | None = None,
    ) -> None:
        self.fields = fields
        self.statistics = statistics
        self.trees = trees
        groups: list[Group] = []
        sources: list[Source] = []
        parts: list[str] = []
        part_of: dict[str, int] = {}
        self._columns: list[int] = []
        column = 0

        def add(name: str, kind: str, part: str, width: int = 1, **more: Any) -> None:
            if part not in part_of:
                part_of[part] = len(parts)
                parts.append(part)
            groups.append(Group(name, kind, len(sources), width, **more))
            place = -1 if part == boosted.NAME else column
            sources.extend(Source(place + at, part_of[part], kind) for at in range(width))

        for field in fields:
            if field.number:
                add(field.name, "value", field.name)
                if statistics[field.name].edges:
                    add(f"{field.name}/bin", "bin", f"{field.name}/bin")
            elif field.tokens:
                tokens = field.tokens
                add(
                    *(field.name, "token", tokens.shares or field.name, tokens.most),
                    pool=tokens.pool,
                    sequence=tokens.sequence,
                )
            else:
                add(field.name, "id", field.name)
            self._columns.append(column)
            column += field.width
        self.width = column
        if trees is not None:
            add(boosted.NAME, "value", boosted.NAME)
        self.groups = tuple(groups)
        self.sources = tuple(sources)
        self.part_names = tuple(parts)
        self.numbers = tuple(group.name for group in groups if group.kind == "value")
        self.weighted = any(source.kind in ("value", "token") for source in sources)
        # Column and part of each input, where all are ids; no columns where these are all, in order.
        self._plain: tuple[list[int] | None, list[int]] | None = None
        if all(source.kind == "id" for source in sources):
            columns = [source.column for source in sources]
            whole = columns == list(range(self.width))
            self._plain = None if whole else columns, [source.part for source in sources]

    @property
    def group_widths(self) -> tuple[int, ...]:
        """Columns of each of the network's fields."""
        return tuple(group.width for group in self.groups)

    def first_column(self, name: str) -> int:
        """First column of a feature in the encoded row."""
        return self._columns[[field.name for field in self.fields].index(name)]

    def columns_of(self, name: str) -> range:
        """Columns of a feature in the encoded row."""
        first = self.first_column(name)
        width = next(field.width for field in self.fields if field.name == name)
        return range(first, first + width)

    def may_be_unknown(self) -> npt.NDArray[np.bool_]:
        """Which of the network's columns hold ids, which a request may bring unseen."""
        return np.array([source.kind in ("id", "token") for source in self.sources])

    def tensors(self, encoded: Ids, vocabulary: Vocabulary) -> Tensors:
        """A network's input of encoded rows.

        Args:
            encoded: int64 [n, width].
            vocabulary: of the model.

        Raises:
            ContractError: another dtype or number of columns.
        """
        if encoded.dtype != np.int64 or encoded.ndim != 2 or encoded.shape[1] != self.width:
            raise ContractError(
                f"ids are {encoded.dtype} of shape {list(encoded.shape)}; the model wants int64 of "
                f"[rows, {self.width}]"
            )
        if self._plain is not None:
            columns, parts = self._plain
            ids = encoded if columns is None else encoded[:, columns]
            return Tensors(vocabulary.rows_of_fields(parts, ids), None, None)
        return self.of_columns(
            {at: encoded[:, at] for at in range(self.width)}, len(encoded), vocabulary
        )

    def of_columns(self, columns: Any, count: int, vocabulary: Vocabulary) -> Tensors:
        """As `tensors`, of columns int64 [n] by number, each looked up when it is needed."""
        rows = np.empty((count, len(self.sources)), dtype=np.int32)
        weights = np.ones(rows.shape, dtype=np.float32) if self.weighted else None
        dense = np.zeros((count, len(self.numbers)), dtype=np.float32) if self.numbers else None
        number = 0
        for group in self.groups:
            source = self.sources[group.first]
            if group.kind in ("value", "bin"):
                statistics = self.statistics[group.name.removesuffix("/bin")]
                if group.name == boosted.NAME:
                    assert self.trees is not None
                    raw = self.trees.score(columns, count)
                else:
                    raw = numbers_of(columns[source.column])
                if group.kind == "bin":
                    ids = statistics.bin_of(raw)
                else:
                    values = statistics.apply(raw)
                    known = ~np.isnan(values)
                    ids = np.where(known, VALUE_ID, 0).astype(np.int64)
                    assert weights is not None and dense is not None
                    weights[:, group.first] = np.where(known, values, 1.0)
                    dense[:, number] = np.where(known, values, 0.0)
                    number += 1
                rows[:, group.first] = vocabulary.rows_of_field(source.part, ids)
                continue
            held = np.zeros((count, group.width), dtype=bool)
            for at in range(group.width):
                source = self.sources[group.first + at]
                ids = columns[source.column]
                rows[:, group.first + at] = vocabulary.rows_of_field(source.part, ids)
                held[:, at] = ids != PAD_ID
            if group.kind == "token":
                assert weights is not None
                total = held.sum(axis=1, keepdims=True) if group.pool == "mean" else 1
                weights[:, group.first : group.first + group.width] = held / np.maximum(total, 1)
        return Tensors(rows, weights, dense)

    def to_json(self) -> dict[str, Any]:
        """What a model folder keeps beside the specification."""
        return {name: found.to_json() for name, found in self.statistics.items()}
