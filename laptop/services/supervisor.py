"""Start, watch and stop services, so that none is started twice, lost or left over.

State is one small file a service below `<home>/services/`: the process's number, start time
and boot. Starting and stopping hold a lock, so two commands at once do not meet halfway.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.console import say, seconds, tail
from laptop.services import catalogue, home, ports, processes
from laptop.services.catalogue import Service
from nightshift import files
from nightshift.errors import ConfigurationError, ContractError, ServiceUnavailable
from nightshift.settings import Settings

_ROTATE_BYTES = 20 * 1024 * 1024
_POLL_S = 0.25


@dataclass(frozen=True)
class Record:
    """What is remembered of a started process."""

    pid: int
    start_ticks: int
    boot: str
    argv: list[str]
    ports: list[int]

    @property
    def leader(self) -> tuple[int, int, str]:
        """As `processes.members` wants it."""
        return (self.pid, self.start_ticks, self.boot)

    @property
    def alive(self) -> bool:
        """Whether exactly this process runs."""
        return processes.is_same(*self.leader)

    @property
    def started(self) -> float:
        """Unix time of its start."""
        process = processes.look(self.pid)
        return processes.started_at(process) if process else 0.0


@dataclass(frozen=True)
class Status:
    """One line of `./nightshift status`."""

    name: str
    state: str
    """running | starting | died | stopped | taken"""
    pid: int | None
    uptime_s: float | None
    resident_bytes: int
    detail: str
    address: str


class Supervisor:
    """The services of one home folder.

    Args:
        settings: folders, ports, timeouts.
        services: which there are; the laptop profile's where None.
    """

    def __init__(self, settings: Settings, services: Sequence[Service] | None = None) -> None:
        self.settings = settings
        self.services = catalogue.services(settings) if services is None else list(services)
        self.folder = settings.home / "services"
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    # Files

    def log(self, name: str) -> Path:
        """A service's log."""
        return self.settings.home / "logs" / f"{name}.log"

    def record(self, name: str) -> Record | None:
        """What is remembered of a service; None if it was never started or was stopped."""
        try:
            value = files.read_json(self.folder / f"{name}.json")
            return Record(
                value["pid"], value["start_ticks"], value["boot"], value["argv"], value["ports"]
            )
        except (ContractError, KeyError, TypeError):
            return None

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        # Longer than a start may take, so that a second `up` waits for the first and joins it.
        with files.locked(self.folder / ".lock", timeout_s=self.settings.start_timeout_s + 60):
            yield

    # Start

    def up(self, names: Sequence[str] | None = None) -> list[str]:
        """Start those of `names` (or all) that do not run; wait until each answers.

        Returns:
            the names of the services that this call started.

        Raises:
            ConfigurationError: a port is taken, or a part is missing.
            ServiceUnavailable: a service died or did not answer in time; those that this call
                started are stopped again.
        """
        home.secure(self.settings)
        with self._lock():
            chosen = [s for s in self.services if names is None or s.name in names]
            todo = [s for s in chosen if not self._runs(s)]
            self._check_ports(todo)
            started: list[str] = []
            began = time.monotonic()
            try:
                for phase in sorted({s.phase for s in todo}):
                    together = [s for s in todo if s.phase == phase]
                    # Those of the phase before come up meanwhile.
                    for prepare in [s.prepare for s in together if s.prepare]:
                        prepare(self.settings)
                    for service in together:
                        self._start(service)
                        started.append(service.name)
                self._wait(chosen, started, began)
            except BaseException:
                self._stop(started)
                raise
            return started

    def _runs(self, service: Service) -> bool:
        record = self.record(service.name)
        if record is None or not record.alive:
            return False
        for old, port in zip(record.ports, service.ports, strict=False):
            if old != port.number:
                raise ConfigurationError(
                    f"{service.title} runs on port {old}, and {port.variable} is {port.number}: "
                    "./nightshift down first, or set it back"
                )
        return True

    def _check_ports(self, services: Sequence[Service]) -> None:
        problems: list[str] = []
        for service in services:
            # What a dead leader left behind holds the port: it is ours, so end it first.
            self._stop([service.name])
            problems.extend(
                f"{service.title}: {text}; set {port.variable} to another"
                for port in service.ports
                if (text := ports.problem(self.settings.bind, port.number))
            )
        if problems:
            raise ConfigurationError(
                "\n".join(problems) + "\n(or stop what holds it; `./nightshift status` shows ours)"
            )

    def _start(self, service: Service) -> None:
        launch = service.launch(self.settings)
        log = self.log(service.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _ROTATE_BYTES:
            log.replace(log.with_suffix(".log.1"))
        env = launch.env | {processes.MARKER: str(self.settings.home)}
        with log.open("ab") as out:
            out.write(f"\n==== {time.strftime('%F %T')} {' '.join(launch.argv)}\n".encode())
            out.flush()
            try:
                child = subprocess.Popen(
                    launch.argv,
                    env=env,
                    cwd=launch.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ConfigurationError(
                    f"{service.title} cannot be started: {launch.argv[0]}: {error.strerror}"
                ) from error
        self.children[service.name] = child
        process = processes.look(child.pid)
        if process is not None:
            files.write_json(
                self.folder / f"{service.name}.json",
                {
                    "pid": child.pid,
                    "start_ticks": process.start_ticks,
                    "boot": processes.boot_id(),
                    "argv": launch.argv,
                    "ports": [port.number for port in service.ports],
                    "home": str(self.settings.home),
                },
            )

    def _wait(self, services: Sequence[Service], started: Sequence[str], began: float) -> None:
        waiting = list(services)
        # From now on: making Airflow's database before may have taken long.
        said = time.monotonic()
        deadline = said + self.settings.start_timeout_s
        while waiting:
            for service in list(waiting):
                record = self.record(service.name)
                self._collect(service.name)
                if record is None or not record.alive:
                    raise ServiceUnavailable(
                        f"{service.title} ended while starting. The end of "
                        f"{self.log(service.name)}:\n{tail(self.log(service.name), 25)}"
                    )
                lacks = service.not_ready(self.settings, record.started)
                if lacks is None:
                    waiting.remove(service)
                    took = seconds(time.monotonic() - began)
                    new = f"ready after {took}" if service.name in started else "was running"
                    where = f", {service.address}" if service.address else ""
                    say(f"  {service.title}: {new}{where}")
                elif time.monotonic() > deadline:
                    raise ServiceUnavailable(
                        f"{service.title} runs but does not answer after "
                        f"{self.settings.start_timeout_s:g} s (NIGHTSHIFT_START_TIMEOUT_S): "
                        f"{lacks}. The end of {self.log(service.name)}:\n"
                        f"{tail(self.log(service.name), 25)}"
                    )
            if waiting and time.monotonic() - said > 15:
                said = time.monotonic()
                names = ", ".join(s.title for s in waiting)
                say(f"  waiting for {names} ... {seconds(said - began)}")
            time.sleep(_POLL_S if waiting else 0)

    def _collect(self, name: str) -> None:
        # Ours while we live: without this an ended child would stay a zombie.
        if name in self.children:
            self.children[name].poll()

    # Stop

    def down(self, names: Sequence[str] | None = None) -> int:
        """Stop services and everything they started; return how many processes that were.

        Raises:
            ServiceUnavailable: a process survived SIGKILL (it hangs in the kernel).
        """
        with self._lock():
            every = [s.name for s in self.services]
            return self._stop(every if names is None else names, sweep=names is None)

    def _stop(self, names: Sequence[str], *, sweep: bool = False) -> int:
        chosen = [s for s in self.services if s.name in names]
        asked: set[tuple[int, int]] = set()
        for phase in sorted({s.phase for s in chosen}, reverse=True):
            leaders = [
                record.leader
                for s in chosen
                if s.phase == phase and (record := self.record(s.name))
            ]
            self._end(leaders, None, asked)
        if sweep:
            # What left its service's session and outlived its parents, such as a task.
            self._end([], self.settings.home, asked)
        for service in chosen:
            (self.folder / f"{service.name}.json").unlink(missing_ok=True)
            self._collect(service.name)
        return len(asked)

    def _end(
        self,
        leaders: Sequence[tuple[int, int, str]],
        home: Path | None,
        asked: set[tuple[int, int]],
    ) -> None:
        began = time.monotonic()
        while remaining := processes.members(leaders, home):
            elapsed = time.monotonic() - began
            killing = elapsed > self.settings.stop_grace_s
            if elapsed > self.settings.stop_grace_s + 10:
                stuck = ", ".join(f"{p.pid} ({processes.command_line(p.pid)})" for p in remaining)
                raise ServiceUnavailable(f"these processes do not end, not even killed: {stuck}")
            for process in remaining:
                identity = (process.pid, process.start_ticks)
                if killing or identity not in asked:
                    processes.send(process, signal.SIGKILL if killing else signal.SIGTERM)
                    asked.add(identity)
            for child in self.children.values():
                child.poll()
            time.sleep(0.1)

    # Look

    def dead(self) -> list[str]:
        """Names of services that were started and have ended by themselves."""
        records = {s.name: self.record(s.name) for s in self.services}
        for name in records:
            self._collect(name)
        return [name for name, record in records.items() if record and not record.alive]

    def status(self) -> list[Status]:
        """What each service does just now."""
        rows = []
        for service in self.services:
            record = self.record(service.name)
            if record is not None and record.alive:
                lacks = service.not_ready(self.settings, record.started)
                family = [p.pid for p in processes.members([record.leader])]
                rows.append(
                    Status(
                        name=service.name,
                        state="running" if lacks is None else "starting",
                        pid=record.pid,
                        uptime_s=time.time() - record.started,
                        resident_bytes=processes.resident_bytes(family),
                        detail=lacks or "",
                        address=service.address,
                    )
                )
                continue
            taken = next(
                (
                    text
                    for port in service.ports
                    if (text := ports.problem(self.settings.bind, port.number))
                ),
                "",
            )
            if record is not None:
                state, detail = "died", f"see {self.log(service.name)}"
            elif taken:
                state, detail = "taken", taken
            else:
                state, detail = "stopped", ""
            rows.append(Status(service.name, state, None, None, 0, detail, service.address))
        return rows


def follow(paths: dict[str, Path], *, lines: int, forever: bool) -> None:
    """Write the ends of logs and, if `forever`, what is added to them from now on."""
    width = max(map(len, paths))
    offsets: dict[str, int] = {}
    for name, path in paths.items():
        if not path.exists():
            continue
        if len(paths) > 1:
            say(f"==== {path}")
        say(tail(path, lines))
        offsets[name] = path.stat().st_size
    while forever:
        for name, path in paths.items():
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                begin = offsets.get(name, 0)
                begin = begin if begin <= size else 0  # the log was put away and begun anew
                with path.open("rb") as file:
                    file.seek(begin)
                    text = file.read()
                whole = text[: text.rfind(b"\n") + 1]
                offsets[name] = begin + len(whole)
                for line in whole.decode(errors="replace").splitlines():
                    prefix = f"{name.ljust(width)} | " if len(paths) > 1 else ""
                    sys.stdout.write(f"{prefix}{line}{os.linesep}")
                sys.stdout.flush()
        time.sleep(0.3)
