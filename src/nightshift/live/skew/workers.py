"""Parts of the ledger in processes of their own, so that two cores are used.

`python -m nightshift.live.skew.workers FD` is such a process. Over the connection FD it is sent a
`Release` and then a `Share` at a time, and answers with pairs of a word and a value: what is said,
and what was found or went wrong. It ends with the connection, whatever it is doing: a run that was
killed leaves nobody at work.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from nightshift.errors import RetryableError
from nightshift.live.skew.part import Found, Part, Release, Said, Share
from nightshift.openmldb import AbstractClient, OpenMLDBClient, deployments

LOG = logging.getLogger(__name__)

AT_ONCE = 2
"""Parts under way together. Each holds its requests in memory, and OpenMLDB answers both."""


def found_of(
    release: Release, shares: Iterable[Share], client: AbstractClient, said: Said, many: bool
) -> list[Found]:
    """What became of a release's requests.

    Args:
        release: what served them.
        shares: its requests, in parts.
        client: the API server.
        said: told what is done, by several threads.
        many: whether there are several parts.

    Raises:
        DataError, OpenMLDBError, ServiceUnavailable, JobFailed: as `Part.found`.
        RetryableError: a process was killed.
    """
    slots = [release.at(slot) for slot in range(AT_ONCE)]
    for one in slots:
        deployments.drop_database(client, one.name)  # a killed run may have left it
    if not many or len(os.sched_getaffinity(0)) < AT_ONCE:
        return [Part(release, share, client, said).found() for share in shares]
    made: dict[int, Found] = {}
    workers = [Worker(one, client.timeout_s) for one in slots]
    try:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="part") as threads:
            turns = _Turns(shares)

            def work(worker: Worker) -> None:
                try:
                    for number, share in turns:
                        said(f"as the store stood: {len(share.requests)} requests")
                        made[number] = worker.found(share, said)
                except BaseException:
                    _stop(workers)
                    raise

            try:
                asked = [threads.submit(work, worker) for worker in workers]
                errors = [one.exception() for one in asked]
            except BaseException:
                _stop(workers)
                raise
    finally:
        for worker in workers:
            worker.close()
        for one in slots:
            deployments.drop_database(client, one.name)
    # Where one failed the other was stopped, which is no reason.
    for error in sorted(filter(None, errors), key=lambda error: isinstance(error, _Ended)):
        raise error
    return [made[number] for number in sorted(made)]


class _Turns(Iterator[tuple[int, Share]]):
    """Numbered shares, made one at a time for several threads."""

    def __init__(self, shares: Iterable[Share]) -> None:
        self._shares = enumerate(shares)
        self._turn = threading.Lock()

    def __next__(self) -> tuple[int, Share]:
        with self._turn:
            return next(self._shares)


def _stop(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.stop()


class _Ended(RetryableError):
    """A worker process ended before it answered."""


class Worker:
    """A process that finds what became of one part after another.

    Args:
        release: what served them; its database and folder are the worker's alone.
        timeout_s: of a call of OpenMLDB.
    """

    def __init__(self, release: Release, timeout_s: float) -> None:
        # Rows that came late are told apart by their hashes, in all processes.
        env = {**os.environ, "PYTHONHASHSEED": "0"}
        self._ours, theirs = multiprocessing.Pipe()
        with theirs:
            fd = theirs.fileno()
            argv = [sys.executable, "-P", "-m", "nightshift.live.skew.workers", str(fd)]
            self._process = subprocess.Popen(argv, env=env, pass_fds=[fd])
        self._first: Any = (release, timeout_s)

    def found(self, share: Share, said: Said) -> Found:
        """What became of a part.

        Raises:
            RetryableError: the process was killed.
            NightshiftError: as `Part.found`.
        """
        for message in (self._first, share):
            if message is not None:
                self._send(message)
        self._first = None
        while True:
            word, value = self._receive()
            if word == "failed":
                raise value
            if word == "found":
                assert isinstance(value, Found)
                return value
            said(value)

    def _send(self, message: Any) -> None:
        try:
            self._ours.send(message)
        except OSError as error:
            raise self._ended() from error

    def _receive(self) -> tuple[str, Any]:
        try:
            word, value = self._ours.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        return word, value

    def _ended(self) -> _Ended:
        return _Ended(
            f"a process of the ledger ended (exit code {self._process.wait()}): it was killed, or "
            "the machine has no memory left; observe fewer days at once, or a sample (--sample)"
        )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()

    def close(self) -> None:
        """Wait for its end."""
        self.stop()
        self._process.wait()
        self._ours.close()


def main(fd: int) -> None:
    """Serve parts until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides
    with Connection(fd) as theirs:
        given: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=_read, args=(theirs, given), daemon=True).start()
        release, timeout_s = given.get()
        with OpenMLDBClient.of(release.pipeline.settings, timeout_s) as client:
            while True:
                share = given.get()
                try:
                    part = Part(release, share, client, lambda text: theirs.send(("said", text)))
                    answer: tuple[str, Any] = "found", part.found()
                except Exception as error:
                    answer = "failed", _sendable(error)
                theirs.send(answer)


def _read(theirs: Connection, given: queue.Queue[Any]) -> None:
    try:
        while True:
            given.put(theirs.recv())
    except (EOFError, OSError):
        os._exit(0)


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same, where it would be lost on the way."""
    try:
        if type(ForkingPickler.loads(ForkingPickler.dumps(error))) is type(error):
            return error
    except Exception:
        LOG.debug("not to be sent", exc_info=True)
    return RuntimeError("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
