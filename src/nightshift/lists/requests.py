"""A file of ready request rows, scored in its own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift.errors import ConfigurationError
from nightshift.lists.pairs import Pairs, csv_options, fitted

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 10_000
"""Rows that are plain Python values at a time."""


class OfRequests(Pairs):
    """The rows of a file: each is a user of its own, with one item.

    The file is read piece by piece and kept as an Arrow file that is mapped into memory, so that
    its size does not matter.

    Args:
        schema: name and SQL type of the request table's columns.
        path: a csv or parquet file that has all of them.
        request_id: the request table's column of ids.
        spool: where to keep the rows; an earlier file there is replaced.

    Raises:
        ConfigurationError: the file does not fit.
    """

    items = 1

    def __init__(
        self, schema: Sequence[tuple[str, str]], path: Path, request_id: str, spool: Path
    ) -> None:
        import pyarrow as pa

        self._schema, self._id = schema, request_id
        writer: Any = None
        with pa.OSFile(str(spool), "wb") as sink:
            for piece in _pieces(path, schema):
                table = fitted(piece, schema, str(path))
                lacks = [name for name, _ in schema if name not in table.column_names]
                if lacks:
                    raise ConfigurationError(
                        f"{path} has no column {lacks[0]}; a file of requests has every column of "
                        f"the request table: {', '.join(name for name, _ in schema)}"
                    )
                table = table.select([name for name, _ in schema])
                if writer is None:
                    writer = pa.ipc.new_file(sink, table.schema)
                writer.write_table(table, max_chunksize=CHUNK)
            if writer is not None:
                writer.close()
        if writer is None:
            raise ConfigurationError(f"{path} holds no rows")
        self._table = pa.ipc.open_file(pa.memory_map(str(spool))).read_all()
        self.users = len(self._table)
        self._held: tuple[int, list[list[Any]]] = (0, [])

    def rows(self, user: int, first: int, last: int) -> list[list[Any]]:
        """The row at the place `user`, if `first` up to `last` holds the one item."""
        start, held = self._held
        if not start <= user < start + len(held):
            start = user
            held = self._plain(user)
            self._held = start, held
        return [held[user - start]][first:last]

    def _plain(self, start: int) -> list[list[Any]]:
        from nightshift.serving.pair import plain_values

        part = self._table.slice(start, CHUNK)
        columns = [plain_values(column) for column in part.columns]
        return [list(row) for row in zip(*columns, strict=True)]

    def named(self, users: pa.Array, items: pa.Array) -> dict[str, pa.Array]:
        """The id of each row's request."""
        del items
        return {"request": self._table[self._id].take(users)}


def _pieces(path: Path, schema: Sequence[tuple[str, str]]) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".csv":
            with pc.open_csv(path, convert_options=csv_options(schema)) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        elif path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(CHUNK):
                    yield pa.Table.from_batches([batch])
        else:
            raise ConfigurationError(f"{path}: name a .csv or .parquet file")
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
