"""The field-aware factorisation machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Bias, Looked, Network, Plan


class FFM(Network):
    """Juan, Zhuang, Chin and Lin 2016, "Field-aware Factorization Machines for CTR Prediction".

    logit = b + sum_i x_i w_i + sum_{i<j} <x_i v_{i,j}, x_j v_{j,i}>

    Each id has one vector for each field that it may meet.

    Parameters: rows (F k + 1) + 1.
    """

    title: ClassVar[str] = "FFM"
    takes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.out = Bias()

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """A table with F vectors a row, the weights, the bias."""
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.num_fields * shape.embedding_dim),
            base.FIRST_ORDER: base.table(shape.num_rows, 1, "zeros"),
            base.BIAS: base.Weight((1,), "odds"),
        }

    @classmethod
    def mask_widths(cls, shape: Architecture) -> tuple[int, ...]:
        """Nothing is masked."""
        return ()

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order, and each pair by the vectors that each side has for the other."""
        fields, k = self.shape.num_fields, self.shape.embedding_dim
        meets = x.flat.reshape(x.n, fields, fields, k)
        both = (meets * meets.permute(0, 2, 1, 3)).sum(dim=3)
        own = flow.stack([both[:, i, i] for i in range(fields)], dim=1)
        pairs = 0.5 * (both.reshape(x.n, fields * fields).sum(dim=1) - own.sum(dim=1))
        return self.first_order(x) + pairs + self.out.bias
