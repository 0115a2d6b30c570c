"""Rows that no index keeps any more go, as the real server's garbage collection has it.

The real one comes by once an hour. Here a table is also looked at once it has doubled, so that what
it holds stays within twice what its indexes keep.
"""

from __future__ import annotations

import logging
import threading
import time

from openmldb_sql.errors import SqlError

from openmldb_embedded.store import Store

LOG = logging.getLogger("openmldb_embedded")

EVERY_S = 3600.0
LOOK_S = 2.0
FEW_ROWS = 10_000
"""A table of no more rows is not looked at before its hour."""


class Collector:
    """Collects what expired, in a thread of its own.

    Args:
        store: the tables.
        every_s: seconds between two collections of a table that did not double.
        look_s: seconds between two looks at the tables' sizes.
    """

    def __init__(self, store: Store, *, every_s: float = EVERY_S, look_s: float = LOOK_S) -> None:
        self._store = store
        self._every_s = every_s
        self._look_s = look_s
        self._seen: dict[int, tuple[int, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="collector")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, after the table under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            self._try()

    def _try(self) -> None:
        try:
            self.look()
        except (SqlError, OSError) as error:
            LOG.warning("expired rows could not be collected: %s", error)

    def look(self) -> int:
        """Collect from the tables that are due; return how many rows went."""
        gone = 0
        tables = list(self._store.state.by_id.values())
        now = time.monotonic()
        self._seen = {t.id: self._seen.get(t.id, (0, now)) for t in tables}
        for table in tables:
            rows, at = self._seen[table.id]
            count = table.memory.num_rows
            if not table.memory.expires or not count:
                continue
            if count <= max(2 * rows, FEW_ROWS) and now - at < self._every_s:
                continue
            if self._stopping.is_set():
                break
            gone += self.collect(table.id)
            self._seen[table.id] = (table.memory.num_rows, now)
        if gone:
            # The files that hold what went are let go of by a snapshot alone.
            self._store.snapshot()
        return gone

    def collect(self, number: int) -> int:
        """Collect from one table; a change that removes nothing is not written down."""
        table = self._store.state.by_id.get(number)
        if table is None or not table.memory.expired(now := int(time.time() * 1000)):
            return 0
        return int(self._store.commit({"op": "expire", "id": number, "now": now}))
