"""Which processes belong to a service, told by the kernel.

A process id alone says nothing after a while, since numbers are used again; a pid together
with the process's start time and the boot it happened in names one process for ever. A
service's processes are those of its session, those that inherited its marker variable, and
all their descendants (a program that rewrites its title also overwrites its environment).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARKER = "_NIGHTSHIFT_SERVICES_OF"
"""Environment variable that every started process inherits; its value is the home folder."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process at the moment of looking."""

    pid: int
    parent: int
    session: int
    start_ticks: int
    state: str

    @property
    def running(self) -> bool:
        """False for a zombie, which only waits for its parent to read its exit code."""
        return self.state not in ("Z", "X")


def look(pid: int) -> Process | None:
    """The process that has this number now, if any."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return None
    # The name is in parentheses and may itself hold blanks and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
        state=fields[0],
    )


def boot_id() -> str:
    """Identity of this boot of the machine: start times count from it."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def every_process() -> dict[int, Process]:
    """All processes that can be seen, by pid."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (process := look(int(entry.name))):
            found[process.pid] = process
    return found


def is_same(pid: int, start_ticks: int, boot: str) -> bool:
    """Whether the process recorded earlier still runs (and is not a newer one with its number)."""
    process = look(pid)
    return (
        process is not None
        and process.running
        and process.start_ticks == start_ticks
        and boot == boot_id()
    )


def marked(home: Path, processes: Iterable[Process]) -> set[int]:
    """Pids whose environment says that they were started for `home`."""
    needle = f"\0{MARKER}={home}\0".encode()
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            if needle in b"\0" + (_PROC / str(process.pid) / "environ").read_bytes() + b"\0":
                found.add(process.pid)
    return found


def members(leaders: Iterable[tuple[int, int, str]], home: Path | None = None) -> list[Process]:
    """Every running process of these services, without the caller and its ancestors.

    Args:
        leaders: (pid, start ticks, boot id) of each service's first process, which leads a
            session of its own.
        home: also take those that carry this home's marker.
    """
    everything = every_process()
    boot = boot_id()
    sessions = set()
    for pid, start_ticks, leader_boot in leaders:
        # A number is not given away while a session bears it, so with the leader gone the
        # session is still the recorded one; with another process in its place, it is over.
        now = everything.get(pid)
        if leader_boot == boot and (now is None or now.start_ticks == start_ticks):
            sessions.add(pid)
    chosen = {p.pid for p in everything.values() if p.session in sessions}
    if home is not None:
        chosen |= marked(home, everything.values())
    children: dict[int, list[int]] = {}
    for process in everything.values():
        children.setdefault(process.parent, []).append(process.pid)
    frontier = list(chosen)
    while frontier:
        for child in children.get(frontier.pop(), []):
            if child not in chosen:
                chosen.add(child)
                frontier.append(child)
    chosen -= _self_and_ancestors(everything)
    return [everything[pid] for pid in sorted(chosen) if everything[pid].running]


def _self_and_ancestors(everything: dict[int, Process]) -> set[int]:
    line = set()
    pid = os.getpid()
    while pid and pid not in line:
        line.add(pid)
        pid = everything[pid].parent if pid in everything else 0
    return line


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process, never one that took its number meanwhile."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        now = look(process.pid)
        if now is not None and now.start_ticks == process.start_ticks:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def command_line(pid: int) -> str:
    """What the process was started with, shortened; empty where it cannot be seen."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()[:120]


def resident_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes; pages that they share are counted once for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def started_at(process: Process) -> float:
    """Unix time at which the process started."""
    uptime = float((_PROC / "uptime").read_text().split()[0])
    return time.time() - uptime + process.start_ticks / os.sysconf("SC_CLK_TCK")
