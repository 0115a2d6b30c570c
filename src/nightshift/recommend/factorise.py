"""Matrix factorisation of what was liked, without a library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nightshift.config.recommend import Factors
from nightshift.recommend.ragged import Ragged

Vectors = npt.NDArray[np.float32]

STEPS = 3
"""Conjugate gradient steps a half-iteration; each begins where the last one ended."""

CHUNK = 500_000
"""Entries whose vectors are gathered at a time: 128 MB at 64 dimensions."""


def fit(by_user: Ragged, items: int, options: Factors) -> tuple[Vectors, Vectors]:
    """Alternating least squares for implicit feedback.

    Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), its
    least-squares problems solved by a few steps of the conjugate gradient (Takács, Pilászy and
    Tikk, 2011) for all users, then for all items, at once.

    Args:
        by_user: each user's distinct items.
        items: how many items there are.
        options: dimensions, iterations, weights, seed.

    Returns:
        float32 [users, dimensions] and [items, dimensions]; zeros where there is nothing to learn
        from.
    """
    random = np.random.default_rng(options.seed)
    scale = 1 / np.sqrt(options.dimensions)
    users = random.normal(0, scale, (by_user.rows, options.dimensions)).astype(np.float32)
    vectors = random.normal(0, scale, (items, options.dimensions)).astype(np.float32)
    by_item = by_user.transposed(items)
    users[by_user.lengths == 0] = 0
    vectors[by_item.lengths == 0] = 0
    for _ in range(options.iterations):
        _solve(by_user, users, vectors, options)
        _solve(by_item, vectors, users, options)
    return users, vectors


def fold_in(liked: Vectors, gram: Vectors, options: Factors) -> Vectors:
    """The vector of a user out of the vectors of the items it liked.

    Args:
        liked: float32 [n, dimensions], n at least 1.
        gram: the items' vectors times themselves, [dimensions, dimensions].
        options: those of the fit.
    """
    c = options.confidence
    left = gram + c * liked.T @ liked + options.regularisation * np.eye(len(gram))
    solved = np.linalg.solve(left, (1 + c) * liked.sum(axis=0))
    return np.asarray(solved, np.float32)


def _solve(lists: Ragged, x: Vectors, y: Vectors, options: Factors) -> None:
    """Improve `x` in place for a fixed `y`: (YtY + c Yt_u Y_u + r I) x = (1 + c) sum of Y_u."""
    gram = y.T @ y + np.float32(options.regularisation) * np.eye(y.shape[1], dtype=np.float32)
    c = np.float32(options.confidence)

    def times(
        v: Vectors, begin: int, end: int, of: Vectors, starts: npt.NDArray[np.int64]
    ) -> Vectors:
        # One row's own items: c * Yt_u (Y_u v).
        owner = np.repeat(np.arange(end - begin), np.diff(starts))
        along = np.einsum("nd,nd->n", of, v[owner])
        return v @ gram + c * _segments(of * along[:, None], starts)

    for begin, end in _chunks(lists):
        starts = lists.starts[begin : end + 1] - lists.starts[begin]
        of = y[lists.values[lists.starts[begin] : lists.starts[end]]]
        v = x[begin:end]
        rest = (1 + c) * _segments(of, starts) - times(v, begin, end, of, starts)
        rest[starts[1:] == starts[:-1]] = 0
        along = rest.copy()
        size = np.einsum("nd,nd->n", rest, rest)
        for _ in range(STEPS):
            image = times(along, begin, end, of, starts)
            step = size / np.maximum(np.einsum("nd,nd->n", along, image), 1e-20)
            v = v + step[:, None] * along
            rest = rest - step[:, None] * image
            new = np.einsum("nd,nd->n", rest, rest)
            along = rest + (new / np.maximum(size, 1e-20))[:, None] * along
            size = new
        x[begin:end] = v


def _chunks(lists: Ragged) -> list[tuple[int, int]]:
    found, begin = [], 0
    while begin < lists.rows:
        end = int(np.searchsorted(lists.starts, lists.starts[begin] + CHUNK, side="right")) - 1
        end = min(max(end, begin + 1), begin + CHUNK, lists.rows)
        found.append((begin, end))
        begin = end
    return found


def _segments(values: Vectors, starts: npt.NDArray[np.int64]) -> Vectors:
    """Sums of the rows between the starts; float32 [segments, dimensions]."""
    found = np.zeros((len(starts) - 1, values.shape[1]), np.float32)
    full = starts[1:] > starts[:-1]
    if full.any():
        found[full] = np.add.reduceat(values, starts[:-1][full], axis=0)
    return found
