"""What all families share: their shape, the embedding table, and how parameters come to be.

A family is one module here with one class, and one line in the registry (`__init__`). The class
says its parameters twice: `plan` as plain shapes, which training, warm start and the model card
read without OneFlow's help, and `__init__` as OneFlow modules of the same names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import oneflow as flow
from oneflow import nn

from nightshift.errors import ContractError

MASK_LEVELS = 256
"""Dropout masks come from random bytes, so rates are multiples of 1/256."""

BIAS = "out.bias"
"""The parameter of every family that is added to each logit."""

FIRST_ORDER = "linear.weight"
"""The table of the ids' own weights, which a logistic regression has, too."""

EMBEDDING = "embedding.weight"
"""The table of embeddings."""

FIRST_LAYER = "dnn.0.weight"
"""Of the deep part: reads each field's embedding, then the numbers."""


@dataclass(frozen=True)
class Architecture:
    """What decides the shapes of a network's parameters.

    Attributes:
        num_rows: rows of the embedding table, all fields together.
        num_fields: F, the network's fields.
        embedding_dim: k, the length of an embedding.
        hidden: widths of the DNN's layers.
        family: name in the registry.
        group_widths: input columns of each field, added up to one embedding; empty: one each.
        num_dense: M, dense numbers beside the embeddings.
        weighted: input columns have weights.
        options: the family's own sizes.
    """

    num_rows: int
    num_fields: int
    embedding_dim: int
    hidden: tuple[int, ...]
    family: str = "deepfm"
    group_widths: tuple[int, ...] = ()
    num_dense: int = 0
    weighted: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def widths(self) -> tuple[int, ...]:
        """Input columns of each field."""
        return self.group_widths or (1,) * self.num_fields

    @property
    def num_columns(self) -> int:
        """Input columns, all fields together."""
        return sum(self.widths)

    @property
    def flat(self) -> int:
        """Length of all embeddings side by side, with the dense numbers after them."""
        return self.num_fields * self.embedding_dim + self.num_dense

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "hidden": list(self.hidden),
            "group_widths": list(self.group_widths),
            "options": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in self.options.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Architecture:
        """Read what `to_json` gave; families came later than the format.

        Raises:
            ContractError: a key is missing or unknown; `where` is named.
        """
        try:
            lists = {name: tuple(value.get(name, ())) for name in ("hidden", "group_widths")}
            options = {
                key: tuple(item) if isinstance(item, list) else item
                for key, item in value.get("options", {}).items()
            }
            return cls(**{**value, **lists, "options": options})
        except TypeError as error:
            raise ContractError(f"{where} holds no architecture: {error}") from error


@dataclass(frozen=True)
class Weight:
    """One parameter of a family, as plain figures.

    Attributes:
        shape: its shape.
        start: fresh values: `zeros`, `ones`, `normal` (of the run's `init_std`), `uniform`
            between -`bound` and `bound`, or `odds`: the logit of the share of positives.
        bound: of `uniform`.
        table: a row belongs to an id; sparse updates, and carried over by id in a warm start.
    """

    shape: tuple[int, ...]
    start: str
    bound: float = 0.0
    table: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


Plan = dict[str, Weight]


def table(rows: int, width: int, start: str = "normal") -> Weight:
    """An embedding table."""
    return Weight((rows, width), start, table=True)


def dense(name: str, inputs: int, outputs: int) -> Plan:
    """A layer that ReLU follows (He et al. 2015, "Delving Deep into Rectifiers")."""
    return {
        f"{name}.weight": Weight((outputs, inputs), "uniform", math.sqrt(6.0 / inputs)),
        f"{name}.bias": Weight((outputs,), "zeros"),
    }


def glorot(inputs: int, outputs: int, *shape: int) -> Weight:
    """A linear map (Glorot and Bengio 2010)."""
    return Weight(shape or (outputs, inputs), "uniform", math.sqrt(6.0 / (inputs + outputs)))


def mlp(name: str, widths: Sequence[int]) -> Plan:
    """Layers of the given widths, the first being the input's."""
    plan: Plan = {}
    for layer, (a, b) in enumerate(itertools.pairwise(widths)):
        plan |= dense(f"{name}.{layer}", a, b)
    return plan


