"""Triton's `oneflow` backend: one DeepFM version behind INPUT_0 and OUTPUT_0.

A python-based backend (Triton's `python_backend`, "Python-based backends"): models that say
`backend: "oneflow"` need no code of their own, and lie as OneFlow's own backend wants them,
`<model>/<version>/model` (oneflow-serving). Triton runs one process of this a version.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253
import numpy.typing as npt  # noqa: TID253
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One version of a model on one device."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's parameters and vocabulary, and score a row to warm up.

        An error here fails the load, and the versions that served keep serving. Triton's own
        `model_warmup` would crash the server instead, where another version loads beside it.
        """
        self._name = f"{args['model_name']} version {args['model_version']}"
        if int(np.__version__.split(".")[0]) >= 2:
            # With NumPy 2 Triton's stub answers 200 with empty outputs.
            raise pb_utils.TritonModelException(
                f"{self._name}: NumPy {np.__version__} in the tasks' environment; it must be < 2"
            )
        os.environ.setdefault("GLOG_minloglevel", "3")
        from tasks.ctr.train.serving import Scorer

        device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
        folder = Path(args["model_repository"]) / args["model_version"]
        # All of a machine's cores, which is what OneFlow takes by itself, only slow each other
        # down: a container's limit does not show in their number, and versions share them.
        threads = int(os.environ.get("NIGHTSHIFT_TRITON_THREADS") or 1)
        self._scorer = Scorer.load(folder, device=device, threads=threads)
        golden = json.loads((folder / "golden.json").read_text())
        self._score(np.array(golden["ids"], dtype=np.int64))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score all waiting requests in one batch; answer one by one.

        INPUT_0 is int64 [n, fields], ids as `nightshift.features.encoding` makes them; OUTPUT_0 is
        float32 [n, 1], probabilities.
        """
        batches = [pb_utils.get_input_tensor_by_name(r, "INPUT_0").as_numpy() for r in requests]
        try:
            ids = batches[0] if len(batches) == 1 else np.concatenate(batches)
            scores = self._score(ids)
        except Exception as error:
            problem = pb_utils.TritonError(f"{self._name}: {type(error).__name__}: {error}")
            return [pb_utils.InferenceResponse(error=problem) for _ in requests]
        answers, start = [], 0
        for batch in batches:
            part = scores[start : start + len(batch)]
            start += len(batch)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_0", part)]))
        return answers

    def _score(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        scores = np.asarray(self._scorer.score(ids), dtype=np.float32).reshape(-1, 1)
        if len(scores) != len(ids) or not np.isfinite(scores).all():
            raise ValueError(f"{self._name}: a score is missing or not finite")
        return scores

    def finalize(self) -> None:
        """Free the model's memory before the process ends."""
        del self._scorer
