"""xDeepFM: a compressed interaction network beside a deep one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class XDeepFM(Network):
    """Lian et al. 2018, "xDeepFM: Combining Explicit and Implicit Feature Interactions".

    logit = sum_i x_i w_i + w_out . [p_1, ..., p_L, h] + b_out, h the last layer of the DNN;
    X_0 the F embeddings, X_l[h] = sum_{i,j} W_l[h,i,j] X_{l-1}[i] * X_0[j], and p_l[h] the sum
    of X_l[h] over its k values (the CIN without activation, as the paper found best).

    Parameters: rows (k + 1) + sum_l H_l H_{l-1} F + those of the DNN + sum_l H_l.
    """

    title: ClassVar[str] = "xDeepFM"
    takes: ClassVar[tuple[str, ...]] = ("hidden", "cin_layers")

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        sizes = shape.options["cin_layers"]
        self.cin = nn.ModuleList(
            [
                nn.Linear(a * shape.num_fields, b, bias=False)
                for a, b in zip((shape.num_fields, *sizes), sizes, strict=False)
            ]
        )
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(sum(sizes) + shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Tables, CIN, DNN, output."""
        sizes = shape.options["cin_layers"]
        cin = {
            f"cin.{layer}.weight": base.glorot(a * shape.num_fields, b)
            for layer, (a, b) in enumerate(zip((shape.num_fields, *sizes), sizes, strict=False))
        }
        return {
            "embedding.weight": base.table(shape.num_rows, shape.embedding_dim),
            "linear.weight": base.table(shape.num_rows, 1, "zeros"),
            **cin,
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **base.out(sum(sizes) + shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order, CIN and DNN."""
        fields, k = self.shape.num_fields, self.shape.embedding_dim
        # [n, k, F]: each of the k values has its own products, and shares the weights.
        first = x.flat.reshape(x.n, fields, k).permute(0, 2, 1)
        crossed, pooled = first, []
        for layer in self.cin:
            rows = crossed.shape[2]
            products = crossed.reshape(x.n, k, rows, 1) * first.reshape(x.n, k, 1, fields)
            crossed = layer(products.reshape(x.n, k, rows * fields))
            pooled.append(crossed.sum(dim=1))
        deep = self.run(self.dnn, x.wide(), masks)
        return self.first_order(x) + self.out(flow.cat([*pooled, deep], dim=1)).reshape(x.n)
