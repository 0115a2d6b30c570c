"""The record of what the nights loaded: what it says twice goes, and what is long gone."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from nightshift import files
from nightshift.openmldb.loads import HISTORY, night_of
from nightshift.pipeline import Pipeline


def prune(pipeline: Pipeline, *, before: dt.datetime) -> int:
    """Shorten `online_history.jsonl` to what the skew ledger can tell apart.

    A night names all days that the store holds; only the first time says when rows came. Of days
    and changes before the moment nothing is kept, of snapshots the one that was loaded then.

    Args:
        pipeline: whose nights.
        before: with a zone.

    Returns:
        How many lines went.

    Raises:
        OSError: the file cannot be rewritten.
    """
    return files.rewrite_lines(pipeline.runs / HISTORY, _Kept(before).of)


@dataclass
class _Kept:
    before: dt.datetime
    loaded: set[tuple[str, str]] = field(default_factory=set)
    snapshots: dict[str, list[str]] = field(default_factory=dict)

    def of(self, lines: list[bytes]) -> list[bytes]:
        values = [one for line in lines if (one := night_of(line)) is not None]
        oldest = int(self.before.timestamp() * 1000)
        # Of each snapshot's loads before, the last one says what the store held then.
        last = {
            table: n
            for n, value in enumerate(values)
            if value["at_ms"] < oldest
            for table, _, _ in value["snapshots"]
        }
        kept = []
        for n, value in enumerate(values):
            made = self._one(value, value["at_ms"] < oldest, {t for t, m in last.items() if m == n})
            if any(made[name] for name in ("loaded", "changed", "snapshots")):
                kept.append(json.dumps(made).encode() + b"\n")
        return kept

    def _one(self, value: dict[str, Any], old: bool, last: set[str]) -> dict[str, Any]:
        made: dict[str, Any] = {"at_ms": value["at_ms"], "loaded": [], "changed": []}
        first = self.before.date().isoformat()
        for table, day in value["loaded"]:
            if day >= first and (table, day) not in self.loaded:
                self.loaded.add((table, day))
                made["loaded"].append([table, day])
        made["changed"] = [] if old else value["changed"]
        made["snapshots"] = []
        for table, mark, path in value["snapshots"]:
            if (old and table not in last) or self.snapshots.get(table) == [mark, path]:
                continue
            self.snapshots[table] = [mark, path]
            made["snapshots"].append([table, mark, path])
        return made
