"""The distinct values of a feature over many batches of rows: what each is in text, and its id.

A value is printed and hashed once, however often and in however many batches it comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.features.encoding import (
    NULL_TEXT,
    Ids,
    distinct_values,
    encode_field,
    numbers_of,
    printer,
)
from nightshift.features.places import TextPlaces
from nightshift.features.specification import Field

REMEMBERED = 1 << 18
"""Values whose text is remembered; of numbers, many may round to one text."""

_PRINTED_BY_ARROW = ("bool", "int16", "int32", "int64", "timestamp")
"""Types whose canonical text is what Arrow's cast to text gives."""

_FEW = 1 << 10
"""Distinct values of a batch that are printed one by one, and remembered."""

Codes = npt.NDArray[Any]
"""What a row keeps of its value: the value's place, in as few bytes as places take so far, or the
float32 of a number that stays one."""


class FieldValues:
    """The values of one field, each with a place: the order in which they came first.

    Memory grows with the number of distinct texts. Values of a number that stays a number are
    the buckets of `number_buckets`. Not to be used by two threads at once.

    Attributes:
        field: the field.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self._places = TextPlaces()
        self._known: dict[Any, int] = {}
        self._tokens = np.empty((0, field.width), dtype=np.int64)
        self._show = printer(field)

    def __len__(self) -> int:
        return len(self._places)

    def texts(self, places: npt.NDArray[np.int64] | None = None) -> list[bytes]:
        """Canonical texts of k places; of all of them, by place, where None."""
        return self._places.texts(places)

    def place_of(self, text: bytes) -> int | None:
        """The place of a canonical text, None where no row had it."""
        return self._places.place_of(text)

    def least(self, places: npt.NDArray[np.int64], most: int) -> list[int]:
        """Of some places, ascending, those of the `most` first texts in the order of bytes."""
        return self._places.least(places, most)

    def take(self, column: pa.Array) -> Codes:
        """Take a column of n rows.

        Args:
            column: an Arrow array (no chunks) of the field's type.

        Returns:
            The rows' codes, [n].

        Raises:
            ContractError: the column is of another type.
        """
        if self.field.number:
            return numbers_of(encode_field(column, self.field)[:, 0])
        values, codes, nulls = distinct_values(column, self.field)
        places = np.zeros(len(values) + 1, dtype=np.int64)
        places[:-1] = self._of_values(values)
        if nulls:
            places[-1] = self._of_texts([NULL_TEXT])[0]
        return places.astype(np.min_scalar_type(len(self))).take(codes)

    def places(self, codes: Codes) -> npt.NDArray[Any]:
        """Places of the rows' values, whole numbers of shape [n], from their codes."""
        if not self.field.number:
            return codes
        texts, buckets = number_buckets(codes)
        return self._of_texts(texts)[buckets]

    def stored(self, codes: Codes) -> list[pa.Array]:
        """The rows' columns in a dataset, from their codes: as `stored_columns` gives them."""
        if self.field.number:
            return [pa.array(codes)]
        ids = self._token_ids().T if self.field.tokens else [self._places.hashes]
        at = pa.array(codes)
        # Every code is a place: it was given by `take`.
        return [pc.take(pa.array(column), at, boundscheck=False) for column in ids]

    def _token_ids(self) -> Ids:
        if len(self._tokens) < len(self):
            at = np.arange(len(self._tokens), len(self))
            texts = [None if text == NULL_TEXT else text.decode() for text in self.texts(at)]
            new = encode_field(pa.array(texts, pa.string()), self.field)
            self._tokens = np.concatenate([self._tokens, new])
        return self._tokens

    def _of_values(self, values: pa.Array) -> npt.NDArray[np.int64]:
        kind = self.field.type
        if kind == "string" or (kind in _PRINTED_BY_ARROW and len(values) > _FEW):
            if kind != "string":
                values = values.cast(pa.string()).cast(pa.binary())
            return self._places.add(values.fill_null(NULL_TEXT) if values.null_count else values)
        if len(self._known) > REMEMBERED:
            self._known = {}
        known, listed = self._known, values.to_pylist()
        found = list(map(known.get, listed))
        new = [at for at, place in enumerate(found) if place is None]
        if new:
            shown = [NULL_TEXT if listed[at] is None else self._show(listed[at]) for at in new]
            for at, place in zip(new, self._of_texts(shown).tolist(), strict=True):
                found[at] = place
                if listed[at] == listed[at]:  # no NaN equals another: each would be kept
                    known[listed[at]] = place
        return np.array(found, dtype=np.int64)

    def _of_texts(self, texts: list[bytes]) -> npt.NDArray[np.int64]:
        return self._places.add(pa.array(texts, pa.binary()))


def number_buckets(
    values: npt.NDArray[np.float32],
) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Buckets of numbers, which hardly ever repeat, so that their shares can be compared.

    A bucket holds what begins with the same digit: [0.3, 0.4), [200, 300), [-7, -6), 0. Buckets
    need no pass over the data first and are the same every night.

    Args:
        values: float32 [n], NaN where one is missing.

    Returns:
        Texts and codes as `unique_texts` gives them: NULL's text is the last.
    """
    known = ~np.isnan(values)
    doubles = np.abs(np.where(known, values, 0.0).astype(np.float64))
    power = np.floor(np.log10(np.where(doubles > 0, doubles, 1.0))).astype(np.int64)
    digit = np.clip(np.floor(doubles / 10.0**power + 1e-9), 0, 9).astype(np.int64)
    sign = np.where(values < 0, -1, 1)
    key = np.where(doubles > 0, (power + 400) * 10 + digit, 0) * sign
    distinct, codes = np.unique(key[known], return_inverse=True)
    texts = [_bucket(value) for value in distinct.tolist()]
    all_codes = np.full(len(values), len(texts), dtype=np.int64)
    all_codes[known] = codes
    return [*texts, NULL_TEXT], all_codes


def _bucket(key: int) -> bytes:
    if key == 0:
        return b"0"
    power, digit = divmod(abs(key), 10)
    power -= 400
    low, high = f"{digit}e{power}", f"{digit + 1}e{power}"
    first, last = (f"{float(low):g}", f"{float(high):g}")
    return (f"[{first}, {last})" if key > 0 else f"(-{last}, -{first}]").encode()
