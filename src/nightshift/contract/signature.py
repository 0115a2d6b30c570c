"""The model's signature: the named tensors that go in and come out.

Training writes it into the model folder as `signature.json`. Publication, Triton's configuration,
golden examples, probes and the predict server know no more of a model than this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "signature.json"
ANY = -1
"""A dimension of any size."""

DTYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""Triton's names of the element types that a tensor may have, and NumPy's."""

DEFAULT_MAX_BATCH = 10_000
"""Rows of one request, as in the JD tutorial's configuration."""

DEFAULT_TOLERANCE = 1e-5
"""Largest difference between an output in training and in serving, where none is given."""


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    Attributes:
        name: its name in Triton.
        dtype: element type, a key of `DTYPES`.
        dims: sizes without the batch dimension; `ANY` (-1) leaves one open.
        minimum: least value allowed, if there is a bound.
        maximum: greatest value allowed, if there is a bound.
        tolerance: of an output: largest difference from its golden value.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None
    tolerance: float = DEFAULT_TOLERANCE

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """NumPy's element type."""
        import numpy as np

        return np.dtype(DTYPES[self.dtype])

    def check(self, value: npt.NDArray[Any], where: str, *, batched: bool) -> npt.NDArray[Any]:
        """The array in the tensor's element type, after its shape and bounds are checked.

        Raises:
            ContractError: shape, element type or a value does not fit.
        """
        import numpy as np

        dims = value.shape[1:] if batched else value.shape
        if len(dims) != len(self.dims) or any(
            want not in (ANY, got) for want, got in zip(self.dims, dims, strict=True)
        ):
            lead = ["n"] if batched else []
            raise ContractError(
                f"{where}: {self.name} has the shape {list(value.shape)}; "
                f"{[*lead, *self.dims]} is expected"
            )
        if value.dtype != self.numpy_dtype:
            if not np.can_cast(value.dtype, self.numpy_dtype, casting="same_kind"):
                raise ContractError(
                    f"{where}: {self.name} is of type {value.dtype}; {self.dtype} is expected"
                )
            value = value.astype(self.numpy_dtype)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ContractError(f"{where}: {self.name} holds a value that is not finite")
        if self.minimum is not None and value.size and value.min() < self.minimum:
            raise ContractError(f"{where}: {self.name} holds a value below {self.minimum:g}")
        if self.maximum is not None and value.size and value.max() > self.maximum:
            raise ContractError(f"{where}: {self.name} holds a value above {self.maximum:g}")
        return value


@dataclass(frozen=True)
class ModelSignature:
    """Inputs and outputs of a model.

    Attributes:
        family: which code serves it (`tasks.<family>`).
        inputs: what goes in.
        outputs: what comes out.
        max_batch_size: rows of one request; 0 for a model without a batch dimension.
    """

    family: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = DEFAULT_MAX_BATCH

    @property
    def batched(self) -> bool:
        """Whether tensors have a leading batch dimension."""
        return self.max_batch_size > 0

    def input(self, name: str) -> Tensor:
        """An input by its name.

        Raises:
            ContractError: there is none.
        """
        for tensor in self.inputs:
            if tensor.name == name:
                return tensor
        raise ContractError(
            f"the model has no input {name!r}; it has {', '.join(t.name for t in self.inputs)}"
        )

    def to_json(self) -> dict[str, Any]:
        """What `signature.json` holds."""
        return {
            "version": 1,
            "family": self.family,
            "max_batch_size": self.max_batch_size,
            "inputs": [_plain(t, tolerance=False) for t in self.inputs],
            "outputs": [_plain(t, tolerance=True) for t in self.outputs],
        }

    @classmethod
    def parse(cls, value: Any, *, where: str) -> ModelSignature:
        """Check what `signature.json` holds; further keys of other readers are ignored.

        Raises:
            ContractError: a part is missing or wrong.
        """
        try:
            if value["version"] != 1:
                raise ContractError(f"{where} has version {value['version']!r}; 1 is read here")
            inputs = tuple(_tensor(item) for item in value["inputs"])
            outputs = tuple(_tensor(item) for item in value["outputs"])
            found = cls(str(value["family"]), inputs, outputs, int(value.get("max_batch_size", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"{where} is not a model signature: {error!r}") from None
        names = [t.name for t in (*inputs, *outputs)]
        if not inputs or not outputs or len(set(names)) != len(names):
            raise ContractError(
                f"{where}: a signature needs inputs and outputs with names of their own"
            )
        return found

    @classmethod
    def load(cls, model_dir: Path) -> ModelSignature:
        """The signature of a model folder; a folder from before signatures has a `ctr` one.

        Raises:
            ContractError: it is absent or wrong.
        """
        path = model_dir / FILE
        if path.exists():
            return cls.parse(files.read_json(path), where=str(path))
        from nightshift.contract.golden import legacy_width

        return ctr_signature(legacy_width(model_dir))

    def check_inputs(
        self, arrays: Mapping[str, npt.NDArray[Any]], where: str
    ) -> dict[str, npt.NDArray[Any]]:
        """The inputs, checked, in their element types.

        Raises:
            ContractError: one is missing, unknown, or does not fit.
        """
        return _checked(self.inputs, arrays, where, batched=self.batched)

    def check_outputs(
        self, arrays: Mapping[str, npt.NDArray[Any]], where: str
    ) -> dict[str, npt.NDArray[Any]]:
        """The outputs, checked.

        Raises:
            ContractError: one is missing or does not fit.
        """
        return _checked(self.outputs, arrays, where, batched=self.batched)


def ctr_signature(n_fields: int) -> ModelSignature:
    """Ids in, one probability out: a model of ids alone.

    `INPUT_0` is INT64 [n, fields], ids as `nightshift.features.encoding` makes them; `OUTPUT_0`
    is FP32 [n, 1], a probability.
    """
    return ModelSignature(
        "ctr",
        (Tensor("INPUT_0", "INT64", (n_fields,)),),
        (Tensor("OUTPUT_0", "FP32", (1,), minimum=0.0, maximum=1.0),),
    )


def _checked(
    tensors: Sequence[Tensor], arrays: Mapping[str, npt.NDArray[Any]], where: str, *, batched: bool
) -> dict[str, npt.NDArray[Any]]:
    names = {t.name for t in tensors}
    for name in arrays:
        if name not in names:
            raise ContractError(
                f"{where}: unknown tensor {name!r}; the model has {', '.join(sorted(names))}"
            )
    found = {}
    for tensor in tensors:
        if tensor.name not in arrays:
            raise ContractError(f"{where}: the tensor {tensor.name} is missing")
        found[tensor.name] = tensor.check(arrays[tensor.name], where, batched=batched)
    if batched and len({len(value) for value in found.values()}) > 1:
        raise ContractError(f"{where}: the tensors differ in their number of rows")
    return found


def _tensor(item: Any) -> Tensor:
    dtype = str(item["dtype"])
    dims = tuple(int(size) for size in item["dims"])
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if any(size < 1 and size != ANY for size in dims):
        raise ValueError(f"dims {list(dims)} of {item['name']}")
    return Tensor(
        str(item["name"]),
        dtype,
        dims,
        None if item.get("minimum") is None else float(item["minimum"]),
        None if item.get("maximum") is None else float(item["maximum"]),
        float(item.get("tolerance", DEFAULT_TOLERANCE)),
    )


def _plain(tensor: Tensor, *, tolerance: bool) -> dict[str, Any]:
    value = {key: item for key, item in asdict(tensor).items() if item is not None}
    value["dims"] = list(tensor.dims)
    if not tolerance:
        del value["tolerance"]
    return value
