"""Triton, asked from an event loop over one gRPC channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from grpc import aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import (
    InferenceServerException,
    deserialize_bytes_tensor,
    np_to_triton_dtype,
    serialize_byte_tensor,
    triton_to_np_dtype,
)

from nightshift.errors import ContractError, NightshiftError
from nightshift.triton import CHANNEL, triton_error

Tensors = dict[str, npt.NDArray[Any]]


class AsyncTriton:
    """Inference of one Triton server.

    Args:
        grpc_url: `host:port` of Triton's gRPC service.
    """

    def __init__(self, grpc_url: str) -> None:
        self.url = grpc_url
        self._channel: aio.Channel | None = None
        self._stub: Any = None

    def _connected(self) -> Any:
        if self._stub is None:
            # The channel belongs to the event loop that runs when it is made.
            self._channel = aio.insecure_channel(self.url, options=list(CHANNEL))
            self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self._stub

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = self._stub = None

    async def infer(
        self,
        model: str,
        version: int,
        inputs: Mapping[str, npt.NDArray[Any]],
        outputs: Sequence[str],
        *,
        timeout_s: float,
    ) -> Tensors:
        """Run one version of a model.

        Args:
            model: its name.
            version: its version.
            inputs: tensors by name; text as arrays of objects (`bytes` or `str`).
            outputs: names of the tensors to give back.
            timeout_s: limit of the answer.

        Returns:
            The output tensors by name, as read-only views of the answer.

        Raises:
            ServiceUnavailable: the server does not answer in time.
            ContractError: it does not serve the version, refused the tensors, or lacks an output.
        """
        request = service_pb2.ModelInferRequest(
            model_name=model,
            model_version=str(version),
            inputs=[
                service_pb2.ModelInferRequest.InferInputTensor(
                    name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape
                )
                for name, array in inputs.items()
            ],
            outputs=[
                service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name)
                for name in outputs
            ],
            raw_input_contents=[_raw(array) for array in inputs.values()],
        )
        try:
            answer = await self._connected().ModelInfer(request, timeout=timeout_s)
        except aio.AioRpcError as error:
            raise self._error(error, f"infer {model}/{version}") from error
        found: Tensors = {}
        for described, raw in zip(answer.outputs, answer.raw_output_contents, strict=False):
            found[described.name] = _array(described.datatype, tuple(described.shape), raw)
        for name in outputs:
            if name not in found:
                raise ContractError(f"Triton at {self.url}: {model}/{version} gave no {name}")
        return found

    async def live(self, *, timeout_s: float) -> str | None:
        """None if the server answers, else why not."""
        try:
            answer = await self._connected().ServerLive(
                service_pb2.ServerLiveRequest(), timeout=timeout_s
            )
        except aio.AioRpcError as error:
            return str(self._error(error, "live"))
        return None if answer.live else f"Triton at {self.url} says that it is not live"

    def _error(self, error: aio.AioRpcError, what: str) -> NightshiftError:
        code: grpc.StatusCode = error.code()
        plain = InferenceServerException(msg=error.details(), status=f"StatusCode.{code.name}")
        return triton_error(plain, f"Triton at {self.url}: {what}")


def _raw(array: npt.NDArray[Any]) -> bytes:
    if array.dtype == np.object_:
        packed = serialize_byte_tensor(array)
        return bytes(packed.item()) if packed.size else b""
    return array.tobytes()


def _array(datatype: str, shape: tuple[int, ...], raw: bytes) -> npt.NDArray[Any]:
    if datatype == "BYTES":
        return np.asarray(deserialize_bytes_tensor(raw)).reshape(shape)
    return np.frombuffer(raw, dtype=triton_to_np_dtype(datatype)).reshape(shape)
