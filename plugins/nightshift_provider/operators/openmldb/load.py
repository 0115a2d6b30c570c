"""LOAD DATA, done once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nightshift.errors import ConfigurationError, ContractError, RetryableError
from nightshift.openmldb import Job, ResultSet, first_words, quote_literal
from nightshift.openmldb.health import delete, settled
from nightshift_provider.operators.openmldb.base import OpenMLDBOperator
from nightshift_provider.operators.openmldb.built import BuiltSQLOperator, Option, render_options


class OpenMLDBLoadDataOperator(BuiltSQLOperator):
    """LOAD DATA of files into a table.

    Loading online appends, so a second load would double the rows. With `expect_rows` and
    `count_sql` the operator counts first: all rows there: nothing to do; none: load; some (a load
    that was cut off): `delete_sql`, then load. After the load it counts again. A count is believed where the
    table's status is good and two readings agree.

    Returns as XCom `{"job_id": int | None, "found": int | None, "rows": int | None,
    "action": "loaded" | "skipped" | "reloaded"}`.

    Args:
        table: target table.
        path: file, folder or glob, as the job's host sees it.
        options: further OPTIONS of LOAD DATA; `format` is parquet, `mode` is overwrite offline
            and append online unless told otherwise.
        expect_rows: rows that `count_sql` gives when the load is complete; templated.
        count_sql: SELECT of one number: how many of these rows the online table holds.
        delete_sql: DELETE (or TRUNCATE TABLE) that removes exactly what `count_sql` counts.
    """

    template_fields: Sequence[str] = (
        *OpenMLDBOperator.template_fields,
        "table",
        "path",
        "options",
        "expect_rows",
        "count_sql",
        "delete_sql",
    )

    def __init__(
        self,
        *,
        table: str,
        path: str,
        options: Mapping[str, Option] | None = None,
        expect_rows: int | str | None = None,
        count_sql: str | None = None,
        delete_sql: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (expect_rows is None) != (count_sql is None):
            raise ValueError("expect_rows and count_sql are given together or not at all")
        self.table = table
        self.path = path
        self.options = options
        self.expect_rows = expect_rows
        self.count_sql = count_sql
        self.delete_sql = delete_sql
        self._found: int | None = None
        self._action = "loaded"

    def build_sql(self) -> str:
        """LOAD DATA INFILE ... INTO TABLE ... OPTIONS(...)."""
        options = {
            "format": "parquet",
            "mode": "overwrite" if self.mode == "offline" else "append",
            **(self.options or {}),
        }
        return (
            f"LOAD DATA INFILE {quote_literal(self.path)} INTO TABLE {self.table} "
            f"{render_options(options)}"
        )

    def before(self, index: int, sql: str) -> bool:
        """Reconcile what the table holds with what the files hold."""
        if self.count_sql is None:
            return True
        expected = self._expected()
        self._found = found = self._count()
        if found == expected:
            self.log.info("%s holds all %d rows already; nothing to load", self.table, found)
            self._action = "skipped"
            return False
        if found == 0:
            self.log.info("%s holds none of the %d rows", self.table, expected)
            return True
        if self.delete_sql is None:
            raise ContractError(
                f"table {self.table} holds {found} of {expected} rows of {self.path}: a load was "
                "cut off, or other rows are counted; remove them, or give the task a delete_sql"
            )
        self.log.warning(
            "%s holds %d of %d rows: they are deleted and loaded anew", self.table, found, expected
        )
        delete(self.hook.client, self.database, self.delete_sql, self._count)
        left = self._count()
        if left:
            raise RetryableError(
                f"{first_words(self.delete_sql)!r} left {left} rows in {self.table}; "
                "loading now would double them"
            )
        self._action = "reloaded"
        return True

    def _job_failed(self, job: Job) -> None:
        # A load was reported failed and had succeeded (OpenMLDB issue #2793): the rows decide.
        if self.count_sql is not None and self._count() == self._expected():
            self.log.warning(
                "Job %d is %s (%s), yet all %d rows are in %s: taken as loaded",
                job.job_id,
                job.state.value,
                job.error,
                self._expected(),
                self.table,
            )
            return
        super()._job_failed(job)

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """Count again and say what was done."""
        rows = None
        if self.count_sql is not None:
            rows = self._count()
            if rows != self._expected():
                raise RetryableError(
                    f"after the load {self.table} holds {rows} rows of {self.path} instead of "
                    f"{self._expected()}"
                )
        return {
            "job_id": job_ids[-1] if job_ids else None,
            "found": self._found,
            "rows": rows,
            "action": self._action,
        }

    def _expected(self) -> int:
        try:
            return int(str(self.expect_rows))
        except ValueError:
            raise ConfigurationError(
                f"expect_rows of task {self.task_id} is {self.expect_rows!r}; it must be a number"
            ) from None

    def _count(self) -> int:
        if self.count_sql is None:
            raise ConfigurationError(f"task {self.task_id} has no count_sql")
        client, sql = self.hook.client, self.count_sql

        def read() -> int:
            result = client.execute(self.database, sql, "onsync")
            try:
                return int(result.rows[0][0]) if result is not None and result.rows else 0
            except (TypeError, ValueError, IndexError) as error:
                raise ContractError(
                    f"count_sql of task {self.task_id} gave {result!r} instead of one number"
                ) from error

        # While a tablet loads its tables a cluster counts a part, without an error.
        database, _, table = self.table.replace("`", "").rpartition(".")
        return settled(client, database or self.database, table, read)
