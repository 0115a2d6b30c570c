"""Columns as the artefact keeps them: ids that sort, values that JSON takes."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any

from nightshift.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def as_ids(column: Any, where: str) -> Any:
    """A column of ids as int64 or as text.

    Raises:
        DataError: it is of another type.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_string())
    raise DataError(f"{where} is of type {kind}; ids are whole numbers or text")


def plain(column: Any) -> Any:
    """A column whose values JSON takes: times are milliseconds since 1970, dates text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    if pa.types.is_date(kind):
        return pc.strftime(column, format="%Y-%m-%d")
    return column


class Ids:
    """Distinct ids in ascending order, looked up without a copy in memory.

    Args:
        values: an Arrow array of int64 or text.
    """

    def __init__(self, values: pa.Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        """Whether the ids are text."""
        import pyarrow as pa

        return not pa.types.is_integer(self.values.type)

    def find(self, value: Any) -> int | None:
        """The place of an id; None where there is no such id."""
        if isinstance(value, bool) or isinstance(value, str) != self.is_text:
            return None
        try:
            at = bisect.bisect_left(range(len(self)), value, key=self._at)
        except TypeError:
            return None
        return at if at < len(self) and self._at(at) == value else None

    def _at(self, place: int) -> Any:
        return self.values[place].as_py()
