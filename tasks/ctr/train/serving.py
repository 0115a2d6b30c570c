"""Scoring with a saved model: `Scorer.load(folder).score(ids)`.

A saved model is a folder with `network.json`, `vocabulary.npz` and one folder a parameter as
`oneflow.save` of a graph writes them (`module.<name>/out`, raw little-endian float32), so the
same folder also suits OneFlow's own C++ backend. OneFlow 0.9 cannot run a saved graph from
Python: the network is built anew and given the parameters, which is exact. Nothing is unpickled.
On a CPU, a network that is plain arithmetic is scored by NumPy (`arithmetic`), without OneFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.errors import ConfigurationError, ContractError
from nightshift.features.numbers import NumberStatistics
from nightshift.features.specification import Field
from tasks import runtime
from tasks.ctr.train import arithmetic
from tasks.ctr.train.inputs import Inputs, Tensors
from tasks.ctr.train.trees import Trees
from tasks.ctr.train.vocabulary import Ids, Vocabulary

NETWORK_VERSION = 3
"""Version 1 had no `inputs`: each field was an id. Version 2 is written where there are no trees."""

TREES = "trees.npz"

Parameters = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class SavedModel:
    """What a model folder holds, read without OneFlow.

    Attributes:
        network: `network.json`: architecture, fields, schema hash.
        inputs: how encoded rows become the network's input.
        vocabulary: the ids that it knows.
        parameters: float32 arrays by name.
    """

    network: dict[str, Any]
    inputs: Inputs
    vocabulary: Vocabulary
    parameters: Parameters

    @classmethod
    def load(cls, folder: Path) -> SavedModel:
        """Read a model folder, or the training output folder that holds it as `model`.

        Raises:
            ContractError: a file is absent or not as `network.json` says.
        """
        if not (folder / "network.json").exists() and (folder / "model").is_dir():
            folder = folder / "model"
        network = files.read_json(folder / "network.json")
        if network.get("version") not in range(1, NETWORK_VERSION + 1):
            raise ContractError(
                f"{folder / 'network.json'} has version {network.get('version')}; this Nightshift "
                f"reads versions up to {NETWORK_VERSION}"
            )
        vocabulary = Vocabulary.load(folder / "vocabulary.npz")
        if vocabulary.table_sizes != network["table_sizes"]:
            raise ContractError(f"{folder / 'vocabulary.npz'} is not of network.json's table sizes")
        loaded: Parameters = {}
        for name, shape in network["parameters"].items():
            path = folder / f"module.{name}" / "out"
            try:
                values = np.fromfile(path, dtype="<f4")
            except OSError as error:
                raise ContractError(f"{path} cannot be read: {error.strerror}") from error
            if values.size != int(np.prod(shape)):
                raise ContractError(
                    f"{path} holds {values.size} numbers, and network.json says {shape}"
                )
            loaded[name] = values.reshape(shape)
        return cls(network, _inputs(network, folder), vocabulary, loaded)


def _inputs(network: dict[str, Any], folder: Path) -> Inputs:
    where = str(folder / "network.json")
    if network["version"] == 1:
        return Inputs(tuple(Field(name, "string", "categorical") for name in network["fields"]), {})
    try:
        fields = tuple(Field.from_json(value) for value in network["inputs"]["fields"])
        statistics = {
            name: NumberStatistics.from_json(value, where)
            for name, value in network["inputs"]["numbers"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"{where} holds no whole `inputs`: {error!r}") from error
    trees = Trees.load(folder / TREES) if network["inputs"].get("trees") else None
    return Inputs(fields, statistics, trees)


class Scorer:
    """A model that turns ids into probabilities; safe to call from one thread at a time."""

    def __init__(
        self, model: SavedModel, score: Callable[[Tensors], npt.NDArray[np.float32]]
    ) -> None:
        self._score = score
        self.inputs = model.inputs
        self.vocabulary = model.vocabulary
        self.fields: tuple[str, ...] = tuple(model.network["fields"])
        self.schema_hash: str = model.network["schema_hash"]

    @classmethod
    def load(cls, model_dir: Path, device: str = "cpu", threads: int = 0) -> Scorer:
        """Build the network of a model folder.

        Args:
            model_dir: the folder with `network.json`, or training's output folder above it.
            device: `cpu` or `cuda`.
            threads: CPU threads, for the first model that a process loads; 0 takes all.

        Raises:
            ContractError: the folder is not a whole model.
            ConfigurationError: `cuda` without a GPU.
        """
        model = SavedModel.load(Path(model_dir))
        runtime.prepare(threads)
        check_device(device)
        widths = model.inputs.group_widths
        plain = arithmetic.of(model.network, model.parameters, widths) if device == "cpu" else None
        if plain is not None:
            return cls(model, plain.score)
        from tasks.ctr.train.models import Architecture, build
        from tasks.ctr.train.scoring import score

        shape = Architecture.from_json(model.network["architecture"], str(model_dir))
        network = build(shape, model.parameters, device)
        network.eval()
        return cls(model, lambda tensors: score(network, tensors, device))

    def score(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Probabilities of ids.

        Args:
            ids: int64 [n, width], encoded rows as `nightshift.features.encoding` gives them.

        Returns:
            float32 [n]. Scored by NumPy, a row has the same bits in every batch; by OneFlow its
            last bit may depend on the batch, as BLAS sums in another order.

        Raises:
            ContractError: another dtype or number of columns.
        """
        return self._score(self.inputs.tensors(ids, self.vocabulary))


def check_device(device: str) -> None:
    """Raise unless OneFlow can use `device`.

    Raises:
        ConfigurationError: it is neither `cpu` nor `cuda`, or there is no GPU.
    """
    if device not in ("cpu", "cuda"):
        raise ConfigurationError(f"device is {device!r}; it must be cpu or cuda")
    if device == "cuda":
        import oneflow

        if not oneflow.cuda.is_available():
            raise ConfigurationError(
                "device is cuda and OneFlow sees no GPU; give the container a GPU, or set "
                "NIGHTSHIFT_TASK_DEVICE=cpu"
            )
