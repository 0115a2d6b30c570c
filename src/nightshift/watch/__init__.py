"""What a watcher looks at: the nights' log, promised hours, disks, and its own pulse.

Everything here is read from files, so that it works while servers are down, and may be done again
at any moment: what was told is not told again.
"""

from nightshift.watch.housekeeping import RUN, upkeep_failed, upkeep_worked
from nightshift.watch.look import Seen, heartbeat_age_s, look, read_heartbeat
from nightshift.watch.nights import (
    night_failed,
    note_failure,
    tell_failed_run,
    tell_night,
)

__all__ = [
    "RUN",
    "Seen",
    "heartbeat_age_s",
    "look",
    "night_failed",
    "note_failure",
    "read_heartbeat",
    "tell_failed_run",
    "tell_night",
    "upkeep_failed",
    "upkeep_worked",
]
