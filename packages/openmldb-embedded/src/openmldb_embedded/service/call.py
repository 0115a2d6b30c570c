"""One statement's circumstances and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from openmldb_sql import statements
from openmldb_sql.types import SqlType

from openmldb_embedded.errors import ExecutionError, ProtocolError
from openmldb_embedded.moods import Mood
from openmldb_embedded.options import flag_option
from openmldb_embedded.stop import Stop


@dataclass(frozen=True)
class Mode:
    """How a statement is to run."""

    online: bool
    sync: bool

    @classmethod
    def of(cls, name: str) -> Mode:
        """The mode of a request's ``mode`` field.

        Raises:
            ProtocolError: There is no such mode.
        """
        known = {
            "offsync": cls(False, True),
            "offasync": cls(False, False),
            "online": cls(True, False),
            "onsync": cls(True, True),
        }
        found = known.get(name.lower())
        if found is None:
            raise ProtocolError(
                f"Invalid mode {name.lower()}: it is offsync, offasync, online or onsync"
            )
        return found


@dataclass(frozen=True)
class Reply:
    """What a statement answers: nothing, rows, or the finished body of an answer."""

    types: Sequence[SqlType] | None = None
    rows: Sequence[Sequence[Any]] = ()
    body: bytes | None = None


DONE = Reply()


@dataclass(frozen=True)
class Settings:
    """Limits of one server, and what its offline jobs run on.

    Attributes:
        taskmanager: Settings of the offline engine, named as in OpenMLDB's taskmanager.properties.
        exact: Refuse values that a real server would change or keep half of.
        lenient: Run queries that OpenMLDB 0.9.2 refuses and this engine can compute.
        mood: What goes wrong, for tests of clients.
    """

    jobs_at_once: int = 2
    job_memory: int = 0
    max_rows: int = 1_000_000
    endpoint: str = "127.0.0.1:9080"
    offline_engine: str = "embedded"
    exact: bool = False
    lenient: bool = False
    mood: Mood = field(default_factory=Mood)
    taskmanager: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One statement's circumstances."""

    db: str
    sql: str
    mode: Mode
    timeout: float
    params: Sequence[Any]
    stop: Stop
    null_for_nan: bool = False
    has_input: bool = False

    def name(self, name: statements.Name) -> tuple[str, str]:
        """A name's database, the call's where it gives none, and the name."""
        return name.db or self.db, name.name


def configured(mode: Mode, config: statements.Options) -> Mode:
    """A statement's own CONFIG over the request's mode."""
    wanted = str(config.get("execute_mode", "")).lower()
    if wanted in ("offline", "online", "request"):
        mode = replace(mode, online=wanted != "offline")
    elif wanted:
        raise ExecutionError(f"execute_mode takes offline, online or request, not {wanted!r}")
    if "sync_job" in config:
        mode = replace(mode, sync=flag_option(config, "sync_job", default=mode.sync))
    return mode
