"""The processes of a `tasks.ctr.train.team`: how they start, and how they end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import NoReturn

from nightshift.errors import RetryableError, TerminalError
from tasks.ctr.train.channel import Channel
from tasks.entry import INNER_ERRORS, PARENT, killed, log

FAILED = 3
"""Exit code of a rank that has told what failed."""

HOST = "127.0.0.1"

GRACE_S = 1.0
"""Where one rank has ended, so long the others may tell why before they are killed."""

_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
"""OneFlow's connections would go by way of them."""


class Ranks:
    """The processes. As soon as one ends, all do: the others would wait for it."""

    def __init__(self, command: Sequence[str], size: int) -> None:
        """Start them.

        Args:
            command: of a rank; its channel's file descriptor, its number and `size` follow.
            size: number of ranks.
        """
        self.channels: list[Channel] = []
        self._ended: list[tuple[int, int]] = []
        self._first: list[tuple[int, int]] = []
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._processes: list[subprocess.Popen[bytes]] = []
        env = {name: value for name, value in os.environ.items() if name not in _PROXIES}
        env |= {"MASTER_ADDR": HOST, "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(size)}
        env[PARENT] = str(os.getpid())
        for rank in range(size):
            ours, theirs = socket.socketpair()
            with theirs:
                given = (str(theirs.fileno()), str(rank), str(size))
                process = subprocess.Popen(
                    [*command, *given],
                    env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    # A signal to this process's group is answered here.
                    start_new_session=True,
                )
            self.channels.append(Channel(ours.detach()))
            self._processes.append(process)
        for rank, process in enumerate(self._processes):
            threading.Thread(target=self._watch, args=(rank, process), daemon=True).start()

    def _watch(self, rank: int, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._changed:
            self._ended.append((rank, code))
            self._changed.notify_all()
            if self._closing.is_set() or len(self._ended) > 1:
                return
            self._changed.wait_for(lambda: len(self._ended) == len(self._processes), GRACE_S)
            self._first = list(self._ended)
            self._closing.set()
            self._changed.notify_all()
        self._kill()

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        """End them and wait for that."""
        self._closing.set()
        for channel in self.channels:
            channel.close()
        with self._changed:
            self._changed.wait_for(lambda: len(self._ended) == len(self._processes), GRACE_S)
        self._kill()
        for process in self._processes:
            process.wait()

    def fail(self, message: str = "", retryable: bool = True) -> NoReturn:
        """End them, and raise what the one that failed has told, or the way that it ended.

        Raises:
            RetryableError: a rank was killed, or what it told may pass.
            TerminalError: a rank told of something that does not pass.
        """
        told = (0, message, retryable) if message else None
        with self._changed:
            self._changed.wait_for(self._closing.is_set, 2 * GRACE_S)
            ended = self._first
        self._kill()
        for rank, _ in ended:
            told = told or self._last_words(rank)
        self.close()
        if told is not None:
            where = f"training process {told[0] + 1} of {len(self._processes)}"
            raise (RetryableError if told[2] else TerminalError)(f"{where}: {told[1]}")
        # One that is killed breaks its connections, of which the others die.
        causes = sorted(ended, key=lambda each: each[1] != -signal.SIGKILL)
        rank, code = causes[0] if causes else (0, 0)
        where = f"training process {rank + 1} of {len(self._processes)}"
        if code == -signal.SIGKILL:
            raise RetryableError(killed(where))
        if -code in INNER_ERRORS:
            log(f"{where} died of {signal.Signals(-code).name}, an inner error of OneFlow")
            _die_of(-code)
        raise RetryableError(f"{where} ended with {code} in the midst of training")

    def _last_words(self, rank: int) -> tuple[int, str, bool] | None:
        channel = self.channels[rank]
        if dict(self._first).get(rank) != FAILED:
            return None
        try:
            while True:
                kind, *found = channel.hear()
                if kind == "failed":
                    return rank, *found
        except (OSError, EOFError, ValueError):
            return None


def _die_of(number: int) -> NoReturn:
    """End as a training in one process would, so that `tasks.ctr.train` begins it anew."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise AssertionError("the signal ends the process")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port
