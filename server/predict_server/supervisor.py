"""Worker processes behind one port: kept alive, and replaced one by one on SIGHUP.

The supervisor holds the listening socket and answers nothing itself. A worker that dies takes its
requests in flight along and nothing else: connections that wait are taken by the others, or by the
one that replaces it. On SIGHUP each worker is replaced: the new one serves before the old one
stops, which answers what it has first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings
from predict_server.compacting import compact_for_ever
from predict_server.crew import FOLDER

LOG = logging.getLogger("predict_server")

METRICS = "PROMETHEUS_MULTIPROC_DIR"
READY_S = 120.0
"""Seconds that a worker may take to serve."""

STOP_S = 20.0
"""Seconds that a worker may take to stop; it gives its requests half of that."""

YOUNG_S = 5.0
"""A worker that dies younger than this is replaced after a pause, which doubles up to `PAUSE_S`."""

PAUSE_S = 5.0
TRIES = 3
"""Workers that may die before any has served; then something is wrong with all of them."""


class Failed(Exception):
    """No worker could serve."""


class Worker:
    """A worker process, and the ends of its pipes."""

    def __init__(self, process: asyncio.subprocess.Process, ready: int, life: int) -> None:
        self.process = process
        self.started = time.monotonic()
        self.serving = False
        self._ready = ready
        self._life = life

    async def serves(self) -> bool:
        """Wait until it serves, or has ended, or took too long."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()

        def read() -> None:
            loop.remove_reader(self._ready)
            told.set_result(os.read(self._ready, 16) == b"ready")

        loop.add_reader(self._ready, read)
        try:
            async with asyncio.timeout(READY_S):
                self.serving = await told
        except TimeoutError:
            loop.remove_reader(self._ready)
        finally:
            os.close(self._ready)
        return self.serving

    async def stop(self) -> None:
        """End it; what it has in flight is answered first."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self.process.wait()
        except TimeoutError:
            LOG.warning("worker %d does not stop; it is killed", self.process.pid)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def forget(self) -> None:
        """Close what is left of it here."""
        os.close(self._life)


class Supervisor:
    """Keeps a number of workers behind one socket.

    Args:
        settings: address and number.
        listener: the listening socket.
        folder: what the workers share: metrics, and what each follows.
    """

    def __init__(self, settings: Settings, listener: socket.socket, folder: Path) -> None:
        self._settings = settings
        self._listener = listener
        self._crew = folder / "crew"
        self._metrics = folder / "metrics"
        for path in (self._crew, self._metrics):
            path.mkdir()
        self._workers: list[Worker | None] = [None] * settings.predict_workers
        self._stopping = asyncio.Event()
        self._rolling: asyncio.Task[None] | None = None
        self._served = False
        self._failures = 0

    async def run(self) -> None:
        """Keep the workers until SIGTERM or SIGINT.

        Raises:
            Failed: the first ones died before they served.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._roll_soon)
        keepers = [asyncio.create_task(self._keep(at)) for at in range(len(self._workers))]
        compacting = asyncio.create_task(compact_for_ever(self._settings))
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        compacting.cancel()
        if self._rolling is not None:
            self._rolling.cancel()
        await asyncio.gather(*(worker.stop() for worker in self._workers if worker))
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(compacting, *keepers, return_exceptions=True)
        for task in done - {stopping}:
            if error := task.exception():
                raise error

    async def _start(self) -> Worker:
        ready_here, ready_there = os.pipe()
        life_there, life_here = os.pipe()
        listen = self._listener.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "predict_server.worker", "--listen", str(listen)),
                *("--ready", str(ready_there), "--life", str(life_there)),
                pass_fds=(listen, ready_there, life_there),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, FOLDER: str(self._crew), METRICS: str(self._metrics)},
            )
        finally:
            os.close(ready_there)
            os.close(life_there)
        return Worker(process, ready_here, life_here)

    async def _keep(self, at: int) -> None:
        """One place, always with a worker."""
        pause = 0.1
        while not self._stopping.is_set():
            worker = self._workers[at] = await self._start()
            if await worker.serves():
                self._served, self._failures = True, 0
            while (worker := self._workers[at] or worker) and worker.process.returncode is None:
                await worker.process.wait()
            self._clean(worker)
            if self._stopping.is_set():
                return
            code = worker.process.returncode
            LOG.warning(
                "worker %d ended with %s; another takes its place", worker.process.pid, code
            )
            if not self._served:
                self._failures += 1
                if self._failures >= TRIES:
                    raise Failed(f"no worker could serve; the last one ended with {code}")
            young = time.monotonic() - worker.started < YOUNG_S
            pause = min(pause * 2, PAUSE_S) if young else 0.1
            if young:
                await asyncio.sleep(pause)

    def _clean(self, worker: Worker) -> None:
        """Take away what a dead worker said of itself; what it counted stays."""
        pid = worker.process.pid
        (self._crew / f"{pid}.json").unlink(missing_ok=True)
        for path in self._metrics.glob(f"gauge_live*_{pid}.db"):
            path.unlink(missing_ok=True)
        worker.forget()

    def _roll_soon(self) -> None:
        if self._rolling is None or self._rolling.done():
            self._rolling = asyncio.create_task(self._roll())

    async def _roll(self) -> None:
        LOG.info("replacing the workers, one by one")
        for at in range(len(self._workers)):
            old = self._workers[at]
            new = await self._start()
            if not await new.serves():
                LOG.error("the new worker %d does not serve; the old ones go on", new.process.pid)
                await new.stop()
                self._clean(new)
                return
            self._workers[at] = new
            if old is not None:
                await old.stop()
                self._clean(old)
        LOG.info("all workers are replaced")


def listen(settings: Settings) -> socket.socket:
    """The listening socket.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.bind, settings.predict_port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"NIGHTSHIFT_BIND and NIGHTSHIFT_PREDICT_PORT: {settings.bind}:"
            f"{settings.predict_port}: {error.strerror}"
        ) from error
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def supervise(settings: Settings) -> None:
    """Run the workers until a signal.

    Raises:
        ConfigurationError: the address cannot be had.
        Failed: no worker could serve.
    """
    with listen(settings) as listener:
        folder = Path(tempfile.mkdtemp(prefix="nightshift-predict-"))
        try:
            asyncio.run(_run(settings, listener, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _run(settings: Settings, listener: socket.socket, folder: Path) -> None:
    await Supervisor(settings, listener, folder).run()
