"""Triton's `oneflow` backend: one version of a model behind its named tensors.

A python-based backend (Triton's `python_backend`, "Python-based backends"): models that say
`backend: "oneflow"` need no code of their own, and lie as OneFlow's own backend wants them,
`<model>/<version>/model` (oneflow-serving). Triton runs one process of this a version.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253
import numpy.typing as npt  # noqa: TID253
import triton_python_backend_utils as pb_utils

_SHARED = Path("/dev/shm")  # noqa: S108 (where Triton makes them)

Arrays = dict[str, npt.NDArray[Any]]


class TritonPythonModel:
    """One version of a model on one device."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version and run its golden examples to warm up.

        An error here fails the load, and the versions that served keep serving. Triton's own
        `model_warmup` would crash the server instead, where another version loads beside it.
        """
        self._name = f"{args['model_name']} version {args['model_version']}"
        _close_shared_memory()
        if int(np.__version__.split(".")[0]) >= 2:
            # With NumPy 2 Triton's stub answers 200 with empty outputs.
            raise pb_utils.TritonModelException(
                f"{self._name}: NumPy {np.__version__} in the tasks' environment; it must be < 2"
            )
        os.environ.setdefault("GLOG_minloglevel", "3")
        from nightshift.contract.golden import Golden
        from nightshift.contract.signature import ModelSignature
        from tasks import serving

        device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
        folder = Path(args["model_repository"]) / args["model_version"]
        # All of a machine's cores, which is what OneFlow takes by itself, only slow each other
        # down: a container's limit does not show in their number, and versions share them.
        threads = int(os.environ.get("NIGHTSHIFT_TRITON_THREADS") or 1)
        self._signature = ModelSignature.load(folder)
        self._run = serving.load(folder, device=device, threads=threads)
        self._checked(Golden.load(folder, self._signature).inputs)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all waiting requests in one batch, where the model has a batch dimension.

        Tensors are those of the version's `signature.json`.
        """
        inputs = [self._inputs(request) for request in requests]
        if not self._signature.batched or len(requests) == 1:
            return [self._answer(one) for one in inputs]
        try:
            joined = {t.name: _join(inputs, t.name) for t in self._signature.inputs}
            outputs = self._checked(joined)
        except Exception:
            # One bad request must not fail the others: each is answered by itself.
            return [self._answer(one) for one in inputs]
        answers, start = [], 0
        for one in inputs:
            end = start + len(next(iter(one.values())))
            answers.append(_response({name: v[start:end] for name, v in outputs.items()}))
            start = end
        return answers

    def _inputs(self, request: Any) -> Arrays:
        found = {}
        for tensor in self._signature.inputs:
            value = pb_utils.get_input_tensor_by_name(request, tensor.name)
            if value is not None:
                found[tensor.name] = value.as_numpy()
        return found

    def _answer(self, inputs: Arrays) -> Any:
        try:
            return _response(self._checked(inputs))
        except Exception as error:
            text = f"{self._name}: {type(error).__name__}: {error}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))

    def _checked(self, inputs: Arrays) -> Arrays:
        checked = self._signature.check_inputs(inputs, self._name)
        return self._signature.check_outputs(self._run(checked), self._name)

    def finalize(self) -> None:
        """Free the model's memory before the process ends."""
        del self._run


def _close_shared_memory() -> None:
    """Take from other users what tensors pass through.

    Triton makes it readable for all, whatever the umask.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(*line.split(maxsplit=5)[5:])
        if path.parent == _SHARED and path.name.startswith("triton_"):
            path.chmod(0o600)


def _join(inputs: list[Arrays], name: str) -> npt.NDArray[Any]:
    return np.concatenate([one[name] for one in inputs])


def _response(outputs: Arrays) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(n, v) for n, v in outputs.items()])
