"""Arrow streams and parquet chunks of strangers, of which nothing is believed.

Arrow reads what a stream says without a look at it: an offset that leads out of its buffer ends
the process, or reads memory that is not the stream's. And a few bytes may stand for gigabytes: a
column of NULLs, a compressed buffer, one long text that a dictionary or a view repeats.
"""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from openmldb_files.types import storage_type

from nightshift.serving.pair import plain_rows
from predict_server.errors import RequestError
from predict_server.payload import printable, shown

MAX_VALUES = 4_000_000
"""Rows times columns of a stream."""

MAX_TEXT = 64 * 1024 * 1024
"""Bytes of text of a stream or a chunk, repetitions included."""

_DICTIONARY, _BATCH = 2, 3
"""Kinds of messages in a stream."""


def read_stream(body: bytes, max_rows: int) -> pa.Table:
    """An Arrow stream, whole and sound; its columns hold no lists and no structs.

    Raises:
        RequestError: it is damaged, compressed, or holds too much (413, 422).
    """
    try:
        _refuse_compressed(body)
        with pa.ipc.open_stream(body) as reader:
            schema = reader.schema
            check_flat(schema)
            limit = min(max_rows, MAX_VALUES // max(len(schema), 1))
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > limit:
                    raise RequestError(
                        413,
                        "too_big",
                        f"the stream has more than {limit} rows of {len(schema)} columns; split it",
                    )
                batch.validate(full=True)
                batches.append(batch)
        return pa.Table.from_batches(batches, schema)
    except (pa.ArrowException, OSError, ValueError, KeyError, struct.error) as error:
        why = printable(str(error), 200)
        raise RequestError(422, "invalid_request", f"the body is not an Arrow stream: {why}") from (
            error
        )


def values_of(table: pa.Table) -> list[list[Any]]:
    """The rows as JSON would give them, see `plain_rows`.

    Raises:
        RequestError: they hold too much text (413), or a day that no calendar has (422).
    """
    check_text(table)
    try:
        return plain_rows(table)
    except (OverflowError, ValueError) as error:
        raise RequestError(
            422, "invalid_request", "a time or day lies outside the years 1 to 9999"
        ) from error


def check_flat(schema: pa.Schema) -> None:
    """Return if the columns hold plain values and differ in their names.

    Raises:
        RequestError: they do not (422).
    """
    for field in schema:
        if pa.types.is_nested(storage_type(field.type)):
            raise RequestError(
                422,
                "invalid_request",
                f"column {shown(field.name)} is {printable(str(field.type), 60)}; leave out what "
                "holds lists or structs",
            )
        if len(schema.get_all_field_indices(field.name)) > 1:
            raise RequestError(422, "invalid_request", f"column {shown(field.name)} is given twice")


def check_text(table: pa.Table) -> None:
    """Return if the texts are as long as they seem, repetitions counted.

    Raises:
        RequestError: they are not (413).
    """
    chunks = (_lengths(chunk) for column in table.columns for chunk in column.chunks)
    found = sum(pc.sum(lengths).as_py() or 0 for lengths in chunks if lengths is not None)
    if found > MAX_TEXT:
        raise RequestError(
            413, "too_big", f"{table.num_rows} rows hold {found} bytes of text; split them"
        )


def _lengths(column: pa.Array) -> pa.Array | None:
    """Bytes of each value of a column of texts; None for one of fixed width."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _lengths(column.storage)
    if pa.types.is_dictionary(kind):
        found = _lengths(column.dictionary)
        return None if found is None else found.take(column.indices)
    if pa.types.is_run_end_encoded(kind):
        found = _lengths(column.values)
        if found is None:
            return None
        runs = pa.RunEndEncodedArray.from_arrays(column.run_ends, found)
        # The last run may say that it is longer than the column.
        return pc.run_end_decode(runs.slice(column.offset, len(column)))
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _view_lengths(column)
    if pa.types.is_primitive(kind) or pa.types.is_null(kind):
        return None
    return pc.binary_length(column).cast(pa.int64())


def _view_lengths(column: pa.Array) -> pa.Array:
    """A view is 16 bytes, the first four of them its length; Arrow has no function for it."""
    import numpy as np

    views = column.buffers()[1][column.offset * 16 : (column.offset + len(column)) * 16]
    lengths = np.frombuffer(views, np.int32)[::4].astype(np.int64)
    return pa.array(lengths, mask=column.is_null().to_numpy(zero_copy_only=False))


def _refuse_compressed(body: bytes) -> None:
    """A compressed buffer is unpacked as soon as its batch is read, to whatever size it says."""
    for message in pa.ipc.MessageReader.open_stream(body):
        if _is_compressed(message.metadata.to_pybytes()):
            raise RequestError(
                422, "invalid_request", "the stream is compressed; send it uncompressed"
            )


def _is_compressed(message: bytes) -> bool:
    """Whether a message's flatbuffer (Arrow's Message.fbs) is a batch with a compression."""
    root = _follow(message, 0)
    kind = _field(message, root, 1)
    header = _field(message, root, 2)
    if kind is None or header is None or message[kind] not in (_DICTIONARY, _BATCH):
        return False
    batch = _follow(message, header)
    if message[kind] == _DICTIONARY:
        data = _field(message, batch, 1)
        if data is None:
            return False
        batch = _follow(message, data)
    return _field(message, batch, 3) is not None


def _follow(buffer: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", buffer, at)[0])


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table lies; None for one that is not there."""
    vtable = table - int(struct.unpack_from("<i", buffer, table)[0])
    if 4 + 2 * number >= struct.unpack_from("<H", buffer, vtable)[0]:
        return None
    offset = int(struct.unpack_from("<H", buffer, vtable + 4 + 2 * number)[0])
    return table + offset if offset else None
