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

from nightshift.contract.signature import ModelSignature, Tensor
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

PAGE = Path(__file__).parents[1] / "pages" / "tensor.html"
"""One page for every model: it reads the schema, and asks `infer`. Nothing comes from elsewhere."""

CALLS = 8
"""Calls of one release under way at once; Triton joins them as its configuration says."""


class TensorRelease(Release):
    """A model version behind its signature.

    Args:
        pointer: the content of live.json.
        signature: the model's.
        context: the server.
    """

    def __init__(self, pointer: LivePointer, signature: ModelSignature, context: Context) -> None:
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
            "inputs": [_describe(tensor) for tensor in self.signature.inputs],
            "outputs": [_describe(tensor) for tensor in self.signature.outputs],
            "batched": self.signature.batched,
            "limits": {
                "rows": settings.predict_max_rows,
                "body_bytes": BODY * settings.predict_max_body,
            },
            **self._names,
        }

    def page(self) -> bytes | None:
        """A page that takes a picture, or numbers, and shows the answer."""
        return PAGE.read_bytes()

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
        """Inputs of one row: zeros, or the least value that the signature allows."""
        found = {}
        for tensor in self.signature.inputs:
            dims = [max(size, 1) for size in tensor.dims]
            shape = [1, *dims] if self.signature.batched else dims
            least = 0 if tensor.minimum is None else max(tensor.minimum, 0)
            found[tensor.name] = np.full(shape, least, dtype=tensor.numpy_dtype)
        return found


def _read(pointer: LivePointer, releases: Path) -> ModelSignature:
    folder = ReleaseStore(releases).folder(pointer.release_id)
    return ModelSignature.load(folder.model)


async def _prepare(pointer: LivePointer, signature: ModelSignature, context: Context) -> Release:
    release = TensorRelease(pointer, signature, context)
    await release._ask(release.zeros(), context.settings.predict_timeout_s)
    return release


BODY = 16
"""Tensors are larger than rows: 64 MB by default, as much as Triton takes in one message."""

FAMILY = Family(read=_read, prepare=_prepare, parts=("triton",), body=BODY)


def _describe(tensor: Tensor) -> dict[str, Any]:
    found = {"name": tensor.name, "dtype": tensor.dtype, "dims": list(tensor.dims)}
    bounds = {"minimum": tensor.minimum, "maximum": tensor.maximum}
    return found | {name: value for name, value in bounds.items() if value is not None}


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
            raise _invalid(f"input {shown(name)} is given twice or is not a name")
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
        raise _invalid(f"{tensor.name} is not a tensor: its parts differ in length") from None
    return _convert(array, tensor)


_TAKEN = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}


def _convert(array: npt.NDArray[Any], tensor: Tensor) -> npt.NDArray[Any]:
    wanted = tensor.numpy_dtype
    if array.dtype.kind not in _TAKEN[wanted.kind] and array.size:
        raise _invalid(
            f"{tensor.name} is {tensor.dtype} and cannot hold these values "
            f"({_kind_of(array)}); give {_EXAMPLES[wanted.kind]}"
        )
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise _invalid(f"{tensor.name} is {tensor.dtype}; a value is beyond its range")
    with np.errstate(over="ignore"):
        taken = array.astype(wanted, copy=False)
    if wanted.kind == "f" and not np.isfinite(taken).all():
        raise _invalid(f"{tensor.name} is {tensor.dtype}; a value is beyond it, or not finite")
    if taken.size and tensor.minimum is not None and taken.min() < tensor.minimum:
        raise _invalid(f"{tensor.name} holds a value below {tensor.minimum:g}")
    if taken.size and tensor.maximum is not None and taken.max() > tensor.maximum:
        raise _invalid(f"{tensor.name} holds a value above {tensor.maximum:g}")
    return np.ascontiguousarray(taken)


_EXAMPLES = {"b": "true or false", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}


def _kind_of(array: npt.NDArray[Any]) -> str:
    words = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}
    return words.get(array.dtype.kind, "text or null" if array.dtype.kind in "US" else "mixed")


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
        raise RequestError(400, "no_npz", f"the body is not an .npz of arrays: {message}") from None


def _to_json(outputs: Tensors, release: TensorRelease) -> Answer:
    values = {name: array.tolist() for name, array in outputs.items()}
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
    kinds = {tensor.name: tensor.dtype for tensor in release.signature.outputs}
    return [
        {
            "name": name,
            "datatype": kinds[name],
            "shape": list(array.shape),
            "data": array.reshape(-1).tolist(),
        }
        for name, array in outputs.items()
    ]


def _to_npz(outputs: Tensors, release: TensorRelease) -> Answer:
    file = io.BytesIO()
    np.savez(file, **outputs)  # type: ignore[arg-type]  # its stub takes a keyword for a flag
    return Answer(file.getvalue(), NPZ)
