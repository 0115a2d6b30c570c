"""Any OneFlow model: named tensors in, named tensors out, forwarded to Triton.

Tensors come as JSON, `{"inputs": {"INPUT_0": [[...]]}}`, with their shapes
(`{"inputs": {"INPUT_0": {"shape", "data"}}}`), or as KServe's protocol writes them
(`{"inputs": [{"name", "shape", "datatype", "data"}]}`), or as an `.npz` file, which is the cheap
way for images. The answer has the form of the request.
"""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.errors import ContractError, DeadlineExceeded
from nightshift.registry.pointer import LivePointer
from nightshift.registry.store import ReleaseStore
from predict_server.errors import RequestError
from predict_server.families.base import (
    Answer,
    Call,
    Context,
    Family,
    Operation,
    Release,
    encode_json,
    overloaded,
    problem_of,
    timed,
)
from predict_server.payload import printable, shown
from predict_server.triton import Tensors

NPZ = "application/x-npz"
"""Media type of `numpy.savez` files."""

CALLS = 8
"""Calls of one release under way at once; Triton joins them as its configuration says."""

_DTYPES: dict[str, str] = {
    "BOOL": "?",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    "BYTES": "O",
}
_ALIASES = {"STRING": "BYTES", "OBJECT": "BYTES", "FLOAT": "FP32", "DOUBLE": "FP64"}


