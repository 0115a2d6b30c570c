"""Training steps shared by several processes, the ranks of one OneFlow job.

The training process stays apart from them: it makes the batches, gives each rank its share, judges
the epochs, and writes checkpoints and the model. So there is one place that decides, and a rank
that fails is a closed channel there rather than a collective that waits for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow

from nightshift.errors import ConfigurationError
from tasks.ctr.train.channel import Channel
from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.dataset import Batch
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.models import Architecture, Network, build
from tasks.ctr.train.rank import Order
from tasks.ctr.train.ranks import Ranks
from tasks.runtime import threads_of


class Team:
    """An engine (`tasks.ctr.train.engine`) of several processes."""

    def __init__(
        self, shape: Architecture, chosen: Hyperparameters, start: Arrays, steps: int, device: str
    ) -> None:
        """Start the ranks; each has an equal share of the CPU threads, and on GPUs its own device.

        Raises:
            ConfigurationError: there are fewer GPUs than processes.
        """
        self._shape, self._device = shape, device
        self._size = chosen.processes
        devices = flow.cuda.device_count() if device == "cuda" else self._size
        if devices < self._size:
            raise ConfigurationError(
                f"processes is {self._size}, each needs a GPU of its own, and there are {devices}; "
                "lower processes"
            )
        threads = max(1, threads_of(chosen.threads) // self._size)
        order = Order(shape, chosen, steps, device, threads)
        self._network: Network | None = None
        self._ranks = Ranks([sys.executable, "-m", "tasks.ctr.train.rank"], self._size)
        self._told(lambda rank: rank.say(order.threads, chosen.blas))
        self._told(lambda rank: rank.say(order))
        self._told(lambda rank: rank.send_named(start))

    def begin(self, loss_sum: float) -> None:
        """Begin an epoch, or go on with it from a sum of losses."""
        self._told(lambda rank: rank.say("begin", loss_sum))

    def step(self, batch: Batch) -> None:
        """Queue a step: to each rank its share of the rows."""
        self._network = None
        shares = iter(shares_of(batch, self._size))

        def give(rank: Channel) -> None:
            share = next(shares)
            rank.say("step", batch.count, len(share))
            rank.send(share)

        self._told(give)

    def loss_sum(self) -> float:
        """The sum of the epoch's losses; waits for the steps under way."""
        return float(self._asked("loss"))

    @property
    def network(self) -> Network:
        """A network in this process with the parameters after the steps so far."""
        if self._network is None:
            self._network = build(self._shape, self._asked("parameters"), self._device)
        return self._network

    def state(self) -> Arrays:
        """What a checkpoint keeps: parameters, the optimizers' moments, the step number."""
        found: Arrays = self._asked("state")
        return found

    def load(self, state: Arrays) -> None:
        """Go on from a state; before the first step only."""

        def give(rank: Channel) -> None:
            rank.say("load")
            rank.send_named(state)

        self._told(give)

    def close(self) -> None:
        """End the ranks."""
        self._network = None
        self._ranks.close()

    def _told(self, tell: Callable[[Channel], None]) -> None:
        try:
            for channel in self._ranks.channels:
                tell(channel)
        except OSError:
            self._ranks.fail()

    def _asked(self, what: str) -> Any:
        """What the first rank answers; all take part in it."""
        self._told(lambda rank: rank.say(what))
        first = self._ranks.channels[0]
        try:
            kind, *found = first.hear()
            if kind == "arrays":
                return first.receive_named()
        except (OSError, EOFError):
            self._ranks.fail()
        if kind == "failed":
            self._ranks.fail(*found)
        return found[0]


def shares_of(batch: Batch, parts: int) -> list[list[npt.NDArray[Any]]]:
    """A batch's arrays in equal shares of its rows.

    Rows that fill up the last share repeat the batch's first one and weigh nothing, so that a step
    is the same as of the batch itself.

    Args:
        batch: B rows.
        parts: number of shares.
    """
    size = -(-len(batch.labels) // parts)
    missing = size * parts - len(batch.labels)
    arrays = batch.arrays()
    if missing:
        arrays = [
            np.concatenate(
                [
                    array,
                    np.zeros(missing, array.dtype)
                    if array is batch.weights
                    else np.repeat(array[:1], missing, axis=0),
                ]
            )
            for array in arrays
        ]
    return [[array[at * size : (at + 1) * size] for array in arrays] for at in range(parts)]
