"""One error tree; its two branches tell "try again" from "give up".

A message names the thing, the place and the fix. Airflow's operators retry a
`RetryableError` and fail the task at once on a `TerminalError`.
"""

from __future__ import annotations


class NightshiftError(Exception):
    """Root of every error that Nightshift raises on purpose."""


class RetryableError(NightshiftError):
    """The same call may succeed later: a service is down, a lock is held."""


class TerminalError(NightshiftError):
    """The same call fails again until a person changes something."""


class ServiceUnavailable(RetryableError):
    """A service did not answer, or answered that it cannot for now."""


class DeadlineExceeded(RetryableError):
    """Something did not end within its own deadline."""


class StatementTimeout(DeadlineExceeded):
    """OpenMLDB gave up waiting for a statement, which may go on: look it up before a resend."""


class JobLost(RetryableError):
    """An OpenMLDB job was cut off by something outside it, such as a server's restart."""


class LockHeld(RetryableError):
    """Another live process holds a lock that this one needs."""


class ConfigurationError(TerminalError):
    """A setting, a file of `include/` or a parameter is wrong."""


class DataError(TerminalError):
    """The data is not as the specification says."""


class PartitionMissing(DataError):
    """A date partition that the run needs is not there."""


class ContractError(TerminalError):
    """Two parts do not fit: a schema, a checksum or a version differs."""


class OpenMLDBError(TerminalError):
    """OpenMLDB refused a statement; carries its code."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class JobFailed(TerminalError):
    """An OpenMLDB job ended in a terminal state other than FINISHED."""


class TaskFailed(TerminalError):
    """A container task exited with a code that says trying again does not help."""


class ReleaseRejected(TerminalError):
    """A candidate did not pass a gate; the live release is unchanged."""


EXIT_TERMINAL = 64
"""Exit code of a task process for a `TerminalError` (EX_USAGE's neighbourhood in sysexits.h)."""

EXIT_RETRYABLE = 75
"""Exit code of a task process for a `RetryableError` (EX_TEMPFAIL in sysexits.h)."""