@dataclass(frozen=True)
class Tensor:
    """One named tensor of a signature.

    Attributes:
        name: as Triton knows it.
        datatype: Triton's word: FP32, INT64, BYTES.
        dims: without the batch; -1 is any size.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's; objects for BYTES."""
        return np.dtype(_DTYPES[self.datatype])

    def describe(self) -> dict[str, Any]:
        """As the signature writes it."""
        return {"name": self.name, "dtype": self.datatype, "dims": list(self.dims)}

    @classmethod
    def parse(cls, value: Any, where: str) -> Tensor:
        """Read one entry of a signature.

        Raises:
            ContractError: a key is missing or of the wrong type.
        """
        try:
            name, dims = str(value["name"]), tuple(int(size) for size in value["dims"])
            datatype = datatype_of(str(value["dtype"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"{where} is no tensor of a signature: {error!r}") from error
        return cls(name, datatype, dims)


def datatype_of(name: str) -> str:
    """Triton's word for a data type, from that word, TYPE_..., or NumPy's.

    Raises:
        ValueError: it is none of them.
    """
    word = name.upper().removeprefix("TYPE_")
    word = _ALIASES.get(word, word)
    if word in _DTYPES:
        return word
    try:
        kind = np.dtype(name)
    except TypeError:
        raise ValueError(f"unknown data type {name!r}") from None
    for word, text in _DTYPES.items():
        if kind == np.dtype(text):
            return word
    raise ValueError(f"data type {name!r} is none of {', '.join(_DTYPES)}")


@dataclass(frozen=True)
class Signature:
    """The tensors of a model.

    Attributes:
        inputs: what a request gives.
        outputs: what an answer gives.
        batched: whether each tensor has a batch as its first dimension.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batched: bool

    @classmethod
    def load(cls, path: Path) -> Signature:
        """Read `signature.json`.

        Raises:
            ContractError: it is absent or broken.
        """
        value = files.read_json(path)
        try:
            inputs, outputs = list(value["inputs"]), list(value["outputs"])
            batched = int(value.get("max_batch_size", 1)) > 0
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"{path} is no signature: {error!r}") from error
        if not inputs or not outputs:
            raise ContractError(f"{path} has no inputs or no outputs")
        return cls(
            tuple(Tensor.parse(item, f"{path}: {shown(item)}") for item in inputs),
            tuple(Tensor.parse(item, f"{path}: {shown(item)}") for item in outputs),
            batched,
        )


class TensorRelease(Release):
    """A model version behind its signature.

    Args:
        pointer: the content of live.json.
        signature: the model's.
        context: the server.
    """

    def __init__(self, pointer: LivePointer, signature: Signature, context: Context) -> None:
        self.pointer = pointer
        self.signature = signature
        self._context = context
        self._rows_scored = context.metrics.rows(pointer.release_id)
        self._calls = asyncio.Semaphore(CALLS)
        self._waiting = 0
        self._names = {
            "release": pointer.release_id,
            "model": pointer.model,
            "model_version": pointer.model_version,
        }
        self._operations: dict[str, Operation] = {"predict": self.predict, "infer": self.predict}

    @property
    def operations(self) -> Mapping[str, Operation]:
        """POST predict, also named infer."""
        return self._operations

    @property
    def waiting_rows(self) -> int:
        """Rows that no call has taken yet."""
        return self._waiting

    def names(self) -> dict[str, Any]:
        """Release, model and version."""
        return self._names

    def schema(self) -> dict[str, Any]:
        """The tensors of a request and of an answer."""
        settings = self._context.settings
        return {
            "inputs": [tensor.describe() for tensor in self.signature.inputs],
            "outputs": [tensor.describe() for tensor in self.signature.outputs],
            "batched": self.signature.batched,
            "limits": {"rows": settings.predict_max_rows, "body_bytes": settings.predict_max_body},
            **self._names,
        }

    async def predict(self, call: Call) -> Answer:
        """The output tensors of the input tensors."""
        if call.content_type in (NPZ, "application/zip", "application/octet-stream"):
            given: Mapping[str, Any] = _npz(call.body, self.signature.inputs)
            form = _to_npz
        else:
            given, form = _named(call.json())
        inputs, single, rows = self._inputs(given)
        outputs = await self._infer(inputs, rows, call.deadline)
        if single:
            outputs = {name: array[0] for name, array in outputs.items()}
        if NPZ in call.accept:
            form = _to_npz
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._context.threads, form, outputs, self)

    def _inputs(self, given: Mapping[str, Any]) -> tuple[Tensors, bool, int]:
        expected = {tensor.name: tensor for tensor in self.signature.inputs}
        for name in given:
            if name not in expected:
                known = ", ".join(expected)
                raise _invalid(f"unknown input {shown(name)}; the model takes {known}")
        arrays: Tensors = {}
        for name, tensor in expected.items():
            if name not in given:
                raise _invalid(f"input {name} is missing; see GET /schema")
            arrays[name] = _array(given[name], tensor)
        if not self.signature.batched:
            for name, tensor in expected.items():
                _check_dims(arrays[name].shape, tensor, tensor.dims)
            return arrays, False, 1
        single = all(
            len(arrays[name].shape) == len(tensor.dims) for name, tensor in expected.items()
        )
        if single:
            arrays = {name: array[np.newaxis] for name, array in arrays.items()}
        sizes = set()
        for name, tensor in expected.items():
            _check_dims(arrays[name].shape[1:], tensor, ("n", *tensor.dims))
            sizes.add(arrays[name].shape[0] if arrays[name].shape else -1)
        if len(sizes) != 1:
            raise _invalid("the inputs differ in their first dimension, the batch")
        rows = sizes.pop()
        if rows < 1:
            raise _invalid("the request holds no rows")
        limit = self._context.settings.predict_max_rows
        if rows > limit:
            raise RequestError(
                413,
                "too_many_rows",
                f"the request holds {rows} rows and at most {limit} are answered at once "
                "(NIGHTSHIFT_PREDICT_MAX_ROWS); split it",
            )
        return arrays, single, rows

    async def _infer(self, inputs: Tensors, rows: int, deadline: float) -> Tensors:
        waiting = self._waiting
        if waiting and waiting + rows > self._context.settings.predict_queue_rows:
            raise overloaded(waiting)
        self._waiting += rows
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.0)):
                await self._calls.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed while the request waited its turn"
            ) from None
        finally:
            self._waiting -= rows
        try:
            with timed(self._context.metrics.score.observe):
                outputs = await self._ask(inputs, max(deadline - time.monotonic(), 0.001))
        finally:
            self._calls.release()
        for tensor in self.signature.outputs:
            shape = outputs[tensor.name].shape
            if self.signature.batched and shape[:1] != (rows,):
                raise ContractError(
                    f"{tensor.name} of {self.pointer.model}/{self.pointer.model_version} has shape "
                    f"{list(shape)} for {rows} rows"
                )
        self._context.metrics.batch.observe(rows)
        self._rows_scored.inc(rows)
        return outputs

    async def _ask(self, inputs: Tensors, timeout_s: float) -> Tensors:
        p = self.pointer
        names = [tensor.name for tensor in self.signature.outputs]
        return await self._context.triton.infer(
            p.model, p.model_version, inputs, names, timeout_s=timeout_s
        )

    async def probe(self, timeout_s: float) -> dict[str, str | None]:
        """Run the model on tensors of zeros."""
        return {"triton": await problem_of(self._ask(self.zeros(), timeout_s))}

    def zeros(self) -> Tensors:
        """Inputs of one row that every model takes."""
        found = {}
        for tensor in self.signature.inputs:
            dims = [max(size, 1) for size in tensor.dims]
            shape = [1, *dims] if self.signature.batched else dims
            blank = b"" if tensor.datatype == "BYTES" else 0
            found[tensor.name] = np.full(shape, blank, dtype=tensor.dtype)
        return found


def _read(pointer: LivePointer, releases: Path) -> Signature:
    folder = ReleaseStore(releases).folder(pointer.release_id)
    return Signature.load(folder.model / "signature.json")


async def _prepare(pointer: LivePointer, signature: Signature, context: Context) -> Release:
    release = TensorRelease(pointer, signature, context)
    await release._ask(release.zeros(), context.settings.predict_timeout_s)
    return release


FAMILY = Family(read=_read, prepare=_prepare, parts=("triton",))


def _invalid(message: str) -> RequestError:
    return RequestError(422, "invalid_tensors", message)


def _named(payload: Any) -> tuple[dict[str, Any], Any]:
    """Inputs by name, and the form of the answer that belongs to this form of request."""
    if not isinstance(payload, dict) or "inputs" not in payload:
        raise _invalid('give {"inputs": {name: values}}; see GET /schema')
    extra = [key for key in payload if key not in ("inputs", "outputs", "id", "parameters")]
    if extra:
        raise _invalid(f"unknown key {shown(extra[0])} beside 'inputs'; remove it")
    inputs = payload["inputs"]
    if isinstance(inputs, dict):
        described = inputs and all(
            isinstance(value, dict) and "data" in value and "shape" in value
            for value in inputs.values()
        )
        if described:
            return {n: _Flat(v["data"], v["shape"]) for n, v in inputs.items()}, _to_described
        return inputs, _to_json
    if not isinstance(inputs, list):
        raise _invalid("'inputs' is an object by name, or a list of KServe's tensors")
    found: dict[str, Any] = {}
    for item in inputs:
        try:
            name, shape, data = item["name"], item["shape"], item["data"]
        except (KeyError, TypeError):
            raise _invalid("each of 'inputs' has name, shape, datatype and data") from None
        if not isinstance(name, str) or name in found:
            raise _invalid(f"input {shown(name)} is given twice or is no name")
        found[name] = _Flat(data, shape)
    return found, _to_kserve


@dataclass(frozen=True)
class _Flat:
    """A tensor of KServe's protocol: its values in one list, or nested, and its shape."""

    data: Any
    shape: Any


def _array(value: Any, tensor: Tensor) -> npt.NDArray[Any]:
    """Values as the tensor's data type; nothing is changed but the type."""
    shape = None
    if isinstance(value, _Flat):
        shape, value = value.shape, value.data
        if not isinstance(shape, list) or not all(
            type(size) is int and 0 <= size < 1 << 31 for size in shape
        ):
            raise _invalid(f"the shape of {tensor.name} is a list of sizes")
    try:
        array = value if isinstance(value, np.ndarray) else np.array(value)
        if shape is not None:
            array = array.reshape(shape)
    except (ValueError, OverflowError, TypeError):
        raise _invalid(f"{tensor.name} is no tensor: its parts differ in length") from None
    return _convert(array, tensor)


_TAKEN = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "O": "US"}


def _convert(array: npt.NDArray[Any], tensor: Tensor) -> npt.NDArray[Any]:
    wanted = tensor.dtype
    if array.dtype.kind not in _TAKEN[wanted.kind] and array.size:
        if array.dtype.kind == "O" and wanted.kind == "O":
            return _bytes(array, tensor)
        raise _invalid(
            f"{tensor.name} is {tensor.datatype} and cannot hold these values "
            f"({_kind_of(array)}); give {_EXAMPLES[wanted.kind]}"
        )
    if wanted.kind == "O":
        return _bytes(array, tensor)
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise _invalid(f"{tensor.name} is {tensor.datatype}; a value is beyond its range")
    with np.errstate(over="ignore"):
        taken = array.astype(wanted, copy=False)
    if wanted.kind == "f" and not np.isfinite(taken).all():
        raise _invalid(f"{tensor.name} is {tensor.datatype}; a value is beyond it, or not finite")
    return np.ascontiguousarray(taken)


_EXAMPLES = {"b": "true or false", "i": "whole numbers", "u": "whole numbers", "f": "numbers"} | {
    "O": "text"
}


def _kind_of(array: npt.NDArray[Any]) -> str:
    words = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}
    return words.get(array.dtype.kind, "text or null" if array.dtype.kind in "US" else "mixed")


