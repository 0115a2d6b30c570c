"""Triton over gRPC: load, look, infer.

Loads go over gRPC because over HTTP they stall inference for seconds. Model control is code
execution: Triton lets only callers that know a key use it (`--grpc-restricted-protocol`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightshift import credentials
from nightshift.contract.golden import Golden
from nightshift.contract.signature import DEFAULT_MAX_BATCH, ModelSignature
from nightshift.errors import ConfigurationError, ContractError, NightshiftError, ServiceUnavailable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from tritonclient.utils import InferenceServerException
    from typing_extensions import Self

    from nightshift.settings import Settings

INPUT = "INPUT_0"
OUTPUT = "OUTPUT_0"

GOLDEN_TIMEOUT_S = 60.0
"""Seconds for the golden examples of a version."""

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one gRPC message; 10,000 rows of 500 fields are 40 MB."""

CHANNEL = (
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # gRPC's own pause before it tries a server again grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # In spite of its name also the limit of one attempt to connect, which a busy machine needs.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""Options of every gRPC channel to Triton."""

_UNAVAILABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


@dataclass(frozen=True)
class ModelState:
    """One line of Triton's repository index."""

    model: str
    version: int | None
    state: str
    reason: str

    @property
    def ready(self) -> bool:
        """Whether Triton says that it serves this version (a dead process still says so)."""
        return self.state == "READY"


def triton_error(error: InferenceServerException, about: str) -> NightshiftError:
    """What a failure of tritonclient means: try again, or not.

    Args:
        error: what tritonclient raised.
        about: the beginning of the message: which server, which call.

    Returns:
        ServiceUnavailable where the server did not answer, ConfigurationError where it demands
        its key, else ContractError with its words.
    """
    message = f"{about}: {error.message()}"
    if "protocol is restricted" in message:  # its status is that of a server that is down
        return ConfigurationError(
            f"{message}; the key is in <home>/secrets/{credentials.TRITON_KEY}, or "
            "NIGHTSHIFT_TRITON_KEY"
        )
    down = any(word in str(error.status()) for word in _UNAVAILABLE)
    # A version that is not served has the status of a server that is down.
    if down and "unknown model" not in message:
        return ServiceUnavailable(
            f"{message}; is it up? (`./nightshift status`, NIGHTSHIFT_TRITON_GRPC_PORT)"
        )
    return ContractError(message)


class TritonControl:
    """Control and inference of one Triton server, synchronous.

    Args:
        grpc_url: `host:port` of Triton's gRPC service.
        timeout_s: limit of one question or inference; loads have their own.
        headers: sent with each call of the model control, which Triton may restrict by a key.
    """

    def __init__(
        self, grpc_url: str, *, timeout_s: float = 10.0, headers: Mapping[str, str] | None = None
    ) -> None:
        import tritonclient.grpc as grpcclient

        self._headers = dict(headers or {}) or None
        self._grpc = grpcclient
        self._url = grpc_url
        self._timeout_s = timeout_s
        self._client = grpcclient.InferenceServerClient(grpc_url, channel_args=list(CHANNEL))

    @classmethod
    def of(cls, settings: Settings, *, timeout_s: float = 10.0) -> Self:
        """The control of the installation's Triton, with its key where it has one."""
        headers = credentials.triton_headers(settings)
        return cls(settings.triton_grpc_url, timeout_s=timeout_s, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return call()
        except InferenceServerException as error:
            raise triton_error(error, f"Triton at {self._url}: {what}") from error

    def live(self) -> bool:
        """Whether the server answers at all."""
        try:
            answer = self._call(
                "live", lambda: self._client.is_server_live(client_timeout=self._timeout_s)
            )
        except NightshiftError:
            return False
        return bool(answer)

    def ready(self, model: str, version: int) -> bool:
        """Whether Triton says that it serves the version.

        Raises:
            ServiceUnavailable: the server does not answer.
        """
        return bool(
            self._call(
                f"ready {model}/{version}",
                lambda: self._client.is_model_ready(
                    model, str(version), client_timeout=self._timeout_s
                ),
            )
        )

    def index(self) -> list[ModelState]:
        """The repository index: each model and version that Triton knows, and its state.

        Raises:
            ServiceUnavailable: the server does not answer.
        """
        answer = self._call(
            "repository index",
            lambda: self._client.get_model_repository_index(
                headers=self._headers, client_timeout=self._timeout_s
            ),
        )
        return [
            ModelState(m.name, int(m.version) if m.version else None, m.state, m.reason)
            for m in answer.models
        ]

    def load(self, model: str, *, config: str | None = None, timeout_s: float = 120.0) -> None:
        """Load or reload a model; what served keeps serving if it fails.

        Args:
            model: name of the model.
            config: text of a whole `config.pbtxt` to use instead of the file, until the next
                load or restart.
            timeout_s: limit of the load.

        Raises:
            ContractError: Triton refused: the message is Triton's own.
            ServiceUnavailable: the server does not answer in time.
        """
        override = None if config is None else _config_json(config)
        self._call(
            f"load {model}",
            lambda: self._client.load_model(
                model, headers=self._headers, config=override, client_timeout=timeout_s
            ),
        )

    def unload(self, model: str, *, timeout_s: float = 60.0) -> None:
        """Unload all of a model's versions.

        Raises:
            ContractError: Triton refused.
            ServiceUnavailable: the server does not answer in time.
        """
        self._call(
            f"unload {model}",
            lambda: self._client.unload_model(
                model, headers=self._headers, client_timeout=timeout_s
            ),
        )

    def infer(
        self,
        model: str,
        version: int,
        inputs: Mapping[str, npt.NDArray[Any]],
        outputs: Sequence[str],
        *,
        timeout_s: float | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """One inference.

        Args:
            model: name of the model.
            version: its version.
            inputs: arrays by tensor name, in the element types of the model's signature.
            outputs: names of the outputs wanted.
            timeout_s: limit of the answer; None takes the client's.

        Returns:
            The outputs by name.

        Raises:
            ContractError: Triton refused the inputs or does not serve the version.
            ServiceUnavailable: the server does not answer in time.
        """
        import numpy as np
        from tritonclient.utils import np_to_triton_dtype

        tensors = []
        for name, value in inputs.items():
            tensor = self._grpc.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
            tensor.set_data_from_numpy(np.ascontiguousarray(value))
            tensors.append(tensor)
        where = f"{model}/{version}"
        answer = self._call(
            f"infer {where}",
            lambda: self._client.infer(
                model,
                tensors,
                model_version=str(version),
                outputs=[self._grpc.InferRequestedOutput(name) for name in outputs],
                client_timeout=timeout_s or self._timeout_s,
            ),
        )
        found = {}
        for name in outputs:
            value = answer.as_numpy(name)
            if value is None:
                raise ContractError(f"Triton, {where}: it answered without the output {name}")
            found[name] = value
        return found

    def score(
        self, model: str, version: int, inputs: Mapping[str, npt.NDArray[Any]]
    ) -> npt.NDArray[np.float32]:
        """Probabilities of rows, by a model of the family `ctr`; any number of rows.

        Args:
            model: name of the model.
            version: its version.
            inputs: arrays [n, ...] by tensor name.

        Returns:
            float32 [n].

        Raises:
            ContractError: Triton refused the rows, or an answer is not a probability.
            ServiceUnavailable: the server does not answer in time.
        """
        import numpy as np

        n_rows = len(next(iter(inputs.values()), ()))
        parts = []
        for start in range(0, n_rows, DEFAULT_MAX_BATCH):
            part = {name: v[start : start + DEFAULT_MAX_BATCH] for name, v in inputs.items()}
            answer = self.infer(model, version, part, [OUTPUT])[OUTPUT]
            count = min(DEFAULT_MAX_BATCH, n_rows - start)
            parts.append(check_scores(answer, count, f"{model}/{version}"))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def check_golden(
        self, model: str, version: int, golden: Golden, signature: ModelSignature
    ) -> float:
        """Compare Triton's outputs for the golden examples with training's.

        Args:
            model: name of the model.
            version: its version.
            golden: the examples.
            signature: the version's signature.

        Returns:
            The largest difference; each output's is at most its tolerance.

        Raises:
            ContractError: an output differs by more; the message names the example.
            ServiceUnavailable: the server does not answer in time.
        """
        outputs = self.infer(
            model,
            version,
            golden.inputs,
            [tensor.name for tensor in signature.outputs],
            # The first inference of a version compiles and warms up, perhaps on a busy machine.
            timeout_s=max(self._timeout_s, GOLDEN_TIMEOUT_S),
        )
        return golden.largest_difference(outputs, signature, f"{model}/{version}")


def check_scores(
    scores: npt.NDArray[np.float32] | None, n_rows: int, where: str
) -> npt.NDArray[np.float32]:
    """OUTPUT_0 as float32 [n_rows].

    Raises:
        ContractError: it is absent, of another length, or a score is not a probability.
    """
    import numpy as np

    if scores is None or scores.size != n_rows:
        got = "none" if scores is None else str(list(scores.shape))
        raise ContractError(f"Triton, {where}: {n_rows} rows asked, scores of shape {got} answered")
    flat = scores.reshape(-1).astype(np.float32, copy=False)
    if not ((flat >= 0) & (flat <= 1)).all():
        raise ContractError(f"Triton, {where}: a score is not a probability between 0 and 1")
    return flat


def _config_json(text: str) -> str:
    """`config.pbtxt` as the JSON that a load takes."""
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return str(json_format.MessageToJson(config, preserving_proto_field_name=True))
