"""Wide & Deep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class WideDeep(Network):
    """Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems".

    logit = sum_i x_i w_i + DNN([x_1 v_1, ..., x_F v_F, dense])

    The wide part has every input; crosses of fields are made in the feature query.

    Parameters: rows (k + 1) + those of the DNN on F k + M inputs.
    """

    title: ClassVar[str] = "Wide & Deep"

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Tables, DNN, output."""
        return base.wide_and_deep(shape)

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order and the DNN."""
        deep = self.out(self.run(self.dnn, x.wide(), masks)).reshape(x.n)
        return self.first_order(x) + deep