def _bytes(array: npt.NDArray[Any], tensor: Tensor) -> npt.NDArray[Any]:
    packed = np.empty(array.size, dtype=np.object_)
    for at, item in enumerate(array.reshape(-1).tolist()):
        if isinstance(item, str):
            try:
                item = item.encode()
            except UnicodeEncodeError:
                raise _invalid(f"{tensor.name} holds half of a surrogate pair") from None
        if not isinstance(item, bytes):
            raise _invalid(f"{tensor.name} is BYTES; give text")
        packed[at] = item
    return packed.reshape(array.shape)


def _check_dims(shape: tuple[int, ...], tensor: Tensor, wanted: tuple[int | str, ...]) -> None:
    fits = len(shape) == len(tensor.dims) and all(
        size in (-1, got) for size, got in zip(tensor.dims, shape, strict=True)
    )
    if not fits:
        text = ", ".join(map(str, wanted))
        raise _invalid(f"{tensor.name} has {list(shape)} for its dimensions; give [{text}]")


def _npz(body: bytes, expected: tuple[Tensor, ...]) -> dict[str, Any]:
    """The arrays of an `.npz` file, none larger than the model can take."""
    names = {tensor.name for tensor in expected}
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for item in archive.infolist():
                # Compressed zeros make gigabytes out of a small body.
                if item.file_size > 16 * len(body) + (1 << 20):
                    raise _invalid(f"{shown(item.filename)} is packed too tightly; use savez")
                if item.filename.removesuffix(".npy") not in names:
                    raise _invalid(f"unknown input {shown(item.filename)}")
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        message = printable(str(error), 200)
        raise RequestError(400, "no_npz", f"the body is no .npz of arrays: {message}") from None


