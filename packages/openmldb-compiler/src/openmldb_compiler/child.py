"""The compiler's own process: JSON requests on standard input, JSON answers on standard output.

Run as a script by ``process``, without site-packages: it imports the standard library and the
wheel's native module, whose folder is its one argument. That module can end the process with
SIGSEGV, and it writes to standard output and error as it likes.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
from typing import Any

IDLE_SECONDS = 300
"""Without a request for so long, the process ends and gives its memory back."""
MEMORY_BYTES = 6 * 2**30
"""Address space at most; the native library and its threads take about 1 GiB of it."""
_PAIR = 16
_NAME = 8
"""Bytes of a ``std::pair<std::string, enum>`` and of its (reference-counted) string."""


class Native:
    """The wheel's functions, over plain values.

    A catalog is ``{database: {table: [[column, type], ...]}}`` with OpenMLDB's type names.
    """

    def __init__(self, folder: str) -> None:
        sys.path.insert(0, folder)
        import sql_router_sdk as sdk

        self._sdk = sdk
        self._types = {
            sdk.DataTypeName(number): number
            for number in (
                sdk.kTypeBool,
                sdk.kTypeInt16,
                sdk.kTypeInt32,
                sdk.kTypeInt64,
                sdk.kTypeFloat,
                sdk.kTypeDouble,
                sdk.kTypeString,
                sdk.kTypeDate,
                sdk.kTypeTimestamp,
            )
        }

    def judge(self, given: dict[str, Any]) -> dict[str, Any]:
        """Whether a SELECT compiles, and in request mode its output columns."""
        sql, db, catalog = given["sql"], given["db"], self._databases(given["catalog"])
        if given["mode"] == "batch":
            return {"refused": list(self._sdk.ValidateSQLInBatch(sql, db, catalog))}
        schema = self._sdk.GenOutputSchema(sql, db, catalog)
        if schema is None:
            return {"refused": list(self._sdk.ValidateSQLInRequest(sql, db, catalog))}
        columns = [
            [schema.GetColumnName(i), self._sdk.DataTypeName(schema.GetColumnType(i))]
            for i in range(schema.GetColumnCnt())
        ]
        return {"refused": [], "columns": columns}

    def ddl(self, given: dict[str, Any]) -> dict[str, Any]:
        """CREATE TABLE statements with the indexes that a deployment needs."""
        (tables,) = given["catalog"].values()
        return {"statements": list(self._sdk.GenDDL(given["sql"], self._tables(tables)))}

    def dependent_tables(self, given: dict[str, Any]) -> dict[str, Any]:
        """The tables that a deployment reads."""
        catalog = self._databases(given["catalog"])
        found = self._sdk.GetDependentTables(given["sql"], given["db"], catalog)
        return {"tables": [list(found[i]) for i in range(len(found))]}

    def _databases(self, catalog: dict[str, dict[str, list[list[str]]]]) -> Any:
        found = self._sdk.DBTableColumnDescPairVector()
        for db, tables in catalog.items():
            found.append(self._sdk.DBTableColumnDescPair(db, self._tables(tables)))
        return found

    def _tables(self, tables: dict[str, list[list[str]]]) -> Any:
        found = self._sdk.TableColumnDescPairVector()
        for name, columns in tables.items():
            found.append(self._sdk.TableColumnDescPair(name, self._columns(columns)))
        return found

    def _columns(self, columns: list[list[str]]) -> Any:
        # SWIG has no conversion of the enum, so it can neither append nor assign a pair. The
        # pairs are made by resize(); each gets its string by a swap of the eight bytes that
        # are one, so that every string is still freed by whom it then belongs to.
        found = self._sdk.ColumnDescVector()
        found.resize(len(columns))
        begin = ctypes.c_void_p.from_address(int(found.this)).value or 0
        for place, (name, kind) in enumerate(columns):
            pair = self._sdk.ColumnDescPair()
            pair.first = name
            ours, theirs = int(pair.this), begin + place * _PAIR
            text = ctypes.string_at(ours, _NAME)
            ctypes.memmove(ours, theirs, _NAME)
            ctypes.memmove(theirs, text, _NAME)
            ctypes.c_int.from_address(theirs + _NAME).value = self._types[kind]
        return found


def serve(native: Native, reader: int, writer: int) -> None:
    """Answer requests, one a line, until the other side closes or nothing comes for long."""
    parent = os.getppid()
    waited = 0
    buffer = b""
    while True:
        if b"\n" not in buffer:
            if not select.select([reader], [], [], 5)[0]:
                waited += 5
                if waited >= IDLE_SECONDS or os.getppid() != parent:
                    return
                continue
            chunk = os.read(reader, 2**20)
            if not chunk:
                return
            buffer += chunk
            continue
        waited = 0
        line, _, buffer = buffer.partition(b"\n")
        given = json.loads(line)
        # Should the parent die meanwhile, a compilation without end still ends.
        signal.alarm(int(given["seconds"]) + 10)
        try:
            answer = getattr(native, given["call"])(given)
        except (AttributeError, ValueError, KeyError, TypeError, RuntimeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        signal.alarm(0)
        reply = json.dumps(answer).encode() + b"\n"
        while reply:
            reply = reply[os.write(writer, reply) :]


def main() -> None:
    """Keep the pipes for ourselves, give the native library nowhere to write, and serve."""
    # Ctrl-C in the parent's terminal is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    reader, writer = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    serve(Native(sys.argv[1]), reader, writer)


if __name__ == "__main__":
    main()