def out(inputs: int) -> Plan:
    """The last layer: a logit, whose bias begins at the logit of the share of positives."""
    return {"out.weight": glorot(inputs, 1), BIAS: Weight((1,), "odds")}


def wide_and_deep(shape: Architecture) -> Plan:
    """Embeddings, first-order weights, and a DNN over the embeddings with its logit."""
    return {
        EMBEDDING: table(shape.num_rows, shape.embedding_dim),
        FIRST_ORDER: table(shape.num_rows, 1, "zeros"),
        **mlp("dnn", [shape.flat, *shape.hidden]),
        **out(shape.hidden[-1]),
    }


@dataclass(frozen=True)
class Looked:
    """What was looked up for n rows.

    Attributes:
        rows: int32 [n, columns].
        weights: float32 [n, columns] or None.
        dense: float32 [n, M] or None.
        each: float32 [n, columns, width of the table], before weights; None without a table.
        flat: float32 [n, F * width of the table]: weighted, and added up by field; None likewise.
        own: float32 [n, columns], first-order weights, before `weights`; None without their table.
    """

    rows: flow.Tensor
    weights: flow.Tensor | None
    dense: flow.Tensor | None
    each: flow.Tensor
    flat: flow.Tensor
    own: flow.Tensor

    @property
    def n(self) -> int:
        """Number of rows."""
        count: int = self.rows.shape[0]
        return count

    @cached_property
    def norms(self) -> flow.Tensor:
        """Squared lengths of the looked-up embeddings, before weights: float32 [n, columns]."""
        n, columns, width = self.each.shape
        return row_sums(flow.square(self.each).reshape(n * columns, width)).reshape(n, columns)

    @cached_property
    def norm(self) -> flow.Tensor:
        """The squared length of `flat`: float32 [n]."""
        columns, width = self.each.shape[1:]
        if columns * width != self.flat.shape[1]:
            return row_sums(flow.square(self.flat))
        weights = self.weights
        return row_sums(self.norms if weights is None else self.norms * flow.square(weights))

    def wide(self) -> flow.Tensor:
        """Embeddings and dense numbers side by side: [n, F * k + M]."""
        return self.flat if self.dense is None else flow.cat([self.flat, self.dense], dim=1)


