"""What windows are for a key, known for as long as its rows and the windows' edges are the same.

The comments on a product, say, are the same for all users who are shown it, until a comment comes
or one grows too old. Between two such moments nothing has to be looked for in the product's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmldb_embedded.memtable import NO_NUMBER, Key
from openmldb_embedded.request.columnwise import Column, Rowset
from openmldb_embedded.request.frames import Call, Frame, Spots

KEPT_KEYS = 2**14
"""So many keys are remembered at most; beyond them it begins anew."""

_Values = tuple[Any, ...]


class Settled:
    """The calls over one place that the request row adds nothing to.

    Args:
        frames: Frames over one place, all of them ``plain`` and ``settled``.
        calls: Which frame each call is over, and the call.
    """

    def __init__(self, frames: Sequence[Frame], calls: Sequence[tuple[Frame, Call]]) -> None:
        self._frames = frames
        self._calls = calls
        self._kept: dict[Key, tuple[int, int, int, int, int, _Values]] = {}
        self._seen: set[Key] = set()
        self._nothing: _Values | None = None

    def columns(self, x: Rowset, spots: Spots) -> list[Column]:
        """The calls' columns."""
        kept, nothing = self._kept, self._nothing
        found: list[_Values | None] = []
        missing = []
        for n, (key, t, ((times, _, live, number),)) in enumerate(spots.spots):
            values = None
            if not times:
                values = nothing
            else:
                entry = kept.get(key)
                if entry is not None:
                    since, until, count, first, known, values_ = entry
                    if (
                        since <= t < until
                        and known == number
                        and first == live
                        and count == len(times)
                    ):
                        values = values_
            if values is None:
                missing.append(n)
            found.append(values)
        if missing:
            self._find(x, spots, missing, found)
        rows: list[Any] = found
        if len(rows) == 1 or len(set(map(id, rows))) == 1:
            return [x.once(value) for value in rows[0]]
        if spots.which is not None:
            rows = [rows[n] for n in spots.which]
        return [Column.of(list(values)) for values in zip(*rows, strict=True)]

    def _find(
        self, x: Rowset, spots: Spots, missing: list[int], found: list[_Values | None]
    ) -> None:
        asked = Spots([spots.spots[n] for n in missing], None, [spots.first(n) for n in missing])
        # Rows may come meanwhile: what is remembered must not pass for what holds with them.
        counts = [len(times) for _, _, ((times, _, _, _),) in asked.spots]
        slices = {id(frame): frame.together(asked.spots) for frame in self._frames}
        columns = [call.column(slices[id(frame)], asked, x, ()) for frame, call in self._calls]
        for frame in self._frames:
            frame.remember_all(slices[id(frame)])
        rows = Rowset(columns, len(missing)).rows()
        for at, n in enumerate(missing):
            key, t, ((times, _, live, number),) = asked.spots[at]
            values = found[n] = rows[at]
            if not times:
                self._nothing = values
            elif number != NO_NUMBER and self._again(key):
                spans = [frame.span(times, t) for frame in self._frames]
                since, until = max(s for s, _ in spans), min(u for _, u in spans)
                if len(self._kept) >= KEPT_KEYS:
                    self._kept = {}
                self._kept[key] = since, until, counts[at], live, number, values

    def _again(self, key: Key) -> bool:
        """Whether a key has been asked for before: of most there is no second time."""
        if key in self._seen:
            return True
        if len(self._seen) >= KEPT_KEYS:
            self._seen.clear()
        self._seen.add(key)
        return False
