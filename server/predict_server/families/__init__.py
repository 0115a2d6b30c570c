"""What kinds of pipelines the server answers for; a kind is a module here and a line below."""

from __future__ import annotations

from nightshift.registry.pointer import LivePointer
from predict_server.families import ctr, tensor
from predict_server.families.base import Family

FAMILIES: dict[str, Family] = {"ctr": ctr.FAMILY, "tensor": tensor.FAMILY}
"""By the name that a pipeline's folder gives."""


def of(pointer: LivePointer) -> Family:
    """The kind of a release, whatever the pipeline's folder says by now.

    A pipeline whose family was changed goes on answering by its live release until a night of the
    new family has made another, and goes back to it by a rollback.
    """
    return FAMILIES["tensor" if pointer.deployment is None else "ctr"]
