"""A cluster's moods, for tests of clients: what goes wrong, how often, and for how long.

Nothing here is for use outside tests. The environment variable ``OPENMLDB_EMBEDDED_MOODS``
chooses: ``name=number`` separated by commas, or ``@/path/of/a/file`` that holds the same and is
read anew whenever it changes, so that a test can spoil a server that runs.

The texts and codes are those that a cluster of OpenMLDB 0.9.2 was seen to answer.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from openmldb_sql.errors import SqlError

LOG = logging.getLogger("openmldb_embedded")

VARIABLE = "OPENMLDB_EMBEDDED_MOODS"

AT_ONCE = "failed_seconds=0, index_seconds=0"
"""Without a cluster's delays: a job's end and a new index are seen at once."""


@dataclass(frozen=True)
class Moods:
    """What goes wrong; as it is, as on a cluster in good health.

    Attributes:
        index_seconds: How long an index of CREATE INDEX is not yet seen.
        deploy_seconds: How long DEPLOY takes for each index that it adds.
        failed_seconds: How long a job that has failed is shown as FINISHED.
        unseen_seconds: How long a new table takes no rows and a new deployment no requests,
            unless ``POST /refresh`` comes first.
        tablet_away: So many of the next answers that need a tablet find none.
        tables_loading: So many of the next ones, after those, find tables that are not open yet.
        partial_reads: So many of the next reads of online rows see a part of them only, each a
            greater one; the tables' status is good meanwhile.
        timeout: This one of the next statements that change something is answered with
            ``Reached timeout``, and is carried out a moment later.
        load_failures: So many of the next online loads keep half of their rows and fail.
        stops_ignored: So many of the next STOP JOB only write STOPPED: the job goes on.
        death: The process ends in place of the answer to this one of the next statements that
            change something; it has been carried out.
        call_timeouts: So many of the next calls of a deployment are answered with
            ``Reached timeout``.
        call_death: The process ends in place of the answer to this one of the next calls of a
            deployment.
    """

    index_seconds: float = 0.5
    deploy_seconds: float = 0.0
    failed_seconds: float = 0.5
    unseen_seconds: float = 0.0
    tablet_away: float = 0
    tables_loading: float = 0
    partial_reads: float = 0
    timeout: float = 0
    load_failures: float = 0
    stops_ignored: float = 0
    death: float = 0
    call_timeouts: float = 0
    call_death: float = 0

    @classmethod
    def of(cls, text: str) -> Moods:
        """The moods that a text chooses: ``deploy_seconds=6, tablet_away=20``.

        Raises:
            SqlError: It names none of them, or no number.
        """
        known = [field.name for field in fields(cls)]
        chosen: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if name.strip() not in known or not 0 <= number < math.inf:
                raise SqlError(f"{VARIABLE}: {part!r} is not name=number, of {', '.join(known)}")
            chosen[name.strip()] = number
        return cls(**chosen)


class TabletAway(SqlError):
    """What is asked of a tablet that is not there."""

    default_code = 1500


class Mood:
    """The moods of the moment, and how often each has been spent.

    Args:
        text: The moods, or ``@`` and the path of the file that holds them.

    Raises:
        SqlError: The text names no mood.
    """

    def __init__(self, text: str = "") -> None:
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._stamp: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._spent: dict[str, int] = {}
        self._moods = Moods() if self._file else Moods.of(text)
        self._calm = not text

    def now(self) -> Moods:
        """The moods as they are chosen now; a new choice is counted from nothing."""
        if self._file is None:
            return self._moods
        try:
            found = self._file.stat()
            stamp: tuple[int, int] | None = (found.st_ino, found.st_mtime_ns)
        except FileNotFoundError:
            stamp = None
        with self._lock:
            if stamp != self._stamp:
                text = self._file.read_text() if stamp else ""
                try:
                    self._moods = Moods.of(text)
                except SqlError as error:
                    LOG.error("%s", error.message)
                self._stamp, self._spent = stamp, {}
            return self._moods

    def spend(self, name: str) -> int:
        """Use a mood up by one; which use this is, 0 where none is left."""
        limit = 0 if self._calm else int(getattr(self.now(), name))
        if not limit:
            return 0
        with self._lock:
            used = self._spent.get(name, 0) + 1
            if used > limit:
                return 0
            self._spent[name] = used
            return used

    def tablet(self, code: int, text: str) -> None:
        """Ask for a tablet.

        Args:
            code: What a statement of this kind is answered where there is none.
            text: Its words.

        Raises:
            TabletAway: It is away, or its tables are not open.
        """
        if self.spend("tablet_away"):
            raise TabletAway(text, code)
        if self.spend("tables_loading"):
            raise TabletAway("get tablet client failed--main table tablet accessor is null", 1400)

    def unhealthy(self) -> bool:
        """Whether a table's partitions are said to be unalive."""
        return bool(self.spend("tablet_away") or self.spend("tables_loading"))

    def share(self) -> float:
        """The share of a table's rows that a read sees."""
        number = self.spend("partial_reads")
        return number / (int(self.now().partial_reads) + 1) if number else 1.0

    def late(self, work: Callable[[], object]) -> bool:
        """Whether a statement is answered with a timeout; it is carried out all the same."""
        turn = int(self.now().timeout)
        if not turn or self.spend("timeout") != turn:
            return False

        def run() -> None:
            try:
                work()
            except Exception as error:
                LOG.warning("a statement that was answered with a timeout: %s", error)

        timer = threading.Timer(LATE_SECONDS, run)
        timer.daemon = True
        timer.start()
        return True

    def perhaps_die(self, name: str = "death") -> None:
        """End the process where it is this statement's turn, or this call's."""
        turn = int(getattr(self.now(), name))
        if turn and self.spend(name) == turn:
            if self._file is not None:
                self._file.unlink(missing_ok=True)  # the next process is in good health
            os._exit(70)


LATE_SECONDS = 0.5
"""When a statement that was answered with a timeout is carried out."""
