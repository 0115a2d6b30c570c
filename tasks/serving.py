"""What Triton's backend runs: a model folder as a function of its named tensors.

`tasks.<family>.serving` has one function, `load(folder, device, threads)`, which returns a callable:
 arrays by input name in, arrays by output name out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError
from nightshift.families import FAMILIES

Arrays = dict[str, npt.NDArray[Any]]
Runner = Callable[[Mapping[str, npt.NDArray[Any]]], Arrays]


def load(folder: Path, *, device: str = "cpu", threads: int = 0) -> Runner:
    """The model of a folder, ready to run.

    Args:
        folder: what training wrote: `signature.json`, `model/`.
        device: `cpu` or `cuda`.
        threads: CPU threads, for the first model that a process loads; 0 takes all.

    Raises:
        ContractError: the folder does not hold a whole model, or its family is unknown.
        ConfigurationError: `cuda` without a GPU.
    """
    family = ModelSignature.load(folder).family
    if family not in FAMILIES:
        raise ContractError(f"{folder} holds a model of the unknown family {family!r}")
    module = importlib.import_module(f"tasks.{family}.serving")
    made: Runner = module.load(folder, device, threads)
    return made
