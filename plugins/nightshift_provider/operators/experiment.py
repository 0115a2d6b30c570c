"""The operator of an experiment: export, trainings, report, by the library's own job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nightshift.errors import RetryableError
from nightshift_provider.durable import airflow_errors

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from nightshift.experiment.starting import Starter


class NightshiftExperimentOperator(BaseOperator):
    """Do what an experiment has not done yet, by the run's Params.

    Returns as XCom the report's path, the number of configurations and the best one.

    Args:
        pipeline: its name.
    """

    ui_color = "#eef7ea"

    def __init__(self, *, pipeline: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self._starter: Starter | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run it; a training that failed in passing has the task tried again."""
        from nightshift.experiment import job
        from nightshift.pipeline import Pipeline
        from nightshift.settings import Settings
        from nightshift_provider.dags.common import given_params
        from nightshift_provider.runners.experiments import starter

        del context
        with airflow_errors():
            given = given_params()
            settings = Settings.from_env()
            self._starter = starter(settings)
            asked = job.Request(
                given["name"],
                job.configured(given["experiment"]),
                given["last"],
                jobs=given["jobs"],
            )
            pipeline = Pipeline.load(settings, self.pipeline)
            found = job.run(pipeline, asked, self._starter, self.log.info)
            if found["again"]:
                raise RetryableError(
                    f"{found['again']} training(s) of {asked.name} failed in passing; the others "
                    f"are kept, and {found['report']} shows them"
                )
        rows = {row["id"]: row for row in found["rows"]}
        best = rows.get(found["best"])
        return {
            "report": found["report"],
            "configurations": len(rows),
            "best": None if best is None else best["name"],
            "test_auc": best["auc"]["mean"] if best and best["auc"] else None,
        }

    def on_kill(self) -> None:
        """Let it end: trainings are stopped and keep a checkpoint, the report shows what there is."""
        if self._starter is not None:
            self._starter.close()
