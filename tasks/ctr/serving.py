"""A click-through-rate model for Triton's backend: ids in, one probability out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nightshift.contract.signature import ModelSignature
from tasks.ctr.train.serving import Scorer
from tasks.serving import Arrays, Runner


def load(folder: Path, device: str, threads: int) -> Runner:
    """The model of a folder; see `tasks.serving.load`."""
    signature = ModelSignature.load(folder)
    ids, output = signature.inputs[0].name, signature.outputs[0].name
    scorer = Scorer.load(folder, device=device, threads=threads)

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        return {output: scorer.score(inputs[ids]).reshape(-1, 1)}

    return run
