"""A cluster's moods, for tests of clients: what goes wrong, and for how long.

Nothing here is for use outside tests. ``MOODS`` names them; the environment variable
``OPENMLDB_EMBEDDED_MOODS`` (or ``--moods``) chooses some, as ``name`` or ``name=value``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moods:
    """What goes wrong; as it is, nothing.

    Attributes:
        index_seconds: How long an index of CREATE INDEX is not yet seen.
        deploy_seconds: How long DEPLOY takes for each index that it adds.
        failed_seconds: How long a job that has failed is shown as FINISHED.
    """

    index_seconds: float = 0.5
    deploy_seconds: float = 0.0
    failed_seconds: float = 0.5
