"""The thread with which OneFlow waits for a graph, kept from taking a core from those that work.

While steps are under way it asks again and again whether they are done, and gives its core up in
between (`sched_yield`). With work for every core it still takes its share; with a lower priority it
gets what is left. Steps are queued ahead, so none waits for it.
"""

from __future__ import annotations

import os
from pathlib import Path

NICENESS = 10
_LEAST_TICKS = 20


def stand_back(tasks: Path = Path("/proc/self/task")) -> int | None:
    """Lower the priority of the thread that waits by asking again and again.

    It is the one, beside the main thread, that was longest in the kernel, and for more than a third
    of its time.

    Args:
        tasks: the process's threads.

    Returns:
        Its id; None where none stands out yet.
    """
    spent = {}
    for task in tasks.iterdir():
        if int(task.name) != os.getpid():
            user, kernel = _ticks(task)
            spent[int(task.name)] = kernel, user
    if not spent:
        return None
    thread = max(spent, key=spent.__getitem__)
    kernel, user = spent[thread]
    if kernel < _LEAST_TICKS or kernel < (kernel + user) / 3:
        return None
    os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
    return thread


def _ticks(task: Path) -> tuple[int, int]:
    """Clock ticks in user mode and in the kernel; none of a thread that has ended."""
    try:
        fields = (task / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[11]), int(fields[12])
