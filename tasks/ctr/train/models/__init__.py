"""The networks of the family `ctr`, by name; `base` says what one has to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import oneflow as flow

from nightshift.modules import class_of
from tasks.ctr.train.hyperparameters import Family
from tasks.ctr.train.models.base import (
    FIRST_ORDER,
    Architecture,
    Network,
    Plan,
    initial_parameters,
    parameters,
    views,
)

FAMILIES: dict[str, type[Network]] = {
    name: class_of(__name__, name, Network) for name in get_args(Family)
}
"""The networks by the names that `hyperparameters.Family` lists, each in the module of its name."""

__all__ = [
    "FAMILIES",
    "FIRST_ORDER",
    "Architecture",
    "Network",
    "Plan",
    "build",
    "initial_parameters",
    "parameters",
    "plan",
    "views",
]


def plan(shape: Architecture) -> Plan:
    """The parameters of a network of this shape."""
    return FAMILIES[shape.family].plan(shape)


def build(
    shape: Architecture, values: Mapping[str, npt.NDArray[Any]], device: str, dropout: float = 0.0
) -> Network:
    """A network with the given parameters.

    Always a fresh one: after a graph has trained a network, OneFlow 0.9 can no longer move it.

    Args:
        shape: the architecture.
        values: float32 arrays by name, exactly the network's.
        device: `cpu` or `cuda`.
        dropout: for training; scoring passes no masks and needs none.
    """
    network = FAMILIES[shape.family](shape, dropout)
    state = dict(network.state_dict())
    own = {name for name, _ in network.named_parameters()}
    state.update({name: flow.from_numpy(np.ascontiguousarray(values[name])) for name in own})
    network.load_state_dict(state)
    network.to(device)
    return network
