"""Deep field-embedded factorisation machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan
from tasks.ctr.train.models.interactions import pairs


class DeepFEFM(Network):
    """Pande 2020, "Field-Embedded Factorization Machines for CTR Prediction".

    s_ij = e_i' (A_ij + A_ij') e_j for each pair of fields i < j, a symmetric matrix a pair;
    logit = sum_i x_i w_i + sum_{i<j} s_ij + DNN([e_1, ..., e_F, s_12, ..., dense]).

    Parameters: rows (k + 1) + P k k + those of the DNN on F k + P + M inputs, P = F (F - 1) / 2.
    """

    title: ClassVar[str] = "DeepFEFM"

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        k = shape.embedding_dim
        first, second = pairs(shape.num_fields)
        self.register_buffer("first", flow.from_numpy(first))
        self.register_buffer("second", flow.from_numpy(second))
        self.field_pair = nn.Parameter(flow.zeros(len(first), k, k))
        self.dnn = base.layers([shape.flat + len(first), *shape.hidden])
        self.out = nn.Linear(shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Tables, a matrix a pair of fields, DNN, output."""
        k = shape.embedding_dim
        count = shape.num_fields * (shape.num_fields - 1) // 2
        return {
            base.EMBEDDING: base.table(shape.num_rows, k),
            base.FIRST_ORDER: base.table(shape.num_rows, 1, "zeros"),
            "field_pair": base.glorot(k, k, count, k, k),
            **base.mlp("dnn", [shape.flat + count, *shape.hidden]),
            **base.out(shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """First order, pairs by their matrices, and the DNN that sees both."""
        fields, k = self.shape.num_fields, self.shape.embedding_dim
        by_field = x.flat.reshape(x.n, fields, k).permute(1, 0, 2)
        left = flow.index_select(by_field, 0, self.first)
        right = flow.index_select(by_field, 0, self.second)
        both = self.field_pair + self.field_pair.permute(0, 2, 1)
        met = (flow.bmm(left, both) * right).reshape(both.shape[0] * x.n, k)
        pairs_ = base.row_sums(met).reshape(both.shape[0], x.n).permute(1, 0)
        deep = self.out(self.run(self.dnn, flow.cat([x.wide(), pairs_], dim=1), masks))
        return self.first_order(x) + base.row_sums(pairs_) + deep.reshape(x.n)
