"""Deep & Cross, the second version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class DCNv2(Network):
    """Wang et al. 2021, "DCN V2: Improved Deep & Cross Network", its parallel structure.

    x_0 = [x_1 v_1, ..., dense]; x_{l+1} = x_0 * (W_l x_l + b_l) + x_l;
    logit = w_out . [x_L, h] + b_out with h the DNN's last layer. With `cross_rank` r above 0,
    W_l = U_l V_l of rank r.

    Parameters: rows k + (d d + d) L (of rank r: (2 r d + d) L) + those of the DNN on
    d = F k + M inputs + d.
    """

    title: ClassVar[str] = "DCN v2"
    takes: ClassVar[tuple[str, ...]] = ("hidden", "cross_layers", "cross_rank")

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        width, rank = shape.flat, shape.options["cross_rank"]
        count = range(shape.options["cross_layers"])
        if rank:
            self.down = nn.ModuleList([nn.Linear(width, rank, bias=False) for _ in count])
        self.cross = nn.ModuleList([nn.Linear(rank or width, width) for _ in count])
        self.dnn = base.layers([width, *shape.hidden])
        self.out = nn.Linear(width + shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, cross layers, DNN, output."""
        width, rank = shape.flat, shape.options["cross_rank"]
        crosses: Plan = {}
        for layer in range(shape.options["cross_layers"]):
            if rank:
                crosses[f"down.{layer}.weight"] = base.glorot(width, rank)
            crosses[f"cross.{layer}.weight"] = base.glorot(rank or width, width)
            crosses[f"cross.{layer}.bias"] = base.Weight((width,), "zeros")
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            **crosses,
            **base.mlp("dnn", [width, *shape.hidden]),
            **base.out(width + shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Crosses beside the DNN."""
        first = crossed = x.wide()
        for layer, cross in enumerate(self.cross):
            given = self.down[layer](crossed) if self.shape.options["cross_rank"] else crossed
            crossed = first * cross(given) + crossed
        deep = self.run(self.dnn, first, masks)
        return self.out(flow.cat([crossed, deep], dim=1)).reshape(x.n)
