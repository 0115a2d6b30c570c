"""One statement against a pipeline's OpenMLDB, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from cli.console import table
from nightshift.errors import ConfigurationError
from nightshift.openmldb import OpenMLDBClient, split_script
from nightshift.pipeline import Pipeline
from nightshift.release.online import of_live


def run(pipeline: Pipeline, text: str, mode: str, form: str) -> str:
    """Run one statement in the database that serves.

    Args:
        pipeline: whose database.
        text: the statement.
        mode: `online` or `offline`.
        form: `table`, `csv` or `json`.

    Raises:
        ConfigurationError: there is not exactly one statement.
        OpenMLDBError: the server refused it.
        ServiceUnavailable: the server does not answer.
    """
    statements = split_script(text)
    if len(statements) != 1:
        raise ConfigurationError(f"give one statement; there are {len(statements)}")
    with OpenMLDBClient.of(pipeline.settings, timeout_s=600.0) as client:
        found = client.execute(
            of_live(pipeline).database, statements[0], "onsync" if mode == "online" else "offsync"
        )
    if found is None:
        return "done" if form == "table" else ""
    # The protocol gives types, no names.
    names = [f"{at} {kind}" for at, kind in enumerate(found.schema, start=1)]
    if form == "json":
        rows = [dict(zip(names, row, strict=True)) for row in found.rows]
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(found.rows)
        return out.getvalue().rstrip("\n")
    return table(names, [[_cell(value) for value in row] for row in found.rows])


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value)
