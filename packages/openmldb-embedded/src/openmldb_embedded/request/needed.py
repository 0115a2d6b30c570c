"""The indexes that a request plan reads through."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from openmldb_sql.types import IndexDef

from openmldb_embedded.expiry import merged
from openmldb_embedded.plan import Scan


@dataclass
class Needed:
    """The indexes that a plan reads, with the ttl its windows and joins imply."""

    found: list[tuple[str, str, IndexDef]] = field(default_factory=list)

    def add(self, scan: Scan, keys: tuple[str, ...], ts: str | None, reach: IndexDef) -> None:
        """Note a use that keeps what ``reach`` says; OpenMLDB sorts the keys by name."""
        index = replace(reach, keys=tuple(sorted(set(keys))), ts=ts)
        self.found.append((scan.db, scan.table, index))

    def definitions(self) -> list[tuple[str, str, IndexDef]]:
        """One index for each (table, keys, ts), in the order in which OpenMLDB makes them."""
        out: dict[tuple[str, str, str], IndexDef] = {}
        for db, table, index in self.found:
            place = (db, table, f"{','.join(index.keys)};{index.ts or ''}")
            out[place] = merged(out[place], index) if place in out else index
        return [(db, table, out[db, table, text]) for db, table, text in sorted(out)]
