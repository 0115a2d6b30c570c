"""DEPLOY under a name of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from openmldb_sql.pretty import pretty

from nightshift.errors import ContractError, RetryableError
from nightshift.openmldb import Mode, ResultSet, normalise_sql
from nightshift.openmldb import deployments as online
from nightshift_provider.operators.openmldb.base import ExecuteMode, OpenMLDBOperator
from nightshift_provider.operators.openmldb.built import (
    BuiltSQLOperator,
    Option,
    one_statement,
    render_options,
)


class OpenMLDBDeployOperator(BuiltSQLOperator):
    """DEPLOY a query under a name that belongs to it alone.

    OpenMLDB has no OR REPLACE and drop-then-deploy fails requests in between: a name that exists
    with the same SQL is a success, with another SQL an error. Returns as XCom `{"name": str,
    "created": bool}`.

    Args:
        name: the deployment; templated.
        select: one SELECT; templated, `.sql` files are read.
        options: OPTIONS of DEPLOY; by default those of `nightshift.openmldb.deployments.SERVING`.
    """

    template_fields: Sequence[str] = (
        *OpenMLDBOperator.template_fields,
        "name",
        "select",
        "options",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "select": "sql"}
    operator_extra_links = ()

    def __init__(
        self,
        *,
        name: str,
        select: str,
        options: Mapping[str, Option] | None = None,
        mode: ExecuteMode | Mode = "online",
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, **kwargs)
        self.name = name
        self.select = select
        self.options = options
        self._created = False

    def build_sql(self) -> str:
        """DEPLOY name OPTIONS(...) SELECT ..."""
        options = {**online.SERVING, **(self.options or {})}
        return (
            f"DEPLOY {self.name} {render_options(options)}\n"
            f"{one_statement(self.select, self.task_id)}"
        )

    def before(self, index: int, sql: str) -> bool:
        """Leave out a deployment that is there with the same SQL.

        Raises:
            ContractError: the name is taken by another query.
        """
        client = self.hook.client
        if self.name not in client.deployments(self.database):
            self._created = True
            return True
        there = client.deployment_text(self.database, self.name)
        if _squeeze(pretty(normalise_sql(self.select))) not in _squeeze(there):
            raise ContractError(
                f"deployment {self.database}.{self.name} exists with another query; requests use "
                "it, so it is not replaced: deploy under another name"
            )
        self.log.info("%s.%s is deployed already, same query", self.database, self.name)
        client.refresh()  # an earlier try may have made it a moment ago
        return False

    def run(self, sql: str) -> ResultSet | None:
        """DEPLOY, once: other index jobs are waited for, a lost answer is looked up."""
        online.deploy(self.hook.client, self.database, self.name, sql)
        return None

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """The name, and whether this task made it."""
        if self.name not in self.hook.client.deployments(self.database):
            raise RetryableError(
                f"DEPLOY {self.name} was accepted, yet SHOW DEPLOYMENTS in {self.database} does "
                "not list it"
            )
        return {"name": self.name, "created": self._created}


def _squeeze(sql: str) -> str:
    """Without white space and backquotes, which lay the text out in a grid."""
    return re.sub(r"[\s`]+", "", sql).lower()
