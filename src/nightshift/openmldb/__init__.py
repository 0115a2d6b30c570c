"""Clients of OpenMLDB: statements, jobs and deployments over the API server's HTTP protocol.

`OpenMLDBClient` (blocking) and `AsyncOpenMLDBClient` share every request and every parser
(`protocol`); a client only carries them. `AbstractClient` is the seam behind which another
transport (OpenMLDB's own SDK over ZooKeeper) offers the same statements and jobs.
"""

from nightshift.openmldb.aio import AsyncOpenMLDBClient
from nightshift.openmldb.client import AbstractClient, OpenMLDBClient
from nightshift.openmldb.jobs import JOB_COLUMNS, Job, JobState, JobWatch, job_error, tail
from nightshift.openmldb.protocol import (
    ASYNCHRONOUS_MODES,
    SYSTEM_DATABASE,
    DeploymentInfo,
    Mode,
    Operation,
    Request,
    ResultSet,
    is_job,
    submitted_job,
)
from nightshift.openmldb.text import (
    first_words,
    load_data,
    normalise_sql,
    quote_literal,
    quote_name,
    split_script,
)
from nightshift.openmldb.wire import basic_authorisation

__all__ = [
    "ASYNCHRONOUS_MODES",
    "JOB_COLUMNS",
    "SYSTEM_DATABASE",
    "AbstractClient",
    "AsyncOpenMLDBClient",
    "DeploymentInfo",
    "Job",
    "JobState",
    "JobWatch",
    "Mode",
    "OpenMLDBClient",
    "Operation",
    "Request",
    "ResultSet",
    "basic_authorisation",
    "first_words",
    "is_job",
    "job_error",
    "load_data",
    "normalise_sql",
    "quote_literal",
    "quote_name",
    "split_script",
    "submitted_job",
    "tail",
]
