"""A rank's part of the training steps: the graph over global tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy.typing as npt
import oneflow as flow

from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.engine import LossSum, flatten, unflatten
from tasks.ctr.train.graph import TrainGraph
from tasks.ctr.train.models import Network, build

if TYPE_CHECKING:
    from typing import Any

    from tasks.ctr.train.rank import Order

SAME = flow.sbp.broadcast
ROWS = flow.sbp.split(0)
COLUMNS = flow.sbp.split(1)


class Steps:
    """The graph, and what is asked about it. All ranks are asked the same, in the same order."""

    def __init__(self, order: Order, start: Arrays, world: int) -> None:
        self._device = order.device
        self._placement = flow.placement(order.device, list(range(world)))
        network = build(order.shape, start, order.device, order.chosen.dropout)
        self._network = laid_out(network, self._placement, world)
        self._graph = TrainGraph(self._network, order.chosen, order.steps)
        self._losses = LossSum(0.0, order.device)

    def begin(self, loss_sum: float) -> None:
        """Begin an epoch, or go on with it from a sum of losses."""
        self._losses = LossSum(loss_sum, self._device)
        self._network.train()

    def do(self, arrays: list[npt.NDArray[Any]], count: int) -> None:
        """Queue a step of this rank's share, of a batch of `count` rows."""
        given = (flow.from_numpy(array).to(self._device) for array in arrays)
        # All shares are of one size and kind: that need not be compared in each step.
        whole = (x.to_global(self._placement, ROWS, check_meta=False) for x in given)
        self._losses.add(self._graph(*whole).to_local(), count)

    def loss_sum(self) -> float:
        """The sum of the epoch's losses; waits for the steps under way."""
        return self._losses.value()

    def parameters(self) -> Arrays:
        """Every parameter, whole."""
        return gathered(dict(self._network.named_parameters()))

    def state(self) -> Arrays:
        """The graph's state, whole."""
        return gathered(flatten(self._graph.state_dict()))

    def load(self, state: Arrays) -> None:
        """Go on from a state."""
        like = dict(self._network.named_parameters())
        held = {}
        for name, array in state.items():
            local = flow.from_numpy(array).to(self._device)
            tensor = local.to_global(self._placement, SAME)
            whose = like.get(parameter_of(name))
            held[name] = tensor if whose is None else tensor.to_global(sbp=whose.sbp)
        self._graph.load_state_dict(unflatten(held))


def laid_out(network: Network, placement: flow.placement, world: int) -> Network:
    """Lay a network out over ranks that each hold all of it; embeddings by columns if they divide."""
    network.to_global(placement, SAME)
    if network.has_embedding and network.embedding.weight.shape[1] % world == 0:
        network.embedding.to_global(placement, COLUMNS)
    return network


def parameter_of(name: str) -> str:
    """The parameter that an entry of a graph's state is, or that an optimizer keeps it for.

    The parameter `a.b` is `network/a.b` there, and its moment `m` is `network.a.b-m`.
    """
    if name.startswith("network/"):
        return name.removeprefix("network/")
    return name.removeprefix("network.").rpartition("-")[0]


def gathered(tensors: Mapping[str, flow.Tensor]) -> Arrays:
    """Global tensors as arrays; all ranks have to ask for the same ones."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.is_global:
            tensor = tensor.detach().to_global(tensor.placement, SAME).to_local()
        found[name] = tensor.numpy()
    return found
