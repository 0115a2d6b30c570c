"""A table's offline data: how a job adds to it or replaces it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from openmldb_embedded.catalog import Record, State, Table
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.jobs import Finish
from openmldb_embedded.offline import OfflineEngine
from openmldb_embedded.paths import Roots, is_remote
from openmldb_embedded.store import Store


def adopt_offline(
    store: Store, table: Table, staged: list[Path], mode: str, options: dict[str, Any]
) -> Finish:
    """The end of a job whose staged files become offline data of a table."""
    names = store.adopt_offline(table, staged)
    return append_parts(store, table, [[name, False, options] for name in names], mode), None


def append_parts(
    store: Store, table: Table, parts: list[list[Any]], mode: str
) -> Callable[[State], Record]:
    """The record by which parts become offline data of a table, as the write mode says."""

    def make(state: State) -> Record:
        if mode == "error_if_exists" and table.parts:
            raise ExecutionError(has_offline(table))
        if mode == "overwrite":
            store.superseded.append(table.parts)
        return {
            "op": "offline",
            "id": table.id,
            "parts": parts,
            "replace": mode == "overwrite",
        }

    return make


def offline_files(roots: Roots, engine: OfflineEngine, path: str) -> tuple[str, ...]:
    """What an offline job reads at a path: local files, or a URL for an engine that reaches it.

    Raises:
        PathError: Outside the roots, a wrong pattern, no data file, or a URL that the engine does
            not reach.
    """
    if is_remote(path) and engine.reaches:
        return (roots.url(path),)
    return tuple(map(str, roots.sources(path)))


def has_offline(table: Table) -> str:
    """Why ``error_if_exists`` refuses a table."""
    return (
        f"table {table.db}.{table.name} has offline data already: use mode='append' or "
        f"mode='overwrite'"
    )
