"""How the server answers for a pipeline: by the module that its family names."""

from __future__ import annotations

import importlib

from nightshift.errors import ContractError
from nightshift.families import FAMILIES
from nightshift.registry.pointer import LivePointer
from predict_server.families.base import Family


def find(name: str) -> Family:
    """A family by its name.

    Raises:
        ContractError: there is none.
    """
    if name not in FAMILIES:
        raise ContractError(
            f"there is no family {name!r} in this server; known: {', '.join(FAMILIES)}"
        )
    found: Family = importlib.import_module(FAMILIES[name].server).FAMILY
    return found


def of(pointer: LivePointer) -> Family:
    """The kind of a release, whatever the pipeline's folder says by now.

    A pipeline whose family was changed goes on answering by its live release until a night of the
    new family has made another, and goes back to it by a rollback.

    Raises:
        ContractError: the release is of a family that this server has not.
    """
    return find(pointer.family)
