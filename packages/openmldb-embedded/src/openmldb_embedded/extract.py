"""SELECT INTO's rows: computed whole where they fit into the job's memory, else in parts."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from openmldb_files import NO_ROOM, why_not_written

from openmldb_embedded import export
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import BatchQuery
from openmldb_embedded.errors import ResourceLimitError
from openmldb_embedded.parts import Tables, divides, in_parts, weight

WHOLE = 0.85
"""The share of the job's memory up to which a query is first tried whole."""

PART = 1 / 6
"""The share of the job's memory that a part may take by the estimate."""

MOST_PARTS = 1_000


@dataclass(frozen=True)
class Folders:
    """What an extraction writes to.

    Attributes:
        parts: The result.
        aside: Rows that are kept meanwhile: a folder that is removed in any case, also at the next
            start of a server that was killed.
    """

    parts: Path
    aside: Path


def counts(bytes_: int, memory: int) -> Sequence[int]:
    """How many parts to try in turn, for a query of an estimated size; 1 is the whole."""
    parts = -(-max(bytes_, int(memory * WHOLE)) // max(1, int(memory * PART)))
    if bytes_ <= memory * WHOLE:
        return 1, min(4 * parts, MOST_PARTS)
    return min(parts, MOST_PARTS), min(4 * parts, MOST_PARTS)


def extract(
    query: BatchQuery,
    tables: Tables,
    folders: Folders,
    options: export.ExportOptions,
    memory: int,
) -> tuple[int, int]:
    """Write a query's result; how many rows it has and in how many parts it was computed.

    Args:
        query: The query.
        tables: The tables it reads.
        folders: Where to.
        options: How to write.
        memory: Bytes that the job may take; 0 computes the whole.

    Raises:
        MemoryError: It does not fit, not even in parts.
        ResourceLimitError: One key has too many rows, or the disk is full.
    """
    tries: Sequence[int] = (1,)
    if memory and divides(query.plan):
        tries = counts(weight(query.plan, tables), memory)
    for more, count in enumerate(tries, start=1):
        try:
            return _extract(query, tables, folders, options, count, memory), count
        except (MemoryError, pa.ArrowMemoryError):
            if more == len(tries):
                raise
        gc.collect()
    raise AssertionError(tries)


def _extract(
    query: BatchQuery,
    tables: Tables,
    folders: Folders,
    options: export.ExportOptions,
    count: int,
    memory: int,
) -> int:
    rows = folders.aside / "rows"
    for path in (folders.parts, rows):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    try:
        if count == 1:
            whole = query.execute(tables.whole)
            export.stage(whole, folders.parts, options)
            return whole.num_rows
        found = in_parts(query.plan, tables, rows, count, memory // 16)
        empty = Batch.empty(query.schema)
        return export.stage_some(found, empty, folders.parts, options, memory // 16)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        told = why_not_written(error, folders.parts.parent.parent)
        if count == 1:
            raise ResourceLimitError(str(told)) from error
        raise ResourceLimitError(
            f"{told}; a query that does not fit into memory keeps its rows in "
            f"{folders.aside.parent}: a larger --job-memory needs less room there"
        ) from error
    finally:
        shutil.rmtree(rows, ignore_errors=True)
