"""GateNet over a deep network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.models import base
from tasks.ctr.train.models.base import Architecture, Looked, Network, Plan


class GateDNN(Network):
    """Huang et al. 2020, "GateNet: Gating-Enhanced Deep Network for CTR Prediction".

    Each field's embedding is gated bit by bit by weights of its own, and each hidden layer too:
    g_i = e_i * sigmoid(e_i A_i); h_l = a * sigmoid(G_l a) with a = relu(W_l h_{l-1} + b_l);
    h_0 = [g_1, ..., g_F, dense]; logit = w_out . h_L + b_out.

    Parameters: rows k + F k k + those of the DNN on F k + M inputs + sum_l H_l H_l.
    """

    title: ClassVar[str] = "GateDNN"

    def __init__(self, shape: Architecture, dropout: float = 0.0) -> None:
        super().__init__(shape, dropout)
        k = shape.embedding_dim
        self.field_gate = nn.Parameter(flow.zeros(shape.num_fields, k, k))
        self.dnn = base.layers([shape.flat, *shape.hidden])
        self.gate = nn.ModuleList([nn.Linear(width, width, bias=False) for width in shape.hidden])
        self.out = nn.Linear(shape.hidden[-1], 1)

    @classmethod
    def plan(cls, shape: Architecture) -> Plan:
        """Table, gates, DNN, output."""
        k = shape.embedding_dim
        gates = {
            f"gate.{layer}.weight": base.glorot(width, width)
            for layer, width in enumerate(shape.hidden)
        }
        return {
            base.EMBEDDING: base.table(shape.num_rows, k),
            "field_gate": base.glorot(k, k, shape.num_fields, k, k),
            **base.mlp("dnn", [shape.flat, *shape.hidden]),
            **gates,
            **base.out(shape.hidden[-1]),
        }

    def logits(self, x: Looked, masks: Sequence[flow.Tensor]) -> flow.Tensor:
        """Gated embeddings through gated layers."""
        fields, k = self.shape.num_fields, self.shape.embedding_dim
        by_field = x.flat.reshape(x.n, fields, k).permute(1, 0, 2)
        gated = by_field * flow.sigmoid(flow.bmm(by_field, self.field_gate))
        h = gated.permute(1, 0, 2).reshape(x.n, fields * k)
        if x.dense is not None:
            h = flow.cat([h, x.dense], dim=1)
        for at, layer in enumerate(self.dnn):
            active = flow.relu(layer(h))
            h = active * flow.sigmoid(self.gate[at](active))
            if masks:
                h = self.masked(h, masks[at])
        return self.out(h).reshape(x.n)
