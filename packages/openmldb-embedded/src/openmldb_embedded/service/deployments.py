"""Deployments: made, dropped, and kept ready to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from openmldb_compiler.beyond import request_refusal
from openmldb_sql import statements
from openmldb_sql.parse import parse_select
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded import engine
from openmldb_embedded.catalog import Deployment, Record, State
from openmldb_embedded.errors import ExecutionError, ProtocolError
from openmldb_embedded.memtable import Row
from openmldb_embedded.referee import Referee
from openmldb_embedded.request.common import common_columns
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.service.long_windows import check_long_windows
from openmldb_embedded.service.operations import Operation, Operations
from openmldb_embedded.service.planning import planning
from openmldb_embedded.service.ttl import deploy_options, needed_indexes
from openmldb_embedded.store import Store
from openmldb_embedded.wire import RowReader, RowWriter

COLD = 1.0
"""Seconds that a row is thought to take until one has been measured."""


class Runtime:
    """A deployment that is ready to answer.

    Args:
        deployment: What was deployed.
        state: Where its tables are.
        strict: Refuse request values that a real server would change.
        lenient: Answer where every request to a real server fails.
    """

    def __init__(
        self, deployment: Deployment, state: State, *, strict: bool = False, lenient: bool = False
    ) -> None:
        self.deployment = deployment
        self.query = engine.compile_request(deployment.sql, state, deployment.db)
        self.inputs = list(self.query.input_schema)
        self.outputs = list(self.query.output_schema)
        known = {
            (column.name, column.type): column
            for column in state.table(*self.query.request_table).schema.columns
        }
        columns = tuple(known.get(f, ColumnDef(*f)) for f in self.inputs)
        self.reader = RowReader(Schema(columns), strict=strict)
        self.writer = RowWriter([kind for _, kind in self.outputs])
        reason = None if lenient else request_refusal(parse_select(deployment.sql, strict=True))
        self.answer = (
            self.query.bind(lambda db, name: state.table(db, name).memory)
            if reason is None
            else _failing(reason)
        )
        self.schema = [{"name": name, "type": kind.lower_name} for name, kind in self.outputs]
        constants = deployment.constants
        self.common = [
            bool(constants) and one for one in common_columns(self.query.plan, constants)
        ]
        """For each output column, whether all rows of one request have the same value."""
        self.names = [
            name for (name, _), one in zip(self.outputs, self.common, strict=True) if not one
        ]
        self.seconds = COLD
        """How long one row took of late; the server decides by it where to run the next."""

    def took(self, seconds: float) -> None:
        """Learn how long a row took; the first rows, before the stores are warm, do not last."""
        if self.seconds >= COLD / 2:
            self.seconds = min(seconds, COLD)
        else:
            self.seconds += (seconds - self.seconds) * 0.2


def _failing(reason: str) -> Callable[[Sequence[Row]], list[Row]]:
    """What a deployment answers to which every request fails, as a real server's tablets do."""

    def fail(rows: Sequence[Row]) -> list[Row]:
        raise ProtocolError(f"fail to run sql: {reason}")

    return fail


class Deployments:
    """Runs DEPLOY and DROP DEPLOYMENT, and hands out what answers requests."""

    def __init__(
        self,
        store: Store,
        operations: Operations,
        *,
        exact: bool = False,
        referee: Referee,
    ) -> None:
        self._store = store
        self._state = store.state
        self._operations = operations
        self._exact = exact
        self._referee = referee
        self._runtimes: dict[tuple[str, str], Runtime] = {}
        self._deploying = threading.Lock()

    def deploy(self, call: Call, s: statements.Deploy) -> Reply:
        """DEPLOY: nothing, or, where it is not to wait, the number of the operation.

        Raises:
            SqlError: The query, its options or its name are refused; indexes stay as they were.
        """
        if not call.mode.online:
            raise ExecutionError(
                "Can not deploy in offline mode, please set @@SESSION.execute_mode='online' "
                "(over HTTP: mode online or onsync)"
            )
        strict = not self._referee.lenient
        with planning("explain failed", s.sql, in_deployment=True, strict=strict):
            query = engine.compile_request(
                s.sql, self._state, call.db, strict=strict, failing=not self._exact
            )
        self._referee.confirm_deployment(
            query, s.sql, self._state, call.db, failing=not self._exact
        )
        bias = deploy_options(s.options)
        tree = parse_select(s.sql, strict=strict)
        check_long_windows(dict(s.options), tree, query, self._state)
        if not all(part.isalnum() or part == "_" for part in s.name):
            raise ExecutionError(
                f"ns create procedure failed--ReturnCode[-1]--create procedure on tablet failed, "
                f"sp {call.db}.{s.name}: a deployment's name takes letters, digits and _",
                2001,
            )
        with self._deploying:
            data = sum(self._state.table(*table).memory.num_rows for table in query.tables)
            operation: Operation | None = None

            def make(state: State) -> Record:
                nonlocal operation
                changes, new = needed_indexes(state, query, bias)
                record = {
                    "op": "deploy",
                    "db": call.db,
                    "name": s.name,
                    "sql": s.sql,
                    "options": dict(s.options),
                    "indexes": changes,
                    "tables": sorted([db, name] for db, name in query.tables),
                }
                if new and (call.db, s.name) not in state.deployments:
                    operation = self._begin(new, quick=not data)
                return record

            self._store.commit(make)
            self.runtime(call.db, s.name)
            self._operations.visibility.made(call.db, s.name)
        if operation is not None and bias.sync:
            self._operations.wait(operation)
        elif operation is not None and data:
            return Reply([SqlType.INT64], [(operation.id,)])
        return DONE

    def _begin(
        self, new: dict[tuple[str, str], tuple[str, ...]], *, quick: bool
    ) -> Operation | None:
        """Note the operation by which a deployment's indexes are made."""
        seconds = self._operations.deploy_seconds * sum(len(names) for names in new.values())
        if quick and not seconds:
            return None
        for db, table in new:
            self._operations.check_free(db, table)
        begun = [self._operations.begin("kDeployOP", db, table, (), seconds) for db, table in new]
        return begun[-1]

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
        found = Runtime(deployment, self._state, strict=self._exact, lenient=self._referee.lenient)
        with self._store.lock:
            if self._state.deployments.get((db, name)) is deployment:
                self._runtimes[db, name] = found
        return found

    def drop_deployment(self, call: Call, s: statements.DropDeployment) -> Reply:
        """DROP DEPLOYMENT; OpenMLDB has no effect for IF EXISTS, and neither has this."""
        return self.drop(*call.name(s.name))

    def drop(self, db: str, name: str, *, procedure: bool = False) -> Reply:
        """Drop a deployment; with ``procedure`` a procedure, or a deployment by its other name."""
        with self._deploying:
            self._store.commit(
                {"op": "drop_deployment", "db": db, "name": name, "procedure": procedure}
            )
            with self._store.lock:
                self._runtimes.pop((db, name), None)
        return DONE
