"""The distinct values of a feature over many batches of rows: what each is in text, and its id.

A value is printed and hashed once, however often and in however many batches it comes.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightshift.features.encoding import (
    NULL_TEXT,
    Ids,
    distinct_values,
    encode_field,
    hash_texts,
    numbers_of,
    printer,
)
from nightshift.features.specification import Field

REMEMBERED = 1 << 18
"""Values whose text is remembered; of numbers, many may round to one text."""


class FieldValues:
    """The values of one field, each with a place: the order in which they came first.

    Memory grows with the number of distinct texts. Values of a number that stays a number are
    the buckets of `number_buckets`. Not to be used by two threads at once.

    Attributes:
        field: the field.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self._places: defaultdict[bytes, int] = defaultdict(itertools.count().__next__)
        self._known: dict[Any, int] = {}
        self._ids = np.empty(0, dtype=np.int64)
        self._show = printer(field)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def texts(self) -> list[bytes]:
        """Canonical text by place."""
        return list(self._places)

    def place_of(self, text: bytes) -> int | None:
        """The place of a canonical text, None where no row had it."""
        return self._places.get(text)

    def add(self, column: pa.Array) -> tuple[Ids, npt.NDArray[np.int64]]:
        """Take a column of n rows.

        Args:
            column: an Arrow array (no chunks) of the field's type.

        Returns:
            What `encode_field` gives for it, int64 [n, width of the field], and the place of
            each row's value, int64 [n].

        Raises:
            ContractError: the column is of another type.
        """
        if self.field.number:
            ids = encode_field(column, self.field)
            texts, codes = number_buckets(numbers_of(ids[:, 0]))
            return ids, np.array(self._of_texts(texts), dtype=np.int64)[codes]
        if self.field.tokens:
            return encode_field(column, self.field), self._places_of(column)
        places = self._places_of(column)
        if len(self._ids) < len(self):
            new = itertools.islice(self._places, len(self._ids), None)
            self._ids = np.concatenate([self._ids, hash_texts(new)])
        return self._ids[places][:, None], places

    def _places_of(self, column: pa.Array) -> npt.NDArray[np.int64]:
        values, codes, nulls = distinct_values(column, self.field)
        places = np.empty(len(values) + 1, dtype=np.int64)
        places[:-1] = self._of_values(values)
        places[-1] = self._places[NULL_TEXT] if nulls else 0
        return places[codes]

    def _of_values(self, values: list[Any]) -> list[int]:
        if self.field.type == "string":  # its own text
            return self._of_texts([NULL_TEXT if value is None else value for value in values])
        if len(self._known) > REMEMBERED:
            self._known = {}
        known = self._known
        found = list(map(known.get, values))
        for at, place in enumerate(found):
            if place is None:
                value = values[at]
                found[at] = place = self._places[NULL_TEXT if value is None else self._show(value)]
                if value == value:  # no NaN equals another: each would be kept
                    known[value] = place
        return found  # type: ignore[return-value]

    def _of_texts(self, texts: list[bytes]) -> list[int]:
        return list(map(self._places.__getitem__, texts))


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
