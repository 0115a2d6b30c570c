"""Facebook's deep learning recommendation model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan
from tasks.ctr.train.models.interactions import pairs


class DLRM(Network):
    """Naumov et al. 2019, "Deep Learning Recommendation Model for Personalization".

    d = MLP_bottom(dense), of k values; logit = MLP_top([d, <a, b> of each pair]), the pairs being
    those of d and the embeddings x_i v_i. Without dense numbers there is no d.

    Parameters: rows k + those of the bottom MLP on M inputs (`bottom`, then k) + those of the top
    MLP (`hidden`) on k + P inputs, P = F (F + 1) / 2 pairs (without numbers: F (F - 1) / 2).
    """

    title: ClassVar[str] = "DLRM"
    takes: ClassVar[tuple[str, ...]] = ("hidden", "bottom")

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        bottom, top = _sizes(shape)
        if bottom:
            self.bottom = base.layers(bottom)
        self.dnn = base.layers(top)
        self.out = nn.Linear(top[-1], 1)
        first, second = pairs(shape.num_fields + bool(bottom))
        self.register_buffer(
            "pair", flow.from_numpy(first * (shape.num_fields + bool(bottom)) + second)
        )

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, both MLPs, output."""
        bottom, top = _sizes(shape)
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            **base.mlp("bottom", bottom),
            **base.mlp("dnn", top),
            **base.out(top[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Products of all pairs, then the top MLP."""
        k = self.shape.embedding_dim
        vectors, given = x.flat, []
        if x.dense is not None:
            low = self.run(self.bottom, x.dense, ())
            vectors, given = flow.cat([low, x.flat], dim=1), [low]
        count = vectors.shape[1] // k
        stacked = vectors.reshape(x.n, count, k)
        products = flow.bmm(stacked, stacked.permute(0, 2, 1)).reshape(x.n, count * count)
        given.append(flow.index_select(products, 1, self.pair))
        return self.out(self.run(self.dnn, flow.cat(given, dim=1), masks)).reshape(x.n)


def _sizes(shape: Architecture) -> tuple[list[int], list[int]]:
    """Widths of the bottom MLP (none without dense numbers) and of the top one."""
    k = shape.embedding_dim
    bottom = [shape.num_dense, *shape.options["bottom"], k] if shape.num_dense else []
    count = shape.num_fields + bool(bottom)
    top = [(k if bottom else 0) + count * (count - 1) // 2, *shape.hidden]
    return bottom, top
