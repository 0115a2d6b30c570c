"""Processes that do not outlive the one that started them (Linux)."""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1


def end_with(parent: int, number: int) -> None:
    """Have the kernel send this process a signal when its parent dies, however it does.

    A parent that has died by now sends none, so the signal comes at once then.

    Args:
        parent: its process id, as the parent itself knows it: asking for it here may be too late.
        number: the signal.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
