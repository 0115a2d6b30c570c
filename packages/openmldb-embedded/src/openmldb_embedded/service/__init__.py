"""Statements to effects: each mode's rules, over the store, the engine and the jobs.

The modes are the API server's: ``online`` and ``onsync`` work on the tables in memory, ``offsync``
and ``offasync`` on the offline data; loads and exports are jobs in every mode, and a synchronous
mode waits for the job's end before it answers with the job's row.
"""

from openmldb_embedded.service.call import Mode, Reply, Settings
from openmldb_embedded.service.deployments import Runtime
from openmldb_embedded.service.service import Service, as_error

__all__ = ["Mode", "Reply", "Runtime", "Service", "Settings", "as_error"]
