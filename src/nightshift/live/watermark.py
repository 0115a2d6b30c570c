"""How far streamed events had reached the online store: the newest event's time, by table.

Whoever inserts events raises the marks after the insert; a reader looks at the file a few times a
second. So a mark in a receipt is a lower bound: what it names was in the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nightshift import files
from nightshift.errors import ContractError

FILE = "watermark.json"


class Watermark:
    """The marks of one pipeline, as last read.

    Args:
        folder: `live_folder` of the pipeline.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._stamp = (0, 0)
        self.tables: Mapping[str, int] = {}
        self.text = "{}"

    def refresh(self) -> None:
        """Read the file again if it changed."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._stamp:
                self.tables = read(self._path.parent)
                self.text = json.dumps(self.tables, separators=(",", ":"), sort_keys=True)
                self._stamp = stamp
        except OSError:
            return


def read(folder: Path) -> dict[str, int]:
    """Milliseconds of the newest event by table; empty before the first."""
    try:
        value = files.read_json(folder / FILE)
    except ContractError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {str(table): int(ms) for table, ms in value.items() if isinstance(ms, int)}


def advance(folder: Path, newest: Mapping[str, int]) -> None:
    """Raise the marks; the caller holds the pipeline's event lock."""
    known = read(folder)
    raised = {table: max(ms, known.get(table, ms)) for table, ms in newest.items()}
    if any(known.get(table) != ms for table, ms in raised.items()):
        # Not synced to the disk: a lower bound that a power cut lowers is still one.
        staged = files.staging_path(folder / FILE)
        staged.write_bytes(files.dump_json({**known, **raised}))
        staged.replace(folder / FILE)
