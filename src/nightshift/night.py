"""One night of one pipeline: its plan, folders, lease, thresholds and servers in one place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nightshift import files, layout
from nightshift.layout import RunFolder
from nightshift.openmldb import OpenMLDBClient
from nightshift.pipeline import Pipeline
from nightshift.plan import Plan
from nightshift.registry import leases
from nightshift.registry.leases import Lease
from nightshift.registry.store import ReleaseFolder, ReleaseStore
from nightshift.serving import pair
from nightshift.settings import Settings
from nightshift.triton import TritonControl


@dataclass(frozen=True)
class Servers:
    """Clients of the two servers that hold the halves of a release."""

    openmldb: OpenMLDBClient
    triton: TritonControl


@contextlib.contextmanager
def servers(settings: Settings) -> Iterator[Servers]:
    """Clients of a machine's OpenMLDB and Triton; neither is asked before it is used."""
    with (
        OpenMLDBClient.of(settings, timeout_s=60.0) as client,
        TritonControl.of(settings) as control,
    ):
        yield Servers(client, control)


@dataclass(frozen=True)
class Night:
    """A run of a pipeline for a date.

    Attributes:
        pipeline: the pipeline.
        plan: the run's plan, made once by its first task.
    """

    pipeline: Pipeline
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, settings: Settings) -> Night:
        """The night of a plan, on this machine.

        Raises:
            ConfigurationError: the plan's pipeline is gone or broken.
        """
        pipeline = Pipeline.load(settings, plan["pipeline"])
        if pipeline.has_features:
            # A plan of before this key: its run goes on over an upgrade.
            pipeline = replace(pipeline, tables_in=plan.get("database"))
        return cls(pipeline, plan)

    @property
    def ds(self) -> str:
        """The run's date, `YYYY-MM-DD`."""
        return self.plan["ds"]

    @property
    def run(self) -> RunFolder:
        """The run's artefacts."""
        return RunFolder(Path(self.plan["run_dir"]))

    @property
    def token(self) -> str:
        """Eight hex digits that stand for the run."""
        return layout.run_token(self.plan["run_id"])

    @property
    def settings(self) -> Settings:
        """Settings of the machine that the night runs on."""
        return self.pipeline.settings

    @property
    def store(self) -> ReleaseStore:
        """The pipeline's releases."""
        return self.pipeline.store

    @property
    def scores(self) -> Path:
        """Where the task `score` writes the held-out rows' scores."""
        return self.run.root / "scores" / "test.parquet"

    @property
    def published_scores(self) -> Path:
        """Scores of the held-out rows by the model that is published, a refit or the judged one."""
        return self.run.root / "scores" / "refit.parquet" if self.refits else self.scores

    @property
    def refits(self) -> bool:
        """Whether what passes the gates is trained once more, on all judged days."""
        return self.plan.get("refit", False)

    def folder(self, release: str) -> ReleaseFolder:
        """A release's folder.

        Raises:
            ConfigurationError: `release` is not a release id.
        """
        return self.store.folder(release)

    def gate(self, name: str) -> Mapping[str, Any]:
        """The thresholds of one gate."""
        found: Mapping[str, Any] = self.pipeline.gates[name]
        return found

    def renew(
        self,
        *,
        release_id: str | None = None,
        versions: Sequence[int] = (),
        deployments: Sequence[str] = (),
        workspace: str | None = None,
    ) -> Lease:
        """Open the run's lease or lengthen it; what is given is added to what it protects."""
        return leases.renew(
            self.store,
            run_token=self.token,
            run_id=self.plan["run_id"],
            ds=self.ds,
            release_id=release_id,
            versions=versions,
            deployments=deployments,
            workspace=workspace,
        )

    def write(self, value: dict[str, Any]) -> dict[str, Any]:
        """Write a report to the run's folder and return it."""
        files.write_json(self.run.reports / f"{value['check']}.json", value)
        return value

    def requests(self, count: int) -> Callable[[Sequence[str]], list[list[Any]]]:
        """A function that gives request rows with the columns asked for, none of a later date."""

        def rows(columns: Sequence[str]) -> list[list[Any]]:
            return pair.request_rows(self.pipeline, columns, count, until=self.ds)

        return rows

    def servers(self) -> contextlib.AbstractContextManager[Servers]:
        """Clients of the machine's OpenMLDB and Triton."""
        return servers(self.settings)
