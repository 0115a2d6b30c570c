"""What tests of OpenMLDB's operators share."""

from __future__ import annotations

from nightshift.openmldb import Job, OpenMLDBClient

FAST = "poll_interval_s=0.2, settle_s=0.8"
"""Arguments of an operator that looks often."""


def jobs_of(api: OpenMLDBClient, text: str) -> list[Job]:
    """The server's jobs whose statement holds a text."""
    return [job for job in api.jobs() if text in job.parameter]
