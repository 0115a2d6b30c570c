"""The indexes that a request plan reads through."""

from __future__ import annotations

from dataclasses import dataclass, field

from openmldb_sql.types import IndexDef

from openmldb_embedded.plan import Scan


@dataclass
class Needed:
    """The indexes that a plan reads, with the ttl its windows imply."""

    found: dict[
        tuple[str, str, tuple[str, ...], str | None], list[tuple[int | None, int | None]]
    ] = field(default_factory=dict)

    def add(
        self, scan: Scan, keys: tuple[str, ...], ts: str | None, ms: int | None, rows: int | None
    ) -> None:
        """Note a use that reaches back ``ms`` milliseconds or ``rows`` rows (neither: for ever)."""
        self.found.setdefault((scan.db, scan.table, keys, ts), []).append((ms, rows))

    def definitions(self) -> list[tuple[str, str, IndexDef]]:
        """One index for each (table, keys, ts): the longest reach of its uses."""
        out = []
        for (db, table, keys, ts), uses in self.found.items():
            ms = [m for m, _ in uses if m is not None]
            rows = [r for m, r in uses if m is None and r is not None]
            if len(ms) + len(rows) < len(uses):
                out.append((db, table, IndexDef(keys, ts)))
                continue
            kind = "absandlat" if ms and rows else "absolute" if ms else "latest"
            out.append(
                (db, table, IndexDef(keys, ts, kind, max(ms, default=0), max(rows, default=0)))
            )
        return out
