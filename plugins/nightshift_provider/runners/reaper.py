"""Removes what killed workers left behind: past its deadline, or ended long ago.

Each run of a task operator reaps; `python -m nightshift_provider.runners.reaper` does it by hand.
"""

from __future__ import annotations

import sys
import time

from nightshift.settings import Settings
from nightshift_provider.runners import runner_class


def reap(settings: Settings, *, now: float | None = None, sparing: str = "") -> list[str]:
    """Stop and remove leftovers of this installation; return their names.

    Processes are looked for whatever the runner, which may have been changed since.

    Args:
        settings: whose home and engine.
        now: seconds since the epoch.
        sparing: a name to leave alone.

    Raises:
        ServiceUnavailable: the engine does not answer.
    """
    now = time.time() if now is None else now
    return [
        name
        for kind in dict.fromkeys(("process", settings.task_runner))
        for name in runner_class(kind).reap(settings, now, sparing)
    ]


if __name__ == "__main__":
    for reaped in reap(Settings.from_env()):
        sys.stdout.write(f"{reaped}\n")
