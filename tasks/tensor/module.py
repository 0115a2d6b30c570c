"""The file of a tensor pipeline: what it must define, and how it is loaded.

```python
INPUTS = [{"name": "INPUT_0", "dtype": "FP32", "dims": [3, 256, 256]}]
OUTPUTS = [{"name": "OUTPUT_0", "dtype": "FP32", "dims": [3, 256, 256], "tolerance": 1e-3}]
MAX_BATCH_SIZE = 0            # 0: no batch dimension

def build(options):           # a oneflow.nn.Module; options: hyperparameters.yaml
    ...

def examples(seed):           # golden inputs: arrays by input name
    ...

def train(module, context):   # optional; returns figures for the model card
    ...
```
The module is called with one tensor an input, in their order, and gives one tensor an output.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy.typing as npt

from nightshift.contract.signature import ModelSignature
from nightshift.errors import ConfigurationError

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Context:
    """What a pipeline's `train` is given.

    Attributes:
        ds: the night's date, `YYYY-MM-DD`.
        data: folder of the pipeline's source tables.
        device: `cpu` or `cuda`.
        options: hyper-parameters.
        seed: seed of everything random.
        log: writes a line of progress.
    """

    ds: str
    data: Path
    device: str
    options: Mapping[str, Any]
    seed: int
    log: Callable[[str], None]


@dataclass(frozen=True)
class TensorModule:
    """A loaded file, checked."""

    source: Path
    signature: ModelSignature
    code: ModuleType

    def build(self, options: Mapping[str, Any]) -> Any:
        """The module, with fresh parameters.

        Raises:
            ConfigurationError: the file's `build` gives something else.
        """
        from oneflow import nn

        made = self.code.build(dict(options))
        if not isinstance(made, nn.Module):
            raise ConfigurationError(
                f"{self.source}: build() gave {type(made).__name__}; it must give a "
                "oneflow.nn.Module"
            )
        return made

    def examples(self, seed: int) -> Arrays:
        """Golden inputs, checked against the signature.

        Raises:
            ContractError: they do not fit it.
        """
        return self.signature.check_inputs(self.code.examples(seed), f"{self.source}: examples()")


def load(path: Path) -> TensorModule:
    """Load a pipeline's file.

    Raises:
        ConfigurationError: it is not there, does not import, or lacks a part.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path} is not there; it must build the pipeline's module")
    spec = importlib.util.spec_from_file_location(f"nightshift_module_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is not a Python file")
    code = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
    except Exception as error:
        raise ConfigurationError(
            f"{path} does not import: {type(error).__name__}: {error}"
        ) from error
    for name in ("INPUTS", "OUTPUTS", "build", "examples"):
        if not hasattr(code, name):
            raise ConfigurationError(f"{path} does not define {name}; see tasks/tensor/module.py")
    signature = ModelSignature.parse(
        {
            "version": 1,
            "family": "tensor",
            "max_batch_size": getattr(code, "MAX_BATCH_SIZE", 0),
            "inputs": code.INPUTS,
            "outputs": code.OUTPUTS,
        },
        where=str(path),
    )
    return TensorModule(path, signature, code)
