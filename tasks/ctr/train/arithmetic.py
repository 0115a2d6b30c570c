"""Scores by NumPy, for networks that are a few matrix products.

An eager operator of OneFlow costs about as much as all the arithmetic of a row: `score` of one
row takes more than ten times as long through OneFlow as here. The saved model is the same, and
export compares the two before a model is kept.

Matrix products are made in blocks of one number of rows, padded where the last is short: BLAS sums
in an order that depends on the shapes and, on some processors, on a row's place, so that a block is
as large as makes a row's score have the same bits alone and in any batch (`steady`). Everything
else adds up a row by itself and is done for all rows at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tasks.ctr.train.inputs import Tensors

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32]
Parameters = Mapping[str, Floats]

BLOCKS = (16, 8, 4, 2, 1)
"""Rows of a block. Of 16 a row alone costs little more than by itself, a hundred little more than
at once."""


CHUNK = 1024
"""Rows at once: they bound the memory of a large batch."""


@dataclass(frozen=True)
class Looked:
    """What was looked up for n rows, n a multiple of a block; empty where there is no such table.

    Attributes:
        each: float32 [n, F, k], embeddings by field, weighted.
        wide: float32 [n, F * k + M], the same side by side, then the dense numbers.
        first: float32 [n], the sum of the inputs' own weights.
        block: rows of a block.
    """

    each: Floats
    wide: Floats
    first: Floats
    block: int


Logits = Callable[[Looked], Floats]


def _lr(parameters: Parameters) -> Logits:
    bias = parameters["out.bias"]
    return lambda x: x.first + bias


def _fm(parameters: Parameters) -> Logits:
    bias = parameters["out.bias"]
    return lambda x: x.first + _pairs(x) + bias


def _dnn(parameters: Parameters) -> Logits:
    layers = _layers(parameters, "dnn")
    out = _transposed(parameters["out.weight"]), parameters["out.bias"]
    return lambda x: _linear(_run(layers, x.wide, x.block), *out, x.block)[:, 0]


def _wide_deep(parameters: Parameters) -> Logits:
    deep = _dnn(parameters)
    return lambda x: x.first + deep(x)


def _deepfm(parameters: Parameters) -> Logits:
    deep = _dnn(parameters)
    return lambda x: x.first + _pairs(x) + deep(x)


FAMILIES: dict[str, Callable[[Parameters], Logits]] = {
    "lr": _lr,
    "fm": _fm,
    "dnn": _dnn,
    "wide_deep": _wide_deep,
    "deepfm": _deepfm,
}
"""Networks that are scored here, by family; the formulas are those of `tasks.ctr.train.models`.
The others go through OneFlow."""


class Arithmetic:
    """A network of `FAMILIES`, with its parameters.

    Args:
        parameters: float32 arrays by name, as the saved model holds them.
        logits: the family's.
        widths: input columns of each field, which are added up to one embedding.
    """

    def __init__(self, parameters: Parameters, logits: Logits, widths: Sequence[int]) -> None:
        self._embedding = parameters.get("embedding.weight")
        linear = parameters.get("linear.weight")
        self._linear = None if linear is None else np.ascontiguousarray(linear.reshape(-1))
        self._logits = logits
        self._block = steady(
            [
                weight.shape
                for name, weight in parameters.items()
                if name.endswith(".weight") and name.startswith(("dnn.", "out."))
            ]
        )
        # Where each field begins; None where each is one column.
        grouped = any(width != 1 for width in widths)
        self._starts = np.cumsum([0, *widths[:-1]]) if grouped else None

    def score(self, tensors: Tensors) -> Floats:
        """Probabilities of rows.

        Args:
            tensors: n rows of input.

        Returns:
            float32 [n]; a row's bits are the same in every batch.
        """
        count = len(tensors)
        found = [
            self._logits(
                self._look_up(
                    _padded(part.rows, self._block),
                    _padded(part.weights, self._block),
                    _padded(part.dense, self._block),
                )
            )
            for part in (tensors.take(slice(at, at + CHUNK)) for at in range(0, count, CHUNK))
        ]
        logits = np.concatenate(found) if found else np.zeros(0, np.float32)
        return _sigmoid(logits)[:count]

    def _look_up(self, rows: Rows, weights: Floats | None, dense: Floats | None) -> Looked:
        n = len(rows)
        first, each = np.zeros(n, np.float32), np.zeros((n, 0, 0), np.float32)
        if self._linear is not None:
            own = self._linear[rows]
            first = (own if weights is None else own * weights).sum(axis=1, dtype=np.float32)
        if self._embedding is not None:
            each = self._embedding[rows]
            if weights is not None:
                each = each * weights[:, :, None]
            if self._starts is not None:
                each = np.add.reduceat(each, self._starts, axis=1)
        flat = each.reshape(n, -1)
        wide = flat if dense is None else np.concatenate([flat, dense], axis=1)
        return Looked(each, wide, first, self._block)


def of(
    network: Mapping[str, Any], parameters: Parameters, widths: Sequence[int]
) -> Arithmetic | None:
    """The network of a saved model, if it is one of `FAMILIES`.

    Args:
        network: the content of `network.json`.
        parameters: float32 arrays by name.
        widths: input columns of each field.
    """
    family = FAMILIES.get(network["architecture"].get("family", "deepfm"))
    return None if family is None else Arithmetic(parameters, family(parameters), widths)


A = TypeVar("A", bound="npt.NDArray[Any] | None")


def steady(shapes: Iterable[tuple[int, ...]]) -> int:
    """Rows of the largest block in which a row's product has the same bits at every place.

    Tried on this processor: OpenBLAS has other kernels for the last rows of a block on some.

    Args:
        shapes: of the layers' weights, outputs by inputs.
    """
    block = BLOCKS[0]
    for outputs, inputs in sorted(set(shapes)):
        rng = np.random.default_rng(outputs * inputs)
        weight = _transposed(rng.normal(size=(outputs, inputs)).astype(np.float32))
        rows = rng.normal(size=(BLOCKS[0], inputs)).astype(np.float32)
        block = next(size for size in BLOCKS if size <= block and _is_steady(rows[:size], weight))
    return block


def _is_steady(rows: Floats, weight: Floats) -> bool:
    wanted = rows @ weight
    return all(
        np.array_equal(np.roll(rows, at, axis=0) @ weight, np.roll(wanted, at, axis=0))
        for at in range(1, len(rows))
    )


def _padded(array: A, block: int) -> A:
    """The array with rows of zeros after it, to whole blocks."""
    if array is None or len(array) % block == 0:
        return array
    whole = np.zeros((-(-len(array) // block) * block, *array.shape[1:]), dtype=array.dtype)
    whole[: len(array)] = array
    return whole  # type: ignore[return-value]


def _pairs(x: Looked) -> Floats:
    """The sum of <e_i, e_j> over all pairs i < j (Rendle 2010, "Factorization Machines")."""
    total = x.each.sum(axis=1)
    squares = np.square(x.each).reshape(len(x.each), -1).sum(axis=1)
    found: Floats = np.float32(0.5) * (np.square(total).sum(axis=1) - squares)
    return found


Layer = tuple[Floats, Floats]


def _layers(parameters: Parameters, name: str) -> list[Layer]:
    found: list[Layer] = []
    for at in itertools.count():
        weight = parameters.get(f"{name}.{at}.weight")
        if weight is None:
            return found
        found.append((_transposed(weight), parameters[f"{name}.{at}.bias"]))
    raise AssertionError("a network has an end")


def _transposed(weight: Floats) -> Floats:
    return np.ascontiguousarray(weight.T)


def _linear(x: Floats, weight: Floats, bias: Floats, block: int) -> Floats:
    """One product a block, each of the same shapes."""
    product: Floats = (x.reshape(-1, block, x.shape[1]) @ weight).reshape(len(x), -1)
    product += bias
    return product


def _run(layers: list[Layer], x: Floats, block: int) -> Floats:
    for weight, bias in layers:
        x = _linear(x, weight, bias, block)
        np.maximum(x, 0, out=x)
    return x


def _sigmoid(logits: Floats) -> Floats:
    """Probabilities in float32; an exponential never overflows."""
    small = np.exp(-np.abs(logits))
    found: Floats = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    return found.astype(np.float32, copy=False)