class Bias(nn.Module):  # type: ignore[misc]
    """The constant of a family that ends in no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(flow.zeros(1))


class Network(nn.Module):  # type: ignore[misc]
    """A family's network: the logit of a click or purchase.

    Attributes:
        title: the family's name for people.
        takes: hyper-parameters of the family's own.
        masked: layers that dropout masks, `hidden` by default.
    """

    title: ClassVar[str] = ""
    takes: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.dropped = dropped_levels(dropout)
        plan = self.plan(shape)
        for name in ("embedding", "linear"):
            weight = plan.get(f"{name}.weight")
            if weight is not None:
                setattr(self, name, nn.Embedding(*weight.shape))
        self.stored = False
        self.has_embedding = EMBEDDING in plan
        self.has_linear = FIRST_ORDER in plan

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """The parameters by name, in the order in which they are drawn."""
        raise NotImplementedError

    @classmethod
    def mask_widths(cls, shape: Architecture) -> tuple[int, ...]:
        """Widths of the layers that dropout masks."""
        return shape.hidden

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Logits float32 [n] of what was looked up."""
        raise NotImplementedError

    def forward(
        self,
        rows: flow.Tensor,
        weights: flow.Tensor | None = None,
        dense: flow.Tensor | None = None,
        masks: Sequence[flow.Tensor] = (),
    ) -> flow.Tensor:
        """Logits.

        Args:
            rows: int32 [n, columns] rows of the table.
            weights: float32 [n, columns]; None where every one is 1.
            dense: float32 [n, M], transformed numbers; None where there are none.
            masks: in training with dropout, one uint8 tensor of 0 and 1 a masked layer, of the
                layer's shape [n, width]: inputs rather than the graph's own random numbers, so
                that a resumed training draws the same ones.

        Returns:
            float32 [n].
        """
        return self.logits(self.look_up(rows, weights, dense), masks)

    def look_up(
        self, rows: flow.Tensor, weights: flow.Tensor | None, dense: flow.Tensor | None
    ) -> Looked:
        """The embeddings and first-order weights of n rows.

        Each table is looked up once: of two lookups the gradient would be dense, and an optimizer's
        step with it.
        """
        return self._taken(rows, weights, dense, *self._looked_up(rows))

    def look_up_parts(
        self,
        rows: flow.Tensor,
        weights: flow.Tensor | None,
        dense: flow.Tensor | None,
        sizes: Sequence[int],
    ) -> list[Looked]:
        """`look_up` of n rows as parts of the given numbers of rows, one after the other."""
        if len(sizes) == 1:
            return [self.look_up(rows, weights, dense)]
        each, own = self._looked_up(rows)
        given = [None if x is None else pieces(x, sizes) for x in (rows, weights, dense)]
        made = [None if x is None else split_rows(x, sizes) for x in (each, own)]
        return [
            self._taken(*(None if x is None else x[part] for x in (*given, *made)))
            for part in range(len(sizes))
        ]

    def _taken(
        self,
        rows: flow.Tensor,
        weights: flow.Tensor | None,
        dense: flow.Tensor | None,
        each: flow.Tensor | None,
        own: flow.Tensor | None,
    ) -> Looked:
        n, columns = rows.shape
        if each is None:
            return Looked(rows, weights, dense, None, None, own)
        k = each.shape[2]
        weighted = each if weights is None else each * spread(weights, k).reshape(n, columns, k)
        if columns == self.shape.num_fields:
            return Looked(rows, weights, dense, each, weighted.reshape(n, columns * k), own)
        parts = []
        start = single = 0
        for width in (*self.shape.widths, 0):
            if width == 1:
                start += 1
                continue
            if start > single:
                block = weighted[:, single:start, :]
                parts.append(block.reshape(n, (start - single) * k))
            if width:
                parts.append(weighted[:, start : start + width, :].sum(dim=1))
            start += width
            single = start
        return Looked(rows, weights, dense, each, flow.cat(parts, dim=1), own)

    def _looked_up(self, rows: flow.Tensor) -> tuple[flow.Tensor | None, flow.Tensor | None]:
        """Embeddings [n, columns, k] and first-order weights [n, columns], where there are such."""
        each = own = None
        if self.stored:
            line = self.store(rows)
            width = line.shape[2] - self.has_linear
            each = line[:, :, :width] if self.has_embedding else None
            own = line[:, :, width:] if self.has_linear else None
        else:
            own = self.linear(rows) if self.has_linear else None
            each = looked_up(self.embedding, rows) if self.has_embedding else None
        return each, None if own is None else own.reshape(*rows.shape)

    def keep_tables_in(self, store: nn.Module) -> None:
        """Look rows up in a store from now on, which has the embeddings and then the weights."""
        for name in ("embedding", "linear"):
            if hasattr(self, name):
                delattr(self, name)
        self.store, self.stored = store, True

    def first_order(self, x: Looked) -> flow.Tensor:
        """The sum of the inputs' own weights: float32 [n]."""
        return row_sums(x.own if x.weights is None else x.own * x.weights)

    def masked(self, x: flow.Tensor, mask: flow.Tensor) -> flow.Tensor:
        """Drop units, and scale the others up."""
        return x * (mask.to(flow.float32) * (MASK_LEVELS / (MASK_LEVELS - self.dropped)))

    def run(
        self, layers: nn.ModuleList, x: flow.Tensor, masks: Sequence[flow.Tensor]
    ) -> flow.Tensor:
        """ReLU layers, masked in training."""
        for at, layer in enumerate(layers):
            x = flow.relu(layer(x))
            if masks:
                x = self.masked(x, masks[at])
        return x


