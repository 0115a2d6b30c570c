"""Sorting by integer keys: numpy sorts plain integers much faster than it sorts places by them."""

from __future__ import annotations

import numpy as np

from openmldb_embedded.columns import Array


def stable_order(keys: Array) -> Array:
    """The places of non-negative int64 ``keys`` in ascending order, equals in order of place.

    Key and place are packed into one integer where 63 bits hold both.
    """
    n = len(keys)
    bits = max(1, n - 1).bit_length()
    if n and int(keys.max()) < 1 << (63 - bits):
        packed = (keys << bits) | np.arange(n)
        packed.sort()
        return packed & ((1 << bits) - 1)
    return np.argsort(keys, kind="stable")


def search_sorted(ordered: Array, queries: Array, by: Array, side: str) -> Array:
    """``np.searchsorted`` for queries that are ascending in the order ``by``.

    Ascending queries walk through memory once instead of jumping about in it.
    """
    out = np.empty(len(queries), dtype=np.int64)
    out[by] = np.searchsorted(ordered, queries[by], "left" if side == "left" else "right")
    return out


def runs_by_code(codes: Array, size: int) -> tuple[Array, Array]:
    """Places in order of code, and for each code below ``size`` where its run begins.

    The second has ``size + 1`` entries: code c's run is [begins[c], begins[c + 1]).
    """
    begins = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(np.bincount(codes, minlength=size), out=begins[1:])
    return stable_order(codes), begins
