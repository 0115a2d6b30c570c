"""Typed questions to OpenMLDB's compiler."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import Schema, SqlType

from openmldb_compiler.errors import CompilerCrashed, CompilerError, CompilerTimeout
from openmldb_compiler.process import Process

Mode: TypeAlias = Literal["batch", "request"]
"""``batch``: over whole tables; ``request``: as a deployment."""

Tables: TypeAlias = Mapping[str, Schema]
"""Tables by name, ``table`` in the default database or ``database.table``."""

SECONDS = 60.0
"""A compilation's time; small statements take milliseconds, 42 features over 5 tables 0.4 s."""
KEPT = 1024
"""Verdicts kept."""


class Outcome(Enum):
    """What became of a statement."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Verdict:
    """What OpenMLDB says of a SELECT.

    Attributes:
        outcome: Accepted, refused, or the compiler itself did not survive it.
        message: Why not, in OpenMLDB's words; empty where it is accepted, or where only the trace
            says why not.
        trace: The places in OpenMLDB's source that the refusal came from, outermost last.
        columns: Name and type of each output column. None in batch mode (the compiler does not
            say), and where a type is none of the scalar ones.
    """

    outcome: Outcome
    message: str = ""
    trace: str = ""
    columns: tuple[tuple[str, SqlType], ...] | None = None

    @property
    def accepted(self) -> bool:
        """Whether it compiles."""
        return self.outcome is Outcome.ACCEPTED


class Compiler:
    """OpenMLDB's compiler in a process of its own; thread-safe.

    Args:
        seconds: What one question may take.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process = Process()
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], Verdict] = OrderedDict()

    def judge(self, select_sql: str, database: str, tables: Tables, mode: Mode) -> Verdict:
        """Whether a SELECT compiles. Verdicts are remembered by text and catalog.

        Args:
            select_sql: One SELECT, without DEPLOY, INTO OUTFILE or CONFIG around it.
            database: The database of names without one.
            tables: What there is.
            mode: Over whole tables, or as a deployment.

        Raises:
            CompilerUnavailable: The compiler is not on this machine.
        """
        catalog = _catalog(database, tables)
        key = (select_sql, database, _frozen(catalog), mode)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        given = {"sql": select_sql, "db": database, "catalog": catalog, "mode": mode}
        try:
            verdict = _verdict(self._process.ask("judge", given, self._seconds))
        except CompilerCrashed as death:
            verdict = Verdict(
                Outcome.CRASHED, f"OpenMLDB's compiler dies over this statement ({death})"
            )
        except CompilerTimeout as error:
            return Verdict(
                Outcome.TIMED_OUT, str(error)
            )  # not remembered: a busy machine is not a fact
        with self._lock:
            self._known[key] = verdict
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return verdict

    def ddl(self, select_sql: str, tables: Mapping[str, Schema]) -> list[str]:
        """CREATE TABLE of each table, with the indexes and TTLs that a deployment needs.

        The compiler gives no reason where the SELECT does not compile as a deployment: it gives
        the tables without indexes then, so ``judge`` first. Names must be without a database.

        Raises:
            CompilerError: No answer: unavailable, crashed or out of time.
        """
        given = {"sql": select_sql, "catalog": _catalog("", tables)}
        found: list[str] = self._process.ask("ddl", given, self._seconds)["statements"]
        return found

    def dependent_tables(
        self, select_sql: str, database: str, tables: Tables
    ) -> list[tuple[str, str]]:
        """(database, table) of what a deployment reads; empty where it does not compile as one.

        Raises:
            CompilerError: No answer: unavailable, crashed or out of time.
        """
        given = {"sql": select_sql, "db": database, "catalog": _catalog(database, tables)}
        found = self._process.ask("dependent_tables", given, self._seconds)["tables"]
        return [(db, name) for db, name in found]

    def close(self) -> None:
        """End the compiler's process; a later question starts another."""
        self._process.close()


def _catalog(database: str, tables: Tables) -> dict[str, dict[str, list[list[str]]]]:
    found: dict[str, dict[str, list[list[str]]]] = {database: {}}
    for name, schema in tables.items():
        db, dot, plain = name.partition(".")
        columns = [[c.name, c.type.lower_name] for c in schema.columns]
        found.setdefault(db if dot else database, {})[plain if dot else name] = columns
    return found


def _frozen(catalog: dict[str, dict[str, list[list[str]]]]) -> tuple[Any, ...]:
    return tuple(
        (db, name, *((c, t) for c, t in columns))
        for db, tables in sorted(catalog.items())
        for name, columns in sorted(tables.items())
    )


def _verdict(answer: dict[str, Any]) -> Verdict:
    if answer["refused"]:
        message, trace = (*answer["refused"], "")[:2]
        return Verdict(Outcome.REFUSED, message.strip(), trace.strip())
    columns: tuple[tuple[str, SqlType], ...] | None = None
    if answer.get("columns") is not None:
        try:
            columns = tuple((n, SqlType.from_sql_name(t)) for n, t in answer["columns"])
        except TypeCheckError:
            columns = None
    return Verdict(Outcome.ACCEPTED, columns=columns)


_SHARED = Compiler()


def shared() -> Compiler:
    """The compiler of this Python process, for whoever needs no own one."""
    return _SHARED


__all__ = ["Compiler", "CompilerError", "Mode", "Outcome", "Tables", "Verdict", "shared"]
