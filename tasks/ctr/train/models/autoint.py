"""AutoInt: self-attention over fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class AutoInt(Network):
    """Song et al. 2019, "AutoInt: Automatic Feature Interaction Learning", with its DNN (AutoInt+).

    E_0 the F embeddings; per layer and head softmax(Q K' / sqrt(d)) V of linear maps to d values,
    heads side by side, E_l = relu(heads + E_{l-1} R_l);
    logit = w_out . [E_L laid flat, h] + b_out with h the DNN's last layer on [E_0, dense].
    (The paper leaves the scores unscaled; the division is Vaswani et al. 2017's.)

    Parameters: rows k + sum_l 4 k_l H d with k_0 = k, k_l = H d (H heads) + those of the DNN
    + F H d.
    """

    title: ClassVar[str] = "AutoInt"
    takes: ClassVar[tuple[str, ...]] = (
        "hidden",
        "attention_layers",
        "attention_heads",
        "attention_dim",
    )

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.attention = nn.ModuleList([_Attention(a, b) for a, b in _sizes(shape)])
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(_width(shape) * shape.num_fields + shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, four maps a layer, DNN, output."""
        maps: Plan = {}
        for layer, (a, b) in enumerate(_sizes(shape)):
            for name in ("query", "key", "value", "rest"):
                maps[f"attention.{layer}.{name}.weight"] = base.glorot(a, b)
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            **maps,
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **base.out(_width(shape) * shape.num_fields + shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Attention beside the DNN."""
        fields, heads = self.shape.num_fields, self.shape.options["attention_heads"]
        e = x.flat.reshape(x.n, fields, self.shape.embedding_dim)
        for layer in self.attention:
            e = layer(e, heads)
        deep = self.run(self.dnn, x.wide(), masks)
        flat = e.reshape(x.n, fields * _width(self.shape))
        return self.out(flow.cat([flat, deep], dim=1)).reshape(x.n)


class _Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for name in ("query", "key", "value", "rest"):
            setattr(self, name, nn.Linear(inputs, outputs, bias=False))

    def forward(self, e: flow.Tensor, heads: int) -> flow.Tensor:
        """[n, F, inputs] to [n, F, outputs]."""
        n, fields = e.shape[0], e.shape[1]

        def split(x: flow.Tensor) -> flow.Tensor:
            apart = x.reshape(n, fields, heads, x.shape[2] // heads).permute(0, 2, 1, 3)
            return apart.reshape(n * heads, fields, x.shape[2] // heads)

        query, key, value = (split(part(e)) for part in (self.query, self.key, self.value))
        scores = flow.bmm(query, key.permute(0, 2, 1)) / math.sqrt(query.shape[2])
        mixed = flow.bmm(flow.softmax(scores, dim=2), value)
        together = mixed.reshape(n, heads, fields, mixed.shape[2]).permute(0, 2, 1, 3)
        return flow.relu(together.reshape(n, fields, heads * mixed.shape[2]) + self.rest(e))


def _width(shape: Architecture) -> int:
    width: int = shape.options["attention_heads"] * shape.options["attention_dim"]
    return width


def _sizes(shape: Architecture) -> list[tuple[int, int]]:
    """Input and output width of each attention layer."""
    width = _width(shape)
    layers = shape.options["attention_layers"]
    return [(shape.embedding_dim, width), *[(width, width)] * (layers - 1)]
