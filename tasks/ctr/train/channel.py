"""Messages and arrays between the training process and those that share its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.ctr.train.checkpoint import Arrays


class Channel:
    """One end of a socket pair: small messages are pickled, arrays travel as they lie in memory."""

    def __init__(self, handle: int) -> None:
        self._connection = Connection(handle)

    def say(self, *message: Any) -> None:
        """Send a small message."""
        self._connection.send(message)

    def hear(self) -> tuple[Any, ...]:
        """The next message.

        Raises:
            EOFError: the other end is closed.
        """
        heard: tuple[Any, ...] = self._connection.recv()
        return heard

    def send(self, arrays: Iterable[npt.NDArray[Any]]) -> None:
        """Send arrays, one at a time."""
        for array in arrays:
            whole = np.ascontiguousarray(array)
            self.say(whole.dtype.str, array.shape)
            self._connection.send_bytes(whole.reshape(-1).view(np.uint8).data)

    def receive(self, count: int) -> list[npt.NDArray[Any]]:
        """The next arrays."""
        found = []
        for _ in range(count):
            kind, shape = self.hear()
            array = np.empty(shape, np.dtype(kind))
            self._connection.recv_bytes_into(array.reshape(-1).view(np.uint8).data)
            found.append(array)
        return found

    def send_named(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Send arrays with their names."""
        self.say(list(arrays))
        self.send(arrays.values())

    def receive_named(self) -> Arrays:
        """The arrays that `send_named` sent."""
        (names,) = self.hear()
        return dict(zip(names, self.receive(len(names)), strict=True))

    def close(self) -> None:
        """Close this end; the other one's `hear` ends then."""
        self._connection.close()
