"""Triton, asked from an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from nightshift.triton import CHANNEL, INPUT, OUTPUT, check_scores, triton_error

if TYPE_CHECKING:
    from tritonclient.grpc.aio import InferenceServerClient


class AsyncTriton:
    """Inference of one Triton server over one gRPC channel.

    Args:
        grpc_url: `host:port` of Triton's gRPC service.
        timeout_s: limit of one answer.
    """

    def __init__(self, grpc_url: str, *, timeout_s: float) -> None:
        self.url = grpc_url
        self._timeout_s = timeout_s
        self._client: InferenceServerClient | None = None

    def _connected(self) -> InferenceServerClient:
        if self._client is None:
            # The channel belongs to the event loop that runs when it is made.
            from tritonclient.grpc import aio

            self._client = aio.InferenceServerClient(self.url, channel_args=list(CHANNEL))
        return self._client

    async def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def infer(
        self, model: str, version: int, ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Score rows: ids int64 [n, fields] to probabilities float32 [n].

        Raises:
            ServiceUnavailable: the server does not answer in time.
            ContractError: it does not serve the version, refused the rows, or answers nonsense.
        """
        tensor = grpcclient.InferInput(INPUT, list(ids.shape), "INT64")
        tensor.set_data_from_numpy(np.ascontiguousarray(ids))
        try:
            answer = await self._connected().infer(
                model,
                [tensor],
                model_version=str(version),
                client_timeout=self._timeout_s,
            )
        except InferenceServerException as error:
            about = f"Triton at {self.url}: infer {model}/{version}"
            raise triton_error(error, about) from error
        return check_scores(answer.as_numpy(OUTPUT), len(ids), f"{model}/{version}")

    async def live(self, *, timeout_s: float) -> str | None:
        """None if the server answers, else why not."""
        try:
            up = await self._connected().is_server_live(client_timeout=timeout_s)
        except InferenceServerException as error:
            return str(triton_error(error, f"Triton at {self.url}"))
        return None if up else f"Triton at {self.url} says that it is not live"
