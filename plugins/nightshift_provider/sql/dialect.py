"""SQLAlchemy over the API server: `openmldb+http://host:port/database?mode=online`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Connection
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import GenericTypeCompiler, IdentifierPreparer

_TYPES: dict[str, type[types.TypeEngine[Any]]] = {
    "Bool": types.Boolean,
    "Int16": types.SmallInteger,
    "Int32": types.Integer,
    "Int64": types.BigInteger,
    "Float": types.Float,
    "Double": types.Double,
    "String": types.String,
    "Date": types.Date,
    "Timestamp": types.TIMESTAMP,
}


class _Preparer(IdentifierPreparer):
    def __init__(self, dialect: Any) -> None:
        super().__init__(dialect, initial_quote="`", final_quote="`")

    def _requires_quotes(self, value: str) -> bool:
        # Names are case-sensitive on the server, and quoting does no harm.
        return True


class _TypeCompiler(GenericTypeCompiler):
    def visit_string(self, type_: Any, **kw: Any) -> str:
        return "STRING"

    visit_VARCHAR = visit_TEXT = visit_text = visit_unicode = visit_string  # noqa: N815

    def visit_datetime(self, type_: Any, **kw: Any) -> str:
        return "TIMESTAMP"

    visit_DATETIME = visit_datetime  # noqa: N815

    def visit_boolean(self, type_: Any, **kw: Any) -> str:
        return "BOOL"

    visit_BOOLEAN = visit_boolean  # noqa: N815


class OpenMLDBHTTPDialect(DefaultDialect):
    """What SQLAlchemy must know of OpenMLDB behind its API server."""

    name = "openmldb"
    driver = "http"
    default_paramstyle = "pyformat"
    supports_statement_cache = True
    supports_native_boolean = True
    supports_alter = False
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False
    supports_default_values = False
    postfetch_lastrowid = False
    preparer: type[IdentifierPreparer] = _Preparer
    type_compiler_cls = _TypeCompiler

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The DB-API module."""
        from nightshift_provider.sql import dbapi

        return dbapi

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """URL to arguments of `dbapi.connect`."""
        options: dict[str, Any] = {"host": url.host or "127.0.0.1", "port": url.port or 9080}
        options["database"] = url.database or ""
        if url.password:
            options["login"], options["password"] = url.username or "", str(url.password)
        for name, kind in (("mode", str), ("timeout_s", float), ("job_timeout_s", float)):
            if name in url.query:
                options[name] = kind(str(url.query[name]))
        return [], options

    def do_ping(self, dbapi_connection: Any) -> bool:
        """GET /health."""
        dbapi_connection.client.health()
        return True

    def _get_server_version_info(self, connection: Any) -> None:
        return None

    def _get_default_schema_name(self, connection: Connection) -> str:
        return str(_raw(connection).database)

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        """Databases."""
        return list(_raw(connection).client.databases())

    def get_table_names(
        self, connection: Connection, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """Tables of a database."""
        raw = _raw(connection)
        return list(raw.client.tables(schema or raw.database))

    def get_view_names(
        self, connection: Connection, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """OpenMLDB's views are not listed by the API server."""
        return []

    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        """Whether a table is there."""
        return table_name in self.get_table_names(connection, schema)

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """Names and types of a table's columns."""
        raw = _raw(connection)
        return [
            {"name": name, "type": _TYPES[kind](), "nullable": True, "default": None}
            for name, kind in raw.client.columns(schema or raw.database, table_name)
        ]

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """None: OpenMLDB has no keys of that kind."""
        return {"constrained_columns": [], "name": None}

    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """None."""
        return []

    def get_indexes(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """None of SQLAlchemy's kind: OpenMLDB's are part of CREATE TABLE."""
        return []


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def register() -> None:
    """Make `create_engine("openmldb+http://...")` work without an installed entry point."""
    registry.register(
        "openmldb.http", "nightshift_provider.sql.dialect", OpenMLDBHTTPDialect.__name__
    )


register()
