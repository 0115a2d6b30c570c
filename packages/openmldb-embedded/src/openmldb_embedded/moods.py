"""A cluster's moods, for tests of clients: what goes wrong, and for how long.

Nothing here is for use outside tests. The environment variable ``OPENMLDB_EMBEDDED_MOODS``
chooses, as ``name=seconds`` separated by commas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from openmldb_sql.errors import SqlError

VARIABLE = "OPENMLDB_EMBEDDED_MOODS"


@dataclass(frozen=True)
class Moods:
    """What goes wrong; as it is, as on a cluster in good health.

    Attributes:
        index_seconds: How long an index of CREATE INDEX is not yet seen.
        deploy_seconds: How long DEPLOY takes for each index that it adds.
        failed_seconds: How long a job that has failed is shown as FINISHED.
    """

    index_seconds: float = 0.5
    deploy_seconds: float = 0.0
    failed_seconds: float = 0.5

    @classmethod
    def of(cls, text: str) -> Moods:
        """The moods that a text chooses: ``deploy_seconds=6, failed_seconds=2``.

        Raises:
            SqlError: It names none of them, or no number of seconds.
        """
        known = [field.name for field in fields(cls)]
        chosen: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            try:
                seconds = float(value)
            except ValueError:
                seconds = math.nan
            if name.strip() not in known or not 0 <= seconds < math.inf:
                raise SqlError(f"{VARIABLE}: {part!r} is not name=seconds, of {', '.join(known)}")
            chosen[name.strip()] = seconds
        return cls(**chosen)
