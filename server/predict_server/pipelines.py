"""Which pipelines this installation has: the one place of the server that knows where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightshift.settings import Settings


@dataclass(frozen=True)
class PipelineRef:
    """A pipeline to answer for.

    Attributes:
        name: as in `/v1/pipelines/<name>`.
        family: how its releases are served; a key of `families.FAMILIES`.
        releases: root of its releases.
    """

    name: str
    family: str
    releases: Path


ListPipelines = Callable[[], list[PipelineRef]]
"""All pipelines at this moment, the default one first; it may read files."""


def of_installation(settings: Settings) -> ListPipelines:
    """The pipelines of an installation."""

    def listed() -> list[PipelineRef]:
        found = [PipelineRef(settings.database, "ctr", settings.releases)]
        for family in sorted(settings.home.glob("pipelines/*/family")):
            folder = family.parent
            found.append(PipelineRef(folder.name, family.read_text().strip(), folder / "releases"))
        return found

    return listed
