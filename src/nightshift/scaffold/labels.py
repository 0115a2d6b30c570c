"""How many requests have the label, and how long it takes, from the files."""

from __future__ import annotations

import math
from pathlib import Path

from nightshift.scaffold import survey
from nightshift.scaffold.roles import Roles
from nightshift.scaffold.survey import Table

_SETTLED = 0.95
"""Share of the labels that are there once a day counts as settled."""
_MOST_SETTLE_DAYS = 90
_SAME_DAY = 0.1
"""Of a day: a label that takes less is not waited for, though midnight may come between."""


def positives(roles: Roles) -> int | None:
    """Requests with the label, about; None where it cannot be told."""
    labels = roles.labels
    if roles.label is None:
        return labels.rows
    ones = labels.column(roles.label).ones
    return None if ones is None else round(ones * labels.rows / max(1, labels.seen))


def settle_days(folder: Path, roles: Roles) -> int:
    """Days after a request within which most of the labels come; 0 where they have no time.

    Args:
        folder: with a folder for each table.
        roles: the tables.
    """
    if roles.label_time is None or roles.label_from is not None:
        return 0
    import pandas as pd

    def read(table: Table, key: str, time: str) -> pd.DataFrame:
        found = survey.read(folder, table, [key, time]).to_pandas().tail(survey.MOST_ROWS)
        times = pd.to_datetime(found[time], utc=True)
        return pd.DataFrame({"key": found[key], "time": times}).dropna()

    asked = read(roles.requests, roles.request_id, roles.request_time)
    known = read(roles.labels, roles.label_key, roles.label_time)
    both = asked.merge(known, on="key")
    took = (both["time_y"] - both["time_x"]).dt.total_seconds() / 86_400
    took = took[took > 0]
    if took.empty:
        return 0
    days = math.floor(float(took.quantile(_SETTLED)) + 1 - _SAME_DAY)
    span = int((asked["time"].max() - asked["time"].min()).days)
    return max(0, min(days, _MOST_SETTLE_DAYS, span // 3))
