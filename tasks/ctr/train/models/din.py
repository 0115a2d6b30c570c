"""Deep interest network: a history, weighted by what is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class DIN(Network):
    """Zhou et al. 2018, "Deep Interest Network for Click-Through Rate Prediction".

    For the field `history_field`, a text of several values with embeddings e_t, and the field
    `target_field` with embedding a: u = sum_t c_t A([a, e_t, a - e_t, a * e_t]) e_t, A an MLP of
    widths `attention_hidden` (sigmoid) and 1, c_t 0 for padding and 1 else; not normalised.
    h_0 = [the other fields' embeddings and a, u, dense]; logit = w_out . h_L + b_out. The DNN's
    activation is ReLU rather than the paper's Dice, whose batch statistics would make a score
    depend on its batch.

    Parameters: rows k + those of A on 4 k inputs + those of the DNN on F k + M inputs.
    """

    title: ClassVar[str] = "DIN"
    takes: ClassVar[tuple[str, ...]] = (
        "hidden",
        "attention_hidden",
        "history_field",
        "target_field",
    )

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        self.attention = base.layers(_attention(shape))
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.out = nn.Linear(shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, attention, DNN, output."""
        return {
            base.EMBEDDING: base.table(shape.num_rows, shape.embedding_dim),
            **base.mlp("attention", _attention(shape)),
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **base.out(shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """The history as the target weighs it, then the DNN."""
        k = self.shape.embedding_dim
        target_at, history_at = (
            self.shape.options[name] for name in ("target_field", "history_field")
        )
        first = sum(self.shape.widths[:history_at])
        length = self.shape.widths[history_at]
        history = x.each[:, first : first + length, :]
        # A history is made of tokens, so its columns have weights.
        assert x.weights is not None
        held = (x.weights[:, first : first + length] > 0).to(flow.float32)
        target = x.flat[:, target_at * k : (target_at + 1) * k].reshape(x.n, 1, k)
        target = target.expand(x.n, length, k)
        a = flow.cat([target, history, target - history, target * history], dim=2)
        a = a.reshape(x.n * length, 4 * k)
        for at, layer in enumerate(self.attention):
            a = layer(a) if at + 1 == len(self.attention) else flow.sigmoid(layer(a))
        weights = a.reshape(x.n, length) * held
        interest = (history * weights.reshape(x.n, length, 1)).sum(dim=1)
        parts = [x.flat[:, : history_at * k], interest, x.flat[:, (history_at + 1) * k :]]
        parts = [part for part in parts if part.shape[1]]
        if x.dense is not None:
            parts.append(x.dense)
        return self.out(self.run(self.dnn, flow.cat(parts, dim=1), masks)).reshape(x.n)


def _attention(shape: Architecture) -> list[int]:
    return [4 * shape.embedding_dim, *shape.options["attention_hidden"], 1]
