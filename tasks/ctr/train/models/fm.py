"""The factorisation machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Bias, Looked, Network, Plan
from tasks.ctr.train.models.interactions import factorised, field_sum


class FM(Network):
    """Rendle 2010, "Factorization Machines".

    logit = b + sum_i x_i w_i + sum_{i<j} <x_i v_i, x_j v_j>

    Parameters: rows (k + 1) + 1.
    """

    title: ClassVar[str] = "FM"
    takes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.register_buffer("field_sum", field_sum(shape.num_fields, shape.embedding_dim))
        self.out = Bias()

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Two tables and the bias."""
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            base.FIRST_ORDER: base.table(shape.num_rows, 1, "zeros"),
            base.BIAS: base.Weight((1,), "odds"),
        }

    @classmethod
    def mask_widths(cls, shape: Architecture) -> tuple[int, ...]:
        """Nothing is masked."""
        return ()

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order and pairs."""
        return self.first_order(x) + factorised(x, self.field_sum) + self.out.bias
