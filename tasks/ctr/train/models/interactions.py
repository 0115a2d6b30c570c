"""Interactions of embeddings that several families use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import oneflow as flow

from tasks.ctr.train.models.base import Looked, row_sums


def field_sum(fields: int, k: int) -> flow.Tensor:
    """k-wide identity matrices below each other, [F * k, k]: adds up embeddings by a product."""
    return flow.from_numpy(np.tile(np.eye(k, dtype=np.float32), (fields, 1)))


def factorised(x: Looked, adds: flow.Tensor) -> flow.Tensor:
    """The sum of <e_i, e_j> over all pairs i < j of fields: float32 [n].

    By 0.5 * (|sum e|^2 - sum |e|^2) (Rendle 2010, "Factorization Machines").

    Args:
        x: the embeddings of n rows.
        adds: `field_sum` of the same sizes.
    """
    total = flow.matmul(x.flat, adds)
    return 0.5 * (row_sums(flow.square(total)) - x.norm)


def pairs(fields: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs i < j of fields, in order: two int64 arrays [F (F - 1) / 2]."""
    first, second = np.triu_indices(fields, k=1)
    return first.astype(np.int64), second.astype(np.int64)
