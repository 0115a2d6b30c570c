"""The wait for somebody else's job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nightshift.errors import ConfigurationError
from nightshift.openmldb import JobState
from nightshift_provider.durable import Notes, airflow_errors, digest
from nightshift_provider.operators.openmldb.base import OpenMLDBOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


class OpenMLDBJobSensor(OpenMLDBOperator):
    """Wait for a job given by its id; the job is somebody else's and is never stopped.

    Returns as XCom `{"job_id": int, "state": "FINISHED"}`.

    Args:
        job_id: OpenMLDB's id; templated.
    """

    template_fields: Sequence[str] = ("openmldb_conn_id", "job_id")

    def __init__(self, *, job_id: int | str, database: str = "", **kwargs: Any) -> None:
        super().__init__(database=database, **kwargs)
        self.job_id = job_id

    def execute(self, context: Context) -> Any:
        """Wait until the job is final."""
        with airflow_errors():
            try:
                job_id = int(str(self.job_id))
            except ValueError:
                raise ConfigurationError(
                    f"job_id of task {self.task_id} is {self.job_id!r}; it must be a number"
                ) from None
            job = self.hook.client.job(job_id)
            self._announce(context, job_id, job.parameter)
            notes = Notes(context, "openmldb", digest("sensor", str(job_id)))
            if "deadline" not in notes.values:
                notes.write(deadline=self._deadline())
            self._wait(job, float(notes.values["deadline"]), stop_on_kill=False)
            return {"job_id": job_id, "state": JobState.FINISHED.value}

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on after the trigger's event."""
        with airflow_errors():
            self._judge_event(event)
            return {"job_id": int(event["job_id"]), "state": JobState.FINISHED.value}

    def _owns_job(self) -> bool:
        return False
