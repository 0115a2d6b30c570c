"""xDeepFM: a compressed interaction network beside a deep one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
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
        fields = shape.num_fields
        given = (fields, *sizes[:-1])
        self.cin = nn.ModuleList(
            [nn.Linear(a * fields, b, bias=False) for a, b in zip(given, sizes, strict=True)]
        )
        for at, rows in enumerate(given):
            # All pairs of a layer's values and the fields', side by side: by products with ones and
            # zeros, as OneFlow's broadcast and its gradient take many times as long on a CPU.
            each = np.repeat(np.eye(rows, dtype=np.float32), fields, axis=1)
            self.register_buffer(f"each_{at}", flow.from_numpy(each))
            every = np.tile(np.eye(fields, dtype=np.float32), (1, rows))
            self.register_buffer(f"all_{at}", flow.from_numpy(every))
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
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            base.FIRST_ORDER: base.table(shape.num_rows, 1, "zeros"),
            **cin,
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **base.out(sum(sizes) + shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order, CIN and DNN."""
        fields, k = self.shape.num_fields, self.shape.embedding_dim
        # A row for each of the k values: it has its own products, and shares the weights.
        first = x.flat.reshape(x.n, fields, k).permute(0, 2, 1).reshape(x.n * k, fields)
        crossed, pooled = first, []
        for at, layer in enumerate(self.cin):
            left = flow.matmul(crossed, getattr(self, f"each_{at}"))
            crossed = layer(left * flow.matmul(first, getattr(self, f"all_{at}")))
            pooled.append(crossed.reshape(x.n, k, crossed.shape[1]).sum(dim=1))
        deep = self.run(self.dnn, x.wide(), masks)
        return self.first_order(x) + self.out(flow.cat([*pooled, deep], dim=1)).reshape(x.n)
