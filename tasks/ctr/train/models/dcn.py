"""Deep & Cross, the first version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class DCN(Network):
    """Wang, Fu, Fu and Wang 2017, "Deep & Cross Network for Ad Click Predictions".

    x_0 = [x_1 v_1, ..., dense]; x_{l+1} = x_0 (x_l . w_l) + b_l + x_l;
    logit = w_out . [x_L, h] + b_out with h the DNN's last layer.

    Parameters: rows k + 2 d L + those of the DNN on d = F k + M inputs + d.
    """

    title: ClassVar[str] = "DCN"
    takes: ClassVar[tuple[str, ...]] = ("hidden", "cross_layers")

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.cross = nn.ModuleList(
            [_Cross(shape.flat) for _ in range(shape.options["cross_layers"])]
        )
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(shape.flat + shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, cross layers, DNN, output."""
        crosses: Plan = {}
        for layer in range(shape.options["cross_layers"]):
            crosses[f"cross.{layer}.weight"] = base.glorot(shape.flat, 1, shape.flat, 1)
            crosses[f"cross.{layer}.bias"] = base.Weight((shape.flat,), "zeros")
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            **crosses,
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **base.out(shape.flat + shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Crosses beside the DNN."""
        first = crossed = x.wide()
        for cross in self.cross:
            along = base.spread(flow.matmul(crossed, cross.weight), self.shape.flat)
            crossed = first * along + cross.bias + crossed
        deep = self.run(self.dnn, first, masks)
        return self.out(flow.cat([crossed, deep], dim=1)).reshape(x.n)


class _Cross(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(flow.zeros(width, 1))
        self.bias = nn.Parameter(flow.zeros(width))
