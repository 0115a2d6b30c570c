"""DeepFM: a factorisation machine and a deep network over shared embeddings.

Guo, Tang, Ye, Li and He, "DeepFM: A Factorization-Machine based Neural Network for CTR
Prediction", IJCAI 2017.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow
from oneflow import nn

MASK_LEVELS = 256
"""Dropout masks come from random bytes, so rates are multiples of 1/256."""


@dataclass(frozen=True)
class Architecture:
    """What decides the shapes of a network's parameters.

    Attributes:
        num_rows: rows of the embedding table, all fields together.
        num_fields: ids a row.
        embedding_dim: k, the length of an embedding.
        hidden: widths of the DNN's layers.
    """

    num_rows: int
    num_fields: int
    embedding_dim: int
    hidden: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "hidden": list(self.hidden)}


class DeepFM(nn.Module):  # type: ignore[misc]
    """Logit of a click or purchase from table rows.

    The second-order term uses 0.5 * ((sum v)^2 - sum v^2) (Rendle, "Factorization Machines",
    2010), with the sum over fields as one matrix product: `field_sum` is k identity matrices.
    """

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.dropped = dropped_levels(dropout)
        k = shape.embedding_dim
        self.embedding = nn.Embedding(shape.num_rows, k)
        self.linear = nn.Embedding(shape.num_rows, 1)
        identity = np.tile(np.eye(k, dtype=np.float32), (shape.num_fields, 1))
        self.register_buffer("field_sum", flow.from_numpy(identity))
        widths = [shape.num_fields * k, *shape.hidden]
        self.dnn = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        self.out = nn.Linear(widths[-1], 1)

    def forward(self, rows: flow.Tensor, masks: Sequence[flow.Tensor] = ()) -> flow.Tensor:
        """Logits.

        Args:
            rows: int32 [n, number of fields] rows of the table.
            masks: in training with dropout, one uint8 tensor of 0 and 1 a hidden layer, of the
                layer's shape [n, width]: inputs rather than the graph's own random numbers, so
                that a resumed training draws the same ones.

        Returns:
            float32 [n].
        """
        return self.logits(self.embed(rows), rows, masks)

    def embed(self, rows: flow.Tensor) -> flow.Tensor:
        """Embeddings side by side: float32 [n, number of fields * k]."""
        width = self.shape.num_fields * self.shape.embedding_dim
        return self.embedding(rows).reshape(rows.shape[0], width)

    def logits(
        self, embedded: flow.Tensor, rows: flow.Tensor, masks: Sequence[flow.Tensor] = ()
    ) -> flow.Tensor:
        """Logits from what `embed` gave; see `forward`."""
        n = rows.shape[0]
        first = self.linear(rows).reshape(n, self.shape.num_fields).sum(dim=1)
        total = flow.matmul(embedded, self.field_sum)
        second = 0.5 * (flow.square(total).sum(dim=1) - flow.square(embedded).sum(dim=1))
        x = embedded
        for layer, dense in enumerate(self.dnn):
            x = flow.relu(dense(x))
            if masks:
                kept = MASK_LEVELS / (MASK_LEVELS - self.dropped)
                x = x * (masks[layer].to(flow.float32) * kept)
        return first + second + self.out(x).reshape(n)


def dropped_levels(rate: float) -> int:
    """How many of 256 byte values drop a unit."""
    return round(rate * MASK_LEVELS)


def initial_parameters(
    shape: Architecture, *, seed: int, init_std: float, base_rate: float
) -> dict[str, npt.NDArray[np.float32]]:
    """Fresh parameters, drawn by NumPy so that a seed means the same in every version.

    Args:
        shape: the network's.
        seed: of the generator.
        init_std: standard deviation of embeddings.
        base_rate: share of positives; the output bias begins at its logit, which spares a rare
            class the epochs in which only the bias moves, and keeps scores calibrated.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    k = shape.embedding_dim

    def uniform(bound: float, *size: int) -> npt.NDArray[np.float32]:
        drawn: npt.NDArray[np.float32] = rng.random(size, dtype=np.float32)
        return (drawn * 2 - 1) * np.float32(bound)

    values: dict[str, npt.NDArray[np.float32]] = {
        "embedding.weight": rng.standard_normal((shape.num_rows, k), dtype=np.float32)
        * np.float32(init_std),
        "linear.weight": np.zeros((shape.num_rows, 1), np.float32),
    }
    widths = [shape.num_fields * k, *shape.hidden]
    for layer, (a, b) in enumerate(itertools.pairwise(widths)):
        # He et al. 2015, for ReLU.
        values[f"dnn.{layer}.weight"] = uniform(float(np.sqrt(6.0 / a)), b, a)
        values[f"dnn.{layer}.bias"] = np.zeros(b, np.float32)
    values["out.weight"] = uniform(float(np.sqrt(6.0 / (widths[-1] + 1))), 1, widths[-1])
    odds = np.log(base_rate / (1.0 - base_rate))
    values["out.bias"] = np.array([odds], np.float32)
    return values


def build(
    shape: Architecture, values: dict[str, npt.NDArray[Any]], device: str, dropout: float = 0.0
) -> DeepFM:
    """A network with the given parameters.

    Always a fresh one: after a graph has trained a network, OneFlow 0.9 can no longer move it.

    Args:
        shape: the architecture.
        values: float32 arrays by name, exactly the network's.
        device: `cpu` or `cuda`.
        dropout: for training; scoring passes no masks and needs none.
    """
    network = DeepFM(shape, dropout)
    state = {name: flow.from_numpy(np.ascontiguousarray(v)) for name, v in values.items()}
    state["field_sum"] = network.state_dict()["field_sum"]
    network.load_state_dict(state)
    network.to(device)
    return network


def parameters(network: DeepFM) -> dict[str, npt.NDArray[np.float32]]:
    """Copies of every parameter, by name."""
    return {
        name: np.array(tensor.numpy(), copy=True)
        for name, tensor in network.state_dict().items()
        if name != "field_sum"
    }
