"""SELECT ... INTO OUTFILE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from nightshift.openmldb import ResultSet, quote_literal
from nightshift_provider.operators.openmldb.base import OpenMLDBOperator
from nightshift_provider.operators.openmldb.built import (
    BuiltSQLOperator,
    Option,
    one_statement,
    render_options,
)


class OpenMLDBSelectIntoOperator(BuiltSQLOperator):
    """SELECT ... INTO OUTFILE; the select comes from a `.sql` file or a text.

    Returns as XCom `{"job_id": int, "path": str}`.

    Args:
        select: one SELECT, without INTO; templated, `.sql` files are read.
        path: target folder, unique to the run: by it a lost job is found again.
        options: further OPTIONS; `format` is parquet and `mode` is overwrite by default, so that
            a later try replaces what a failed one left.
    """

    template_fields: Sequence[str] = (
        *OpenMLDBOperator.template_fields,
        "select",
        "path",
        "options",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "select": "sql"}

    def __init__(
        self,
        *,
        select: str,
        path: str,
        options: Mapping[str, Option] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.select = select
        self.path = path
        self.options = options

    def build_sql(self) -> str:
        """SELECT ... INTO OUTFILE '...' OPTIONS(...)."""
        options = {"format": "parquet", "mode": "overwrite", **(self.options or {})}
        return (
            f"{one_statement(self.select, self.task_id)}\n"
            f"INTO OUTFILE {quote_literal(self.path)} {render_options(options)}"
        )

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """Where the rows are."""
        return {"job_id": job_ids[-1], "path": self.path}
