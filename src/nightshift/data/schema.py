"""What makes a database of online tables another one: columns, types, indexes, times to live."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from openmldb_sql import statements
from openmldb_sql.errors import SqlError

from nightshift.errors import ConfigurationError


def tables_hash(script: str, source: str = "create_tables.sql") -> str:
    """Hex SHA-256 of the tables that a script makes; layout, comments and order do not count.

    Args:
        script: CREATE TABLE statements.
        source: the script's file, named in messages.

    Raises:
        ConfigurationError: a statement is not OpenMLDB's.
    """
    try:
        made = [statements.parse(text) for text in statements.split(script)]
    except SqlError as error:
        raise ConfigurationError(f"{source}: {getattr(error, 'reason', error)}") from error
    tables = sorted(
        (one.table.name, repr(asdict(one.schema)))
        for one in made
        if isinstance(one, statements.CreateTable)
    )
    return hashlib.sha256(repr(tables).encode()).hexdigest()
