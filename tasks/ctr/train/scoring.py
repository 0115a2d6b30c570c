"""Probabilities of a network, some thousand rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow

from tasks.ctr.train.inputs import Tensors
from tasks.ctr.train.metrics import Scores
from tasks.ctr.train.models import Network

SCORING_ROWS = 4096
"""Rows scored at a time."""


def score(
    network: Network, tensors: Tensors, device: str, before_part: Callable[[], None] = lambda: None
) -> Scores:
    """Probabilities float32 [n] of n rows of input.

    Args:
        network: the network.
        tensors: n rows.
        device: where the network is.
        before_part: called before each `SCORING_ROWS`; may raise.
    """
    parts = []
    network.eval()

    def moved(array: npt.NDArray[Any] | None) -> flow.Tensor | None:
        return None if array is None else flow.from_numpy(np.ascontiguousarray(array)).to(device)

    with flow.no_grad():
        for at in range(0, len(tensors), SCORING_ROWS):
            before_part()
            part = tensors.take(slice(at, at + SCORING_ROWS))
            logits = network(moved(part.rows), moved(part.weights), moved(part.dense))
            parts.append(flow.sigmoid(logits).numpy())
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)
