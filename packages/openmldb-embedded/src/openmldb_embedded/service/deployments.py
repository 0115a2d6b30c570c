"""Deployments: made, dropped, and kept ready to answer."""

from __future__ import annotations

import threading

from openmldb_sql import statements
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded import engine
from openmldb_embedded.catalog import Deployment, Job, Record, State
from openmldb_embedded.errors import ExecutionError, NotFound
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.service.ttl import deploy_options, needed_indexes
from openmldb_embedded.store import Store
from openmldb_embedded.wire import RowReader, RowWriter

COLD = 1.0
"""Seconds that a row is thought to take until one has been measured."""


class Runtime:
    """A deployment that is ready to answer."""

    def __init__(self, deployment: Deployment, state: State) -> None:
        self.deployment = deployment
        self.query = engine.compile_request(deployment.sql, state, deployment.db)
        self.inputs = list(self.query.input_schema)
        self.outputs = list(self.query.output_schema)
        known = {
            (column.name, column.type): column
            for column in state.table(*self.query.request_table).schema.columns
        }
        columns = tuple(known.get(f, ColumnDef(*f)) for f in self.inputs)
        self.reader = RowReader(Schema(columns))
        self.writer = RowWriter([kind for _, kind in self.outputs])
        self.answer = self.query.bind(lambda db, name: state.table(db, name).memory)
        self.schema = [{"name": name, "type": kind.lower_name} for name, kind in self.outputs]
        self.seconds = COLD
        """How long one row took of late; the server decides by it where to run the next."""

    def took(self, seconds: float) -> None:
        """Learn how long a row took; the first rows, before the stores are warm, do not last."""
        if self.seconds >= COLD / 2:
            self.seconds = min(seconds, COLD)
        else:
            self.seconds += (seconds - self.seconds) * 0.2


class Deployments:
    """Runs DEPLOY and DROP DEPLOYMENT, and hands out what answers requests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = store.state
        self._runtimes: dict[tuple[str, str], Runtime] = {}
        self._deploying = threading.Lock()
        self._operations: list[tuple[int, str]] = []

    def deploy(self, call: Call, s: statements.Deploy) -> Reply:
        """DEPLOY: nothing, or, where it is not to wait, the number of the operation."""
        if not call.mode.online:
            raise ExecutionError("DEPLOY works in online mode only: use mode online or onsync", -1)
        bias = deploy_options(s.options)
        with self._deploying:
            if s.if_not_exists and (call.db, s.name) in self._state.deployments:
                return DONE
            query = engine.compile_request(s.sql, self._state, call.db)

            def make(state: State) -> Record:
                return {
                    "op": "deploy",
                    "db": call.db,
                    "name": s.name,
                    "sql": s.sql,
                    "options": dict(s.options),
                    "indexes": needed_indexes(state, query, bias),
                    "tables": sorted([db, name] for db, name in query.tables),
                }

            self._store.commit(make)
            self.runtime(call.db, s.name)
        if bias.sync:
            return DONE
        self._operations.append((len(self._operations) + 1, f"{call.db}.{s.name}"))
        return Reply([SqlType.INT64], [(len(self._operations),)])

    def ready(self, db: str, name: str) -> Runtime | None:
        """A deployment that has been used before, without waiting."""
        return self._runtimes.get((db, name))

    def runtime(self, db: str, name: str) -> Runtime:
        """A deployment ready to answer.

        Raises:
            NotFound: There is none of this name.
        """
        found = self._runtimes.get((db, name))
        if found is not None:
            return found
        deployment = self._state.deployment(db, name)
        found = Runtime(deployment, self._state)
        with self._store.lock:
            if self._state.deployments.get((db, name)) is deployment:
                self._runtimes[db, name] = found
        return found

    def drop_deployment(self, call: Call, s: statements.DropDeployment) -> Reply:
        """DROP DEPLOYMENT."""
        db, name = call.name(s.name)
        try:
            with self._deploying:
                self._store.commit({"op": "drop_deployment", "db": db, "name": name})
                with self._store.lock:
                    self._runtimes.pop((db, name), None)
        except NotFound:
            if not s.if_exists:
                raise
        return DONE

    def operations(self) -> list[Job]:
        """The DEPLOYs that did not wait, as the name server's jobs."""
        return [
            Job(
                number,
                "kAddIndexOP",
                "FINISHED",
                0,
                0,
                what,
                "",
                "",
                "",
                "",
                component="nameserver",
            )
            for number, what in self._operations
        ]
