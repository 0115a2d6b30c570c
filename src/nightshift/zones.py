"""Days of a time zone: which day a moment belongs to, and when a day begins."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nightshift.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DAY_MS = 86_400_000
EPOCH = dt.date(1970, 1, 1)
OPENMLDB = "+08:00"
"""The zone of all of OpenMLDB's date functions, whatever the pipeline's."""

_FIRST, _LAST = ((edge - EPOCH).days for edge in (dt.date.min, dt.date.max))
_FAR_MS = 1 << 62
"""Milliseconds to which an offset can be added."""

_OFFSET = re.compile(r"(?:UTC)?([+-])(\d{2}):(\d{2})")


@dataclass(frozen=True)
class Zone:
    """A time zone by whose days partitions are dated.

    Attributes:
        name: `UTC`, an offset such as `+08:00`, or a name such as `Europe/Berlin`, whose days have
            23 or 25 hours when clocks change.
    """

    name: str = OPENMLDB

    @classmethod
    def of(cls, name: str) -> Zone:
        """The zone of a name.

        Raises:
            ConfigurationError: there is no such zone.
        """
        zone = cls(name)
        zone.tzinfo  # noqa: B018 (reads the name)
        return zone

    @cached_property
    def tzinfo(self) -> dt.tzinfo:
        """The zone as Python has it."""
        if self.name == "UTC":
            return dt.timezone.utc
        match = _OFFSET.fullmatch(self.name)
        if match is not None:
            hours, minutes = int(match[2]), int(match[3])
            if hours <= 14 and minutes < 60:
                ahead = dt.timedelta(hours=hours, minutes=minutes)
                return dt.timezone(ahead if match[1] == "+" else -ahead)
        try:
            return zoneinfo.ZoneInfo(self.name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"{self.name!r} is not a time zone; write UTC, an offset such as '+08:00', or a "
                "name such as Europe/Berlin"
            ) from None

    @property
    def offset_ms(self) -> int | None:
        """Milliseconds ahead of UTC; None where it changes in the course of a year."""
        if isinstance(self.tzinfo, dt.timezone):
            return round(self.tzinfo.utcoffset(None).total_seconds() * 1000)
        return None

    def start_ms(self, day: dt.date) -> int:
        """Milliseconds since 1970 at which a day begins."""
        midnight = dt.datetime.combine(day, dt.time(), tzinfo=self.tzinfo)
        return round(midnight.timestamp()) * 1000

    def end_ms(self, day: dt.date) -> int:
        """Milliseconds since 1970 at which the next day begins."""
        return self.start_ms(day + dt.timedelta(days=1))

    def day_of(self, moment: dt.datetime) -> dt.date:
        """The day of a moment; one without a zone is UTC's."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.timezone.utc)
        return moment.astimezone(self.tzinfo).date()

    def offsets(self, first: dt.date, last: dt.date) -> list[tuple[int, int]]:
        """How far the zone is ahead of UTC in the course of some days.

        Args:
            first: the first day.
            last: the last one, which is included.

        Returns:
            (moment from which it holds, offset), both in milliseconds, oldest first. The first
            moment is the begin of `first`; the others are those at which clocks change.
        """
        moment, end = self.start_ms(first), self.end_ms(last)
        found = [(moment, self._ahead_ms(moment))]
        while moment < end:
            later = moment + DAY_MS
            if self._ahead_ms(later) != found[-1][1]:
                before, after = moment, later
                while after - before > 1000:
                    middle = (before + after) // 2000 * 1000
                    if self._ahead_ms(middle) == found[-1][1]:
                        before = middle
                    else:
                        after = middle
                if after < end:
                    found.append((after, self._ahead_ms(after)))
            moment = later
        return found

    def _ahead_ms(self, moment: int) -> int:
        at = dt.datetime.fromtimestamp(moment / 1000, dt.timezone.utc).astimezone(self.tzinfo)
        ahead = at.utcoffset()
        return 0 if ahead is None else round(ahead.total_seconds() * 1000)

    def today(self) -> dt.date:
        """The day that it is."""
        return self.day_of(dt.datetime.now(dt.timezone.utc))

    def yesterday(self) -> dt.date:
        """The last whole day."""
        return self.today() - dt.timedelta(days=1)

    def days_of(self, millis: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Day number, in days since 1970, of each moment in milliseconds since 1970: int32 [n].

        A moment beyond the years 1 to 9999 is of the first or the last day of them.
        """
        import numpy as np

        ahead = self.offset_ms
        if ahead is not None:
            days = (np.clip(millis, -_FAR_MS, _FAR_MS) + ahead) // DAY_MS
            return np.clip(days, _FIRST, _LAST).astype(np.int32)
        # No zone is more than a day away from UTC.
        near = np.clip(np.unique(millis // DAY_MS), _FIRST + 2, _LAST - 1)
        days = np.unique(near[:, np.newaxis] + np.array([-1, 0, 1]))
        begins = np.array([self.start_ms(_date(int(day))) for day in days], np.int64)
        at = np.searchsorted(begins, millis, side="right") - 1
        return days[np.maximum(at, 0)].astype(np.int32)

    def days_of_times(self, times: Any) -> Any:
        """Day number of each value of a pyarrow timestamp column, NULL for NULL: int32 array."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        floored = pc.floor_temporal(times, unit="millisecond")
        millis = floored.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        nulls = millis.is_null().to_numpy(zero_copy_only=False)
        days = self.days_of(millis.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
        return pa.array(days, pa.int32(), mask=nulls)


def _date(day: int) -> dt.date:
    return EPOCH + dt.timedelta(days=day)
