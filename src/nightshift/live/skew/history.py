"""What the nights did to the online store, and when: the record that the ledger reads.

`<runs>/online_history.jsonl` has a line for each time the store was brought into agreement with the
partitions (see `nightshift.openmldb.loads`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from nightshift.openmldb.loads import HISTORY, night_of


@dataclass(frozen=True)
class Loaded:
    """When days of event tables, and snapshots, reached the online store.

    Attributes:
        first: by (table, day) the milliseconds at which its rows were first loaded.
        changed: by (table, day) the times at which rows of a loaded day were changed.
        snapshots: by table (milliseconds, fingerprint, path) of each load, oldest first.
    """

    first: dict[tuple[str, dt.date], int] = field(default_factory=dict)
    changed: dict[tuple[str, dt.date], list[int]] = field(default_factory=dict)
    snapshots: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, runs: Path) -> Loaded:
        """The record below a pipeline's runs; odd lines, and those that a kill cut off, are left out."""
        made = cls()
        try:
            lines = (runs / HISTORY).read_bytes().split(b"\n")
        except FileNotFoundError:
            return made
        for value in filter(None, map(night_of, lines)):
            moment = value["at_ms"]
            for table, day in value["loaded"]:
                made.first.setdefault((table, dt.date.fromisoformat(day)), moment)
            for table, day in value["changed"]:
                made.changed.setdefault((table, dt.date.fromisoformat(day)), []).append(moment)
            for table, mark, path in value["snapshots"]:
                made.snapshots.setdefault(table, []).append((moment, mark, path))
        return made

    def snapshot_at(self, table: str, moment_ms: int) -> tuple[str, str] | None:
        """Fingerprint and path of the snapshot that the store held at a moment."""
        held = [one for one in self.snapshots.get(table, ()) if one[0] <= moment_ms]
        return held[-1][1:] if held else None
