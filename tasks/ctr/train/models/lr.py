"""Logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Bias, Looked, Network, Plan


class LR(Network):
    """Logistic regression (Richardson, Dominowska and Ragno 2007, "Predicting Clicks").

    logit = b + sum_i x_i w_i

    Parameters: rows + 1.
    """

    title: ClassVar[str] = "Logistic regression"
    takes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.out = Bias()

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """A weight an id, and the bias."""
        return {
            base.FIRST_ORDER: base.table(shape.num_rows, 1, "zeros"),
            base.BIAS: base.Weight((1,), "odds"),
        }

    @classmethod
    def mask_widths(cls, shape: Architecture) -> tuple[int, ...]:
        """Nothing is masked."""
        return ()

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """The sum of the weights."""
        return self.first_order(x) + self.out.bias
