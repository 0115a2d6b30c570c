"""What operators that follow work elsewhere have in common: where they wait, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf


class WaitingOperator(BaseOperator):
    """Base of operators that start work on a server and see it to its end.

    Args:
        deferrable: wait in the triggerer instead of on a worker; the default is the
            configuration's `operators.default_deferrable`.
        poll_interval_s: seconds between two looks.
        outage_s: seconds that the server may stay away during a wait.
        defer_after_s: seconds to wait on the worker before deferring, and that a deferral lasts at
            least. Short work is done sooner so, and Airflow takes a task that resumes within
            moments of its deferral for killed.
    """

    def __init__(
        self,
        *,
        deferrable: bool | None = None,
        poll_interval_s: float = 5.0,
        outage_s: float = 300.0,
        defer_after_s: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else deferrable
        )
        self.poll_interval_s = poll_interval_s
        self.outage_s = outage_s
        self.defer_after_s = defer_after_s
        self._killed = False

    def _time_limit(self, own_s: float) -> float:
        """Seconds that the work may take: the operator's own limit or Airflow's, if shorter.

        `execution_timeout` alone does not stop a deferred task.
        """
        if isinstance(self.execution_timeout, timedelta):
            return min(own_s, self.execution_timeout.total_seconds())
        return own_s
