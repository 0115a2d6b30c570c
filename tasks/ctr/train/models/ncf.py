"""Neural collaborative filtering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class NCF(Network):
    """He et al. 2017, "Neural Collaborative Filtering", its model NeuMF.

    Only the fields `user_field` and `item_field` are looked at. Each id has k values for the
    generalised matrix factorisation and k for the MLP:
    logit = w_out . [p_u * q_i, MLP([p'_u, q'_i])] + b_out.

    Parameters: rows 2 k + those of the MLP on 2 k inputs + k + H_L + 1.
    """

    title: ClassVar[str] = "NCF"
    takes: ClassVar[tuple[str, ...]] = ("hidden", "user_field", "item_field")

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.dnn = base.layers([2 * shape.embedding_dim, *shape.hidden])
        self.out = nn.Linear(shape.embedding_dim + shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """A table with two vectors a row, MLP, output."""
        k = shape.embedding_dim
        return {
            base.EMBEDDING: base.table(shape.num_rows, 2 * k),
            **base.mlp("dnn", [2 * k, *shape.hidden]),
            **base.out(k + shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Factorisation and MLP of one user and one item."""
        k = self.shape.embedding_dim
        at = [self.shape.options[name] * 2 * k for name in ("user_field", "item_field")]
        factors = [x.flat[:, start : start + k] for start in at]
        given = [x.flat[:, start + k : start + 2 * k] for start in at]
        deep = self.run(self.dnn, flow.cat(given, dim=1), masks)
        return self.out(flow.cat([factors[0] * factors[1], deep], dim=1)).reshape(x.n)
