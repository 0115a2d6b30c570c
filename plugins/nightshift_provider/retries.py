"""When Airflow tries again: what the error tree calls retryable, and not what it calls terminal."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from nightshift.errors import TerminalError

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=TerminalError,
            action=RetryAction.FAIL,
            reason="trying again cannot help",
        )
    ]
)
"""For `default_args`: a `TerminalError` fails its task at once."""
