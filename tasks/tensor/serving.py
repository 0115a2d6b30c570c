"""A saved module for Triton's backend, and for the golden examples.

A model folder holds `model/module.py`, `model/options.json` and `model/parameters.npz`: the
module is built anew and given its parameters, which is exact. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.errors import ContractError
from tasks import runtime
from tasks.serving import Arrays, Runner
from tasks.tensor import module as modules

MODULE, OPTIONS, PARAMETERS = "module.py", "options.json", "parameters.npz"


def load(folder: Path, device: str, threads: int) -> Runner:
    """The model of a folder; see `tasks.serving.load`.

    Raises:
        ContractError: a part is absent, or the parameters are not the module's.
    """
    runtime.prepare(threads)
    import oneflow as flow

    inner = folder / "model"
    made = modules.load(inner / MODULE)
    network = made.build(files.read_json(inner / OPTIONS))
    _restore(network, inner / PARAMETERS)
    network.to(device)
    network.eval()
    inputs = [tensor.name for tensor in made.signature.inputs]
    outputs = [tensor.name for tensor in made.signature.outputs]

    def run(given: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        with flow.no_grad():
            tensors = [flow.from_numpy(np.ascontiguousarray(given[n])).to(device) for n in inputs]
            answered = network(*tensors)
        listed = answered if isinstance(answered, tuple | list) else (answered,)
        if len(listed) != len(outputs):
            raise ContractError(
                f"{made.source}: the module gives {len(listed)} tensors and OUTPUTS names "
                f"{len(outputs)}"
            )
        return {name: value.cpu().numpy() for name, value in zip(outputs, listed, strict=True)}

    return run


def save(folder: Path, source: Path, options: Mapping[str, Any], network: Any) -> None:
    """Write `model/` of a model folder."""
    inner = folder / "model"
    inner.mkdir(parents=True)
    files.write_bytes(inner / MODULE, source.read_bytes())
    files.write_json(inner / OPTIONS, dict(options))
    state = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    with (inner / PARAMETERS).open("wb") as file:
        np.savez(file, **state)


def _restore(network: Any, path: Path) -> None:
    import oneflow as flow

    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} cannot be read: {error}") from None
    wanted = network.state_dict()
    if wanted.keys() != state.keys():
        differing = sorted(wanted.keys() ^ state.keys())
        raise ContractError(f"{path} does not hold the module's parameters: {differing[0]}")
    network.load_state_dict({name: flow.tensor(value) for name, value in state.items()})