def part_sizes(rows: int, parts: int) -> list[int]:
    """Rows of each of so many parts, as even as can be."""
    return [(rows + at) // parts for at in range(parts)]


def pieces(x: flow.Tensor, sizes: Sequence[int]) -> list[flow.Tensor]:
    """Tensors of these numbers of rows, one after the other, of one without a gradient."""
    if len(sizes) == 1:
        return [x]
    starts = itertools.accumulate(sizes, initial=0)
    return [flow.narrow(x, 0, start, size) for start, size in zip(starts, sizes, strict=False)]


def split_rows(x: flow.Tensor, sizes: Sequence[int]) -> list[flow.Tensor]:
    """Tensors of these numbers of rows, one after the other, of float32 [n, ...].

    By `split_like`, whose gradient is one concatenation. That of slices would be a tensor of zeros
    of the whole size for each, and their sum.
    """
    likes = {size: x.new_ones((size, *x.shape[1:])) for size in set(sizes)}
    return list(flow._C.split_like(x, [likes[size] for size in sizes], 0))


def row_sums(x: flow.Tensor) -> flow.Tensor:
    """The sum of each row of float32 [n, w]: [n].

    By a product with ones: OneFlow's own sum over an axis, and the broadcast that is its gradient,
    take several times as long on a CPU.
    """
    return flow.matmul(x, _ones(x, x.shape[1], 1)).reshape(x.shape[0])


def spread(x: flow.Tensor, width: int) -> flow.Tensor:
    """Each value of a float32 tensor side by side: [values, width].

    By a product, as in `row_sums`: OneFlow's broadcast of an axis and its gradient are slow.
    """
    return flow.matmul(x.reshape(x.numel(), 1), _ones(x, 1, width))


def _ones(x: flow.Tensor, *shape: int) -> flow.Tensor:
    if x.is_global:
        return x.new_ones(shape, placement=x.placement, sbp=flow.sbp.broadcast)
    return x.new_ones(shape)


def looked_up(table: nn.Embedding, rows: flow.Tensor) -> flow.Tensor:
    """Rows of a table, which several processes may share.

    Where each process holds some of the columns it looks them up for the rows of all, and each then
    takes all columns of its own rows. Said here, or OneFlow may bring the table together instead.
    """
    weight = table.weight
    if not weight.is_global or weight.sbp[0] != flow.sbp.split(1):
        return table(rows)
    everywhere = rows.to_global(sbp=flow.sbp.broadcast)
    return table(everywhere).to_global(sbp=flow.sbp.split(0))


def layers(widths: Sequence[int]) -> nn.ModuleList:
    """Linear layers of the given widths, the first being the input's."""
    pairs = itertools.pairwise(widths)
    return nn.ModuleList([nn.Linear(a, b) for a, b in pairs])


def dropped_levels(rate: float) -> int:
    """How many of 256 byte values drop a unit."""
    return round(rate * MASK_LEVELS)


def initial_parameters(
    plan: Plan, *, seed: int, init_std: float, base_rate: float
) -> dict[str, npt.NDArray[np.float32]]:
    """Fresh parameters, drawn by NumPy so that a seed means the same in every version.

    Args:
        plan: the family's.
        seed: of the generator.
        init_std: standard deviation of embeddings.
        base_rate: share of positives; the output bias begins at its logit, which spares a rare
            class the epochs in which only the bias moves, and keeps scores calibrated.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    values: dict[str, npt.NDArray[np.float32]] = {}
    for name, weight in plan.items():
        if weight.start == "normal":
            drawn = rng.standard_normal(weight.shape, dtype=np.float32)
            values[name] = drawn * np.float32(init_std)
        elif weight.start == "uniform":
            drawn = rng.random(weight.shape, dtype=np.float32)
            values[name] = (drawn * 2 - 1) * np.float32(weight.bound)
        elif weight.start == "odds":
            values[name] = np.array([np.log(base_rate / (1.0 - base_rate))], np.float32)
        else:
            values[name] = np.full(weight.shape, float(weight.start == "ones"), np.float32)
    return values


def parameters(network: Network) -> dict[str, npt.NDArray[np.float32]]:
    """Copies of every parameter, by name."""
    return {name: value.copy() for name, value in views(network).items()}


def views(network: Network) -> dict[str, npt.NDArray[np.float32]]:
    """Every parameter by name; on a CPU the network's own memory, which training changes."""
    return {name: tensor.numpy() for name, tensor in network.named_parameters()}
