"""Which pipelines this installation has: the one place of the server that knows where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nightshift.config.live import LiveConfig
from nightshift.errors import ConfigurationError
from nightshift.families import DEFAULT
from nightshift.installation import releases_of
from nightshift.pipeline import Pipeline, names
from nightshift.settings import Settings


@dataclass(frozen=True)
class PipelineRef:
    """A pipeline to answer for.

    Attributes:
        name: as in `/v1/pipelines/<name>`.
        family: how its releases are served; a name of `nightshift.families`.
        releases: root of its releases.
        live: what is kept of its traffic.
    """

    name: str
    family: str
    releases: Path
    live: LiveConfig = field(default_factory=LiveConfig)


ListPipelines = Callable[[], list[PipelineRef]]
"""All pipelines at this moment, the default one first; it may read files."""


def of_installation(settings: Settings) -> ListPipelines:
    """The pipelines of an installation.

    A folder that is broken now must not stop what serves: its family stays what it was.
    """
    families: dict[str, str] = {}
    live: dict[str, LiveConfig] = {}

    def listed() -> list[PipelineRef]:
        found = []
        for name in names(settings):
            try:
                pipeline = Pipeline.load(settings, name)
                families[name], live[name] = pipeline.family, pipeline.config.live
            except ConfigurationError:
                families.setdefault(name, DEFAULT)
                live.setdefault(name, LiveConfig())
            releases = releases_of(settings, name)
            found.append(PipelineRef(name, families[name], releases, live[name]))
        return found

    return listed