def _values(array: npt.NDArray[Any]) -> Any:
    if array.dtype == np.object_:
        flat = [item.decode("utf-8", "replace") for item in array.reshape(-1).tolist()]
        return np.array(flat, dtype=np.object_).reshape(array.shape).tolist()
    return array.tolist()


def _to_json(outputs: Tensors, release: TensorRelease) -> Answer:
    values = {name: _values(array) for name, array in outputs.items()}
    return Answer(encode_json({"outputs": values, **release.names()}))


def _to_described(outputs: Tensors, release: TensorRelease) -> Answer:
    tensors = {item.pop("name"): item for item in _described(outputs, release)}
    return Answer(encode_json({"outputs": tensors, **release.names()}))


def _to_kserve(outputs: Tensors, release: TensorRelease) -> Answer:
    names = release.names()
    about = {"model_name": names["model"], "model_version": str(names["model_version"])}
    return Answer(
        encode_json({**about, "outputs": _described(outputs, release), "release": names["release"]})
    )


def _described(outputs: Tensors, release: TensorRelease) -> list[dict[str, Any]]:
    kinds = {tensor.name: tensor.datatype for tensor in release.signature.outputs}
    return [
        {
            "name": name,
            "datatype": kinds[name],
            "shape": list(array.shape),
            "data": _values(array.reshape(-1)),
        }
        for name, array in outputs.items()
    ]


def _to_npz(outputs: Tensors, release: TensorRelease) -> Answer:
    file = io.BytesIO()
    arrays = {
        name: array.astype("S") if array.dtype == np.object_ else array
        for name, array in outputs.items()
    }
    np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes a keyword for a flag
    return Answer(file.getvalue(), NPZ)
