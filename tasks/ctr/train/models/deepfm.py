"""DeepFM: a factorisation machine and a deep network over shared embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan
from tasks.ctr.train.models.interactions import factorised, field_sum


class DeepFM(Network):
    """Guo, Tang, Ye, Li and He 2017, "DeepFM: A Factorization-Machine based Neural Network".

    logit = sum_i x_i w_i + sum_{i<j} <x_i v_i, x_j v_j> + DNN([x_1 v_1, ..., x_F v_F, dense])

    Parameters: rows (k + 1) + those of the DNN on F k + M inputs.
    """

    title: ClassVar[str] = "DeepFM"

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.register_buffer("field_sum", field_sum(shape.num_fields, shape.embedding_dim))
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Tables, DNN, output."""
        return base.wide_and_deep(shape)

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order, pairs, and the DNN."""
        deep = self.out(self.run(self.dnn, x.wide(), masks)).reshape(x.n)
        return self.first_order(x) + factorised(x, self.field_sum) + deep
