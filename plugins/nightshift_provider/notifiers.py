"""Airflow's notifiers of pipelines and of upkeep: they pass what failed on to `nightshift.watch`.

Callbacks of a task run in its process, those of a DAG in the DAG processor. Neither may fail for
want of a mail server: what cannot be sent is kept and sent by the DAG `nightshift_watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

    from nightshift.pipeline import Pipeline


class _OfPipeline(BaseNotifier):
    """A notifier that knows its pipeline by name, so that a DAG stays cheap to read."""

    def __init__(self, pipeline: str) -> None:
        super().__init__()
        self.pipeline = pipeline

    def notify(self, context: Context) -> None:
        """Do it; an error is logged."""
        from nightshift.pipeline import Pipeline
        from nightshift.settings import Settings

        try:
            self.tell(Pipeline.load(Settings.from_env(), self.pipeline), context)
        except Exception as error:
            self.log.error("the failure could not be told: %s", error)

    def tell(self, pipeline: Pipeline, context: Any) -> None:
        """What it does."""
        raise NotImplementedError


class TaskFailureNotifier(_OfPipeline):
    """Keeps what a task died of, for the message of its night."""

    def tell(self, pipeline: Pipeline, context: Any) -> None:
        """Keep it."""
        from nightshift import watch

        error = context.get("exception")
        if error is not None:
            ti = context["ti"]
            watch.note_failure(pipeline, ti.run_id, ti.task_id, str(error) or type(error).__name__)


class RunFailureNotifier(_OfPipeline):
    """Tells that a run failed, and why; a night that wrote down its end is told once."""

    def tell(self, pipeline: Pipeline, context: Any) -> None:
        """Tell it."""
        from nightshift import watch

        run = context["dag_run"]
        ti = context.get("ti") or context.get("task_instance")
        ds = (getattr(run, "conf", None) or {}).get("ds") or getattr(run, "partition_key", None)
        watch.tell_failed_run(
            pipeline,
            run_id=run.run_id,
            ds=str(ds or "an unknown date"),
            failed=[ti.task_id] if ti is not None else [],
            error=str(context.get("reason") or ""),
        )


class UpkeepNotifier(BaseNotifier):
    """Tells once that upkeep fails, and notes that it works again; for its tasks and its run."""

    def __init__(self, *, failed: bool) -> None:
        super().__init__()
        self.failed = failed

    def notify(self, context: Context) -> None:
        """Do it; an error is logged."""
        from nightshift import watch
        from nightshift.settings import Settings

        try:
            # A run's callbacks may be given one of its tasks, but no error of it.
            reason = context.get("reason")
            ti = None if reason else context.get("ti") or context.get("task_instance")
            task = watch.RUN if ti is None else ti.task_id
            if not self.failed:
                watch.upkeep_worked(Settings.from_env(), task)
                return
            error = context.get("exception") or reason or ""
            watch.upkeep_failed(
                Settings.from_env(), task, str(error) or type(error).__name__ if error else ""
            )
        except Exception as error:
            self.log.error("what became of upkeep could not be told: %s", error)
