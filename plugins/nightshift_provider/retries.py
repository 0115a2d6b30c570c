"""When Airflow tries again: what may pass, and not what fails the same way every time.

The error tree says which of Nightshift's own errors may pass. Of others, those that come of the
data, of arguments or of the code itself fail again: Arrow's are `ValueError`, `TypeError` and
`LookupError` by birth. An outage is an `OSError` of some kind, even where it is a `ValueError`
too, such as an answer that breaks off in mid-JSON.
"""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from nightshift.errors import RetryableError, TerminalError

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[RetryableError, OSError, MemoryError],
            action=RetryAction.RETRY,
            reason="the same call may succeed later",
        ),
        RetryRule(
            exception=[
                TerminalError,
                ValueError,
                TypeError,
                LookupError,
                AttributeError,
                NameError,
                ImportError,
                ArithmeticError,
                AssertionError,
                NotImplementedError,
                SyntaxError,
                RecursionError,
            ],
            action=RetryAction.FAIL,
            reason="trying again cannot help",
        ),
    ]
)
"""For `default_args`: an error that comes again fails its task at once."""
