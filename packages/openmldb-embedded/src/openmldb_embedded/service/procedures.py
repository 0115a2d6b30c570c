"""Procedures: made, called and dropped. They share their names with deployments."""

from __future__ import annotations

from openmldb_sql import statements
from openmldb_sql.errors import AstError, SqlError, SyntaxError_, UnsupportedSqlError
from openmldb_sql.types import ColumnDef

from openmldb_embedded import engine
from openmldb_embedded.catalog import Record, State
from openmldb_embedded.errors import ExecutionError, NotFound
from openmldb_embedded.referee import Referee
from openmldb_embedded.request.literal import cast_row
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.service.deployments import Deployments
from openmldb_embedded.service.operations import Operations
from openmldb_embedded.service.planning import planning
from openmldb_embedded.store import Store


class Procedures:
    """Runs CREATE PROCEDURE, CALL and DROP PROCEDURE."""

    def __init__(
        self, store: Store, operations: Operations, deployments: Deployments, referee: Referee
    ) -> None:
        self._store = store
        self._state = store.state
        self._operations = operations
        self._deployments = deployments
        self._referee = referee
        self._used = ""

    def use(self, db: str) -> None:
        """Note the database of USE: CALL alone looks for names in it."""
        self._used = db

    def create(self, call: Call, s: statements.CreateProcedure) -> Reply:
        """CREATE PROCEDURE: as DEPLOY, but it makes no index.

        Raises:
            SqlError: The query is refused, its parameters are not the request table's columns, or
                an index is missing.
        """
        query = self._compiled(call, s)
        _check_parameters(query, s.parameters)

        def make(state: State) -> Record:
            missing = _missing(state, query)
            if missing:
                raise ExecutionError(
                    f"create procedure on tablet failed, sp {call.db}.{s.name}: Isn't partition "
                    f"provider: CREATE PROCEDURE makes no index, and there is none of "
                    f"{'; '.join(missing)}"
                )
            return {
                "op": "deploy",
                "db": call.db,
                "name": s.name,
                "sql": s.sql,
                "options": {},
                "indexes": [],
                "tables": sorted([db, name] for db, name in query.tables),
                "procedure": call.sql,
                "constants": list(s.constants),
            }

        self._store.commit(make)
        self._deployments.runtime(call.db, s.name)
        self._operations.visibility.made(call.db, s.name)
        return DONE

    def _compiled(self, call: Call, s: statements.CreateProcedure) -> engine.RequestQuery:
        strict = not self._referee.lenient
        try:
            with planning("explain failed", s.sql, in_deployment=True, strict=strict):
                query = engine.compile_request(s.sql, self._state, call.db, strict=strict)
            return self._referee.confirm_deployment(query, s.sql, self._state, call.db)
        except (SyntaxError_, AstError, UnsupportedSqlError):
            raise
        except SqlError as error:
            raise ExecutionError(f"fail to explain sql--{error.message}") from None

    def call(self, call: Call, s: statements.CallProcedure) -> Reply:
        """CALL: the answer to one row, of a procedure or a deployment.

        A name without a database is looked for in that of the last USE, whose session all HTTP
        clients share, and not in the request's: so it is on a cluster.
        """
        db, name = s.name.db or self._used, s.name.name
        if not db:
            raise NotFound(
                f"-{name}--db or sp_name is empty: write CALL {call.db}.{name} (...), for CALL "
                f"heeds USE and not the request's database",
                1203,
            )
        try:
            runtime = self._deployments.runtime(db, name)
        except NotFound as error:
            raise NotFound(f"{db}-{name}--{error.message}", 1203) from None
        if len(s.arguments) != len(runtime.inputs):
            raise _unbuilt(
                f"FAILED_PRECONDITION: invalid expression number, expect {len(runtime.inputs)}, "
                f"but got {len(s.arguments)}"
            )
        strict = not self._referee.lenient
        try:
            row = cast_row(s.arguments, [kind for _, kind in runtime.inputs], strict=strict)
        except (SyntaxError_, AstError):
            raise
        except SqlError as error:
            raise _unbuilt(error.message) from None
        return Reply([kind for _, kind in runtime.outputs], runtime.answer([row]))

    def drop(self, call: Call, s: statements.DropProcedure) -> Reply:
        """DROP PROCEDURE; it drops a deployment, too."""
        if s.name.db not in (None, call.db):
            raise ExecutionError(
                f"Failed to drop, a cluster heeds no database before the name and would drop "
                f"{call.db}.{s.name.name}: send DROP PROCEDURE {s.name.name} to {s.name.db}"
            )
        return self._deployments.drop(call.db, s.name.name, procedure=True)


def _check_parameters(query: engine.RequestQuery, given: tuple[ColumnDef, ...]) -> None:
    """Refuse parameters that are not the request table's columns, in their order."""
    if [(p.name, p.type) for p in given] != list(query.input_schema):
        wanted = ", ".join(f"{name} {kind.value}" for name, kind in query.input_schema)
        raise ExecutionError(
            f"check input parameter failed: the parameters are the columns of "
            f"{query.request_table[1]}, in their order ({wanted})"
        )


def _missing(state: State, query: engine.RequestQuery) -> list[str]:
    """The indexes that a query needs and no table has.

    A join, which needs one row of a key, may also go through an index of some of its keys.
    """
    texts = []
    for db, name, index in query.indexes:
        join = index.ttl_type == "latest" and index.ttl_lat == 1
        for known in state.table(db, name).schema.indexes:
            exact = set(known.keys) == set(index.keys) and known.ts == index.ts
            partly = set(known.keys) <= set(index.keys) and index.ts in (None, known.ts)
            if exact or (join and partly):
                break
        else:
            ts = f", ts={index.ts}" if index.ts else ""
            texts.append(f"{db}.{name} with key=({', '.join(index.keys)}){ts}")
    return texts


def _unbuilt(reason: str) -> ExecutionError:
    """CALL's arguments make no row."""
    return ExecutionError(f"--ReturnCode[1108]--{reason}", 2001)
