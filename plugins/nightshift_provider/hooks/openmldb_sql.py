"""OpenMLDB for Airflow's common.sql: check operators, `get_df`, SQLAlchemy engines.

The connection type names this hook; OpenMLDB's own operators use its lighter parent, so that
parsing a DAG does not import common.sql.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy.engine import URL

from nightshift_provider.hooks.openmldb import DEFAULT_PORT, Endpoint, OpenMLDBHook
from nightshift_provider.sql import dbapi, dialect


class OpenMLDBSQLHook(DbApiHook):
    """DB-API over an `openmldb` connection.

    Args:
        database: default database; the connection's if not given.
        mode: `online` or `offline`.
    """

    conn_name_attr = OpenMLDBHook.conn_name_attr
    default_conn_name = OpenMLDBHook.default_conn_name
    conn_type = OpenMLDBHook.conn_type
    hook_name = OpenMLDBHook.hook_name
    placeholder = "%s"
    supports_autocommit = False
    supports_executemany = False

    def __init__(
        self, *args: Any, database: str | None = None, mode: str = "online", **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        self.database = database
        self.mode = mode

    @property
    def endpoint(self) -> Endpoint:
        """Where the connection leads."""
        return Endpoint.of(self.get_connection(self.get_conn_id()))

    def get_conn(self) -> dbapi.Connection:
        """A new PEP 249 connection."""
        endpoint = self.endpoint
        return dbapi.Connection(
            endpoint.client(), self.database or endpoint.database or "", self._mode(), 3600.0
        )

    def _mode(self) -> Any:
        return self.mode

    @property
    def sqlalchemy_url(self) -> URL:
        """`openmldb+http://host:port/database`."""
        dialect.register()
        connection = self.get_connection(self.get_conn_id())
        return URL.create(
            "openmldb+http",
            host=connection.host,
            port=connection.port or DEFAULT_PORT,
            database=self.database or connection.schema,
            query={"mode": self.mode},
        )

    def get_uri(self) -> str:
        """The URL as text."""
        return self.sqlalchemy_url.render_as_string(hide_password=False)

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]
        """Answer the connection form's Test button."""
        return OpenMLDBHook(self.get_conn_id()).test_connection()
