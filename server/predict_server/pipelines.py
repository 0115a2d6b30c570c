"""Which pipelines this installation has: the one place of the server that knows where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ConfigurationError
from nightshift.installation import releases_of
from nightshift.pipeline import Pipeline, names
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
    """The pipelines of an installation.

    A folder that is broken now must not stop what serves: its family stays what it was.
    """
    families: dict[str, str] = {}

    def listed() -> list[PipelineRef]:
        found = []
        for name in names(settings):
            try:
                families[name] = Pipeline.load(settings, name).family
            except ConfigurationError:
                families.setdefault(name, "ctr")
            found.append(PipelineRef(name, families[name], releases_of(settings, name)))
        return found

    return listed
