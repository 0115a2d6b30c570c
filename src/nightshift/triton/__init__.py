"""Triton over gRPC: load, look, infer; and publish a version only when it answers as trained."""

from nightshift.contract.golden import Golden
from nightshift.triton.control import (
    CHANNEL,
    INPUT,
    OUTPUT,
    ModelState,
    TritonControl,
    check_scores,
    triton_error,
)
from nightshift.triton.publication import Published, pin, publish, revive

__all__ = [
    "CHANNEL",
    "INPUT",
    "OUTPUT",
    "Golden",
    "ModelState",
    "Published",
    "TritonControl",
    "check_scores",
    "pin",
    "publish",
    "revive",
    "triton_error",
]
