"""Operators whose SQL is made from their other fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nightshift.errors import ConfigurationError
from nightshift.openmldb import quote_literal, split_script
from nightshift_provider.durable import airflow_errors
from nightshift_provider.operators.openmldb.base import OpenMLDBOperator

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk.definitions.context import Context

Option = str | int | float | bool
"""A value in OPTIONS(...)."""


class BuiltSQLOperator(OpenMLDBOperator):
    """An operator whose SQL is made from its other fields, and shown as rendered template."""

    # A mapped task's fields are rendered by its mapped operator: there the SQL is shown at the end.
    overwrite_rtif_after_execution = True

    def render_template_fields(
        self, context: Context, jinja_env: jinja2.Environment | None = None
    ) -> None:
        """Render the fields, then make the SQL of them."""
        super().render_template_fields(context, jinja_env)
        with airflow_errors():
            self.sql = self.build_sql()

    def build_sql(self) -> str:
        """The statement, from rendered fields."""
        raise NotImplementedError

    def statements(self) -> list[str]:
        """The one statement."""
        self.sql = self.build_sql()
        return [self.sql]


def render_options(options: Mapping[str, Option]) -> str:
    """OPTIONS(...) of a statement: text quoted, booleans and numbers bare.

    Raises:
        ConfigurationError: an option's name is not a word.
    """
    parts = []
    for name, value in options.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigurationError(f"{name!r} is not a name of an option")
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int | float):
            text = str(value)
        else:
            text = quote_literal(str(value))
        parts.append(f"{name}={text}")
    return f"OPTIONS({', '.join(parts)})"


def one_statement(sql: str, task_id: str) -> str:
    """The one statement of `sql`, without comments around it and without its semicolon.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    statements = split_script(sql)
    if len(statements) != 1:
        raise ConfigurationError(
            f"the select of task {task_id} must be one statement; it has {len(statements)}"
        )
    return statements[0]
