"""Golden examples: inputs, and the outputs that training computed for them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ContractError

if TYPE_CHECKING:
    import numpy.typing as npt

    from nightshift.contract.signature import ModelSignature

FILE = "golden.npz"
LEGACY = "golden.json"
"""Ids and scores of a model trained before there were signatures."""

_INPUT, _OUTPUT = "input/", "output/"


@dataclass(frozen=True)
class Golden:
    """Examples of a model: arrays by tensor name.

    Attributes:
        inputs: each of the signature's inputs, with the batch dimension if the model has one.
        outputs: what the training environment computed for them.
    """

    inputs: dict[str, npt.NDArray[Any]]
    outputs: dict[str, npt.NDArray[Any]]

    @property
    def rows(self) -> int:
        """Examples; 1 where the model has no batch dimension."""
        return max((len(value) for value in self.inputs.values() if value.ndim), default=0)

    @classmethod
    def load(cls, model_dir: Path, signature: ModelSignature) -> Golden:
        """Read and check the golden examples of a model folder.

        Raises:
            ContractError: they are absent or do not fit the signature.
        """
        import numpy as np

        path = model_dir / FILE
        if not path.exists():
            return _legacy(model_dir, signature)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                held = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError) as error:
            raise ContractError(f"{path} does not hold arrays: {error}") from None
        where = str(path)
        found = cls(
            signature.check_inputs(_part(held, _INPUT), where),
            signature.check_outputs(_part(held, _OUTPUT), where),
        )
        if not found.rows:
            raise ContractError(f"{path} holds no examples; train the model again")
        return found

    def save(self, model_dir: Path) -> None:
        """Write `golden.npz`, whole; the same arrays give the same bytes."""
        import numpy as np

        buffer = io.BytesIO()
        parts = {f"{_INPUT}{name}": value for name, value in sorted(self.inputs.items())}
        parts |= {f"{_OUTPUT}{name}": value for name, value in sorted(self.outputs.items())}
        np.savez(buffer, **parts)  # type: ignore[arg-type]
        files.write_bytes(model_dir / FILE, buffer.getvalue())

    def largest_difference(
        self, outputs: Mapping[str, npt.NDArray[Any]], signature: ModelSignature, where: str
    ) -> float:
        """Compare outputs with the golden ones.

        Returns:
            The largest difference of any element.

        Raises:
            ContractError: an output differs by more than its tolerance; names the example.
        """
        import numpy as np

        largest = 0.0
        got = signature.check_outputs(outputs, where)
        for tensor in signature.outputs:
            want = self.outputs[tensor.name].astype(np.float64)
            have = got[tensor.name].astype(np.float64)
            if have.shape != want.shape:
                raise ContractError(
                    f"{where}: {tensor.name} has the shape {list(have.shape)} and in training "
                    f"{list(want.shape)}"
                )
            gaps = np.abs(have - want)
            at = np.unravel_index(int(gaps.argmax()), gaps.shape)
            if not gaps[at] <= tensor.tolerance:
                place = f"example {int(at[0])}" if at else "the example"
                raise ContractError(
                    f"{where}: {tensor.name} of golden {place} is {have[at]:.9g} in Triton and "
                    f"{want[at]:.9g} in training, further apart than {tensor.tolerance:g}; "
                    "the serving code or its environment is not the one that trained"
                )
            largest = max(largest, float(gaps[at]))
        return largest


def _part(held: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name[len(prefix) :]: value for name, value in held.items() if name.startswith(prefix)}


def legacy_width(model_dir: Path) -> int:
    """Ids of a row in `golden.json`.

    Raises:
        ContractError: it is absent or holds no rows of ids.
    """
    value = files.read_json(model_dir / LEGACY)
    try:
        return len(value["ids"][0])
    except (KeyError, IndexError, TypeError):
        raise ContractError(f"{model_dir / LEGACY} holds no rows of ids") from None


def _legacy(model_dir: Path, signature: ModelSignature) -> Golden:
    import numpy as np

    path = model_dir / LEGACY
    value = files.read_json(path)
    try:
        ids = np.array(value["ids"], dtype=np.int64)
        scores = np.array(value["scores"], dtype=np.float32).reshape(-1, 1)
        if ids.ndim != 2 or len(ids) != len(scores):
            raise ValueError(f"{ids.shape} ids and {len(scores)} scores")
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"{path}: ids and scores are needed ({error!r})") from None
    return Golden(
        signature.check_inputs({signature.inputs[0].name: ids}, str(path)),
        signature.check_outputs({signature.outputs[0].name: scores}, str(path)),
    )
