"""A script, one statement a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nightshift_provider.operators.openmldb.base import OpenMLDBOperator


class OpenMLDBSQLOperator(OpenMLDBOperator):
    """Run a script, one statement a call, and follow the job of each LOAD and INTO OUTFILE.

    Returns as XCom `{"job_ids": [int], "rows": [...], "row_count": int}`; the rows are the last
    statement's, at most 100. A later try leaves out the statements that had ended.

    Args:
        sql: a script, a list of statements, or the name of a `.sql` file; templated.
    """

    def __init__(self, *, sql: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(sql=sql, **kwargs)
