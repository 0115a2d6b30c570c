"""The families of networks, by name; `base` says what one has to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow

from tasks.ctr.train.models.autoint import AutoInt
from tasks.ctr.train.models.base import (
    Architecture,
    Network,
    Plan,
    initial_parameters,
    parameters,
)
from tasks.ctr.train.models.dcn import DCN
from tasks.ctr.train.models.dcnv2 import DCNv2
from tasks.ctr.train.models.deepfefm import DeepFEFM
from tasks.ctr.train.models.deepfm import DeepFM
from tasks.ctr.train.models.din import DIN
from tasks.ctr.train.models.dlrm import DLRM
from tasks.ctr.train.models.dnn import DNN
from tasks.ctr.train.models.ffm import FFM
from tasks.ctr.train.models.fm import FM
from tasks.ctr.train.models.gatednn import GateDNN
from tasks.ctr.train.models.lr import LR
from tasks.ctr.train.models.ncf import NCF
from tasks.ctr.train.models.wide_deep import WideDeep
from tasks.ctr.train.models.xdeepfm import XDeepFM

FAMILIES: dict[str, type[Network]] = {
    "autoint": AutoInt,
    "dcn": DCN,
    "dcnv2": DCNv2,
    "deepfefm": DeepFEFM,
    "deepfm": DeepFM,
    "din": DIN,
    "dlrm": DLRM,
    "dnn": DNN,
    "ffm": FFM,
    "fm": FM,
    "gatednn": GateDNN,
    "lr": LR,
    "ncf": NCF,
    "wide_deep": WideDeep,
    "xdeepfm": XDeepFM,
}

__all__ = [
    "FAMILIES",
    "Architecture",
    "Network",
    "Plan",
    "build",
    "initial_parameters",
    "parameters",
    "plan",
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
