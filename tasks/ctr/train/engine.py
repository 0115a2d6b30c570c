"""Where a training step runs: in this process here, in several with `tasks.ctr.train.team`."""

from __future__ import annotations

import time
from typing import Any, Protocol

import oneflow as flow

from tasks import blas
from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.dataset import Batch
from tasks.ctr.train.graph import TrainGraph
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.models import Architecture, Network, build
from tasks.ctr.train.waiting import stand_back
from tasks.runtime import threads_of

_MOST_QUEUED = 200
_STEPS_A_LOOK = 10
_LONG_WAIT_S = 0.5

ROWS_A_PART = 500
"""Of a batch; with fewer rows a thread is worth less than what dividing the batch costs."""

MOST_PARTS = 4


class Engine(Protocol):
    """Does steps, and knows the parameters."""

    def begin(self, loss_sum: float) -> None:
        """Begin an epoch, or go on with it from a sum of losses."""

    def step(self, batch: Batch) -> None:
        """Queue a step."""

    def loss_sum(self) -> float:
        """The sum of the epoch's losses; waits for the steps under way."""

    @property
    def network(self) -> Network:
        """A network in this process with the parameters after the steps so far."""

    def state(self) -> Arrays:
        """What a checkpoint keeps: parameters, the optimizers' moments, the step number."""

    def load(self, state: Arrays) -> None:
        """Go on from a state; before the first step only."""

    def close(self) -> None:
        """Give up what it holds."""


class Here:
    """Steps in this process."""

    def __init__(
        self,
        shape: Architecture,
        chosen: Hyperparameters,
        start: Arrays,
        steps: int,
        device: str,
    ) -> None:
        self._take(build(shape, start, device, chosen.dropout), chosen, steps, device)

    def _take(self, network: Network, chosen: Hyperparameters, steps: int, device: str) -> None:
        self._network, self._device = network, device
        self._threads = threads_of(chosen.threads)
        alone = device != "cpu" or network.stored
        self._streams = 1 if alone else streams_of(chosen.batch_size, self._threads)
        self._stepping = False
        self._until_look = _STEPS_A_LOOK if self._streams > 1 else 0
        self._graph = TrainGraph(network, chosen, steps, self._streams)
        self._losses = LossSum(0.0, device)

    def begin(self, loss_sum: float) -> None:
        """Begin an epoch, or go on with it from a sum of losses."""
        self._losses = LossSum(loss_sum, self._device)
        self._network.train()

    def step(self, batch: Batch) -> None:
        """Queue a step."""
        self._share_products(True)
        given = (flow.from_numpy(array).to(self._device) for array in batch.arrays())
        self._losses.add(self._graph(*given), batch.count)
        self._look_for_waiting()

    def loss_sum(self) -> float:
        """The sum of the epoch's losses; waits for the steps under way."""
        found = self._losses.value()
        self._share_products(False)
        return found

    def _look_for_waiting(self) -> None:
        """Every few steps, until the thread that waits stands out."""
        if self._until_look:
            self._until_look -= 1
            if not self._until_look and stand_back() is None:
                self._until_look = _STEPS_A_LOOK

    def _share_products(self, stepping: bool) -> None:
        """Have a step's products share the threads; outside of steps each has all of them."""
        if self._streams > 1 and stepping != self._stepping:
            blas.share_products(self._threads, self._streams if stepping else 1)
            self._stepping = stepping

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self._network

    def state(self) -> Arrays:
        """What a checkpoint keeps: parameters, the optimizers' moments, the step number."""
        flat = flatten(self._graph.state_dict())
        return {name: tensor.numpy() for name, tensor in flat.items()}

    def load(self, state: Arrays) -> None:
        """Go on from a state; before the first step only."""
        held = {name: flow.from_numpy(array) for name, array in state.items()}
        self._graph.load_state_dict(unflatten(held))

    def close(self) -> None:
        """Give up the graph, whose optimizers hold twice the tables, and the network."""
        del self._graph, self._network


def streams_of(rows: int, threads: int) -> int:
    """Threads that run a step's operators side by side, each with a part of the batch.

    Args:
        rows: of a batch.
        threads: of the process.
    """
    return max(1, min(threads, MOST_PARTS, rows // ROWS_A_PART))


class LossSum:
    """Sum of the losses of an epoch's rows, added up where the graph runs.

    Fetching a graph's output after every step is slow, and in OneFlow 0.9 it now and then
    damages the graph's memory on a busy machine (a count of a freed object is lowered), which
    ends the process. So a fetch is rare. But steps are queued faster than they are done, and a stop
    has to wait for the queue: it is bounded by about a second of work.
    """

    def __init__(self, so_far: float, device: str) -> None:
        self._sum = flow.tensor([so_far], dtype=flow.float64).to(device)
        self._queued = 0
        self._most = 8

    def add(self, mean_loss: flow.Tensor, count: int) -> None:
        """Add a step's mean loss over `count` rows."""
        self._sum = self._sum + mean_loss.to(flow.float64) * count
        self._queued += 1
        if self._queued >= self._most:
            begun = time.monotonic()
            self.value()
            if time.monotonic() - begun > _LONG_WAIT_S:
                self._most = max(1, self._most // 2)
            else:
                self._most = min(_MOST_QUEUED, self._most * 2)

    def value(self) -> float:
        """The sum; waits for the steps under way."""
        self._queued = 0
        return float(self._sum.numpy().item())


def flatten(state: dict[str, Any]) -> dict[str, flow.Tensor]:
    """A graph's state without folders: `folder/name`."""
    flat: dict[str, flow.Tensor] = {}
    for name, value in state.items():
        if isinstance(value, dict):
            flat.update({f"{name}/{key}": item for key, item in flatten(value).items()})
        else:
            flat[name] = value
    return flat


def unflatten(flat: dict[str, flow.Tensor]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    state: dict[str, Any] = {}
    for name, value in flat.items():
        group, slash, key = name.partition("/")
        if slash:
            state.setdefault(group, {})[key] = value
        else:
            state[name] = value
    return state
