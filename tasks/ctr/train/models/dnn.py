"""A deep network over embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class DNN(Network):
    """Covington, Adams and Sargin 2016, "Deep Neural Networks for YouTube Recommendations".

    logit = w_out . h_L + b_out; h_l = relu(W_l h_{l-1} + b_l); h_0 = [x_1 v_1, ..., dense]

    Parameters: rows k + those of the DNN on F k + M inputs.
    """

    title: ClassVar[str] = "DNN"

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, DNN, output."""
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **base.out(shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """The DNN."""
        return self.out(self.run(self.dnn, x.wide(), masks)).reshape(x.n)
