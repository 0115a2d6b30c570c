"""The grammar of the statements, by recursive descent."""

from __future__ import annotations

from collections.abc import Callable

from openmldb_sql.errors import SyntaxError_
from openmldb_sql.statements.cursor import Cursor
from openmldb_sql.statements.indexes import index_of
from openmldb_sql.statements.nodes import (
    Condition,
    CreateDatabase,
    CreateIndex,
    CreateTable,
    Delete,
    Deploy,
    Desc,
    DropDatabase,
    DropDeployment,
    DropIndex,
    DropTable,
    Explain,
    Insert,
    Literal,
    LoadData,
    Name,
    Select,
    SelectInto,
    SetVar,
    Show,
    Statement,
    StopJob,
    Truncate,
    Use,
)
from openmldb_sql.tokens import Kind
from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType


class Parser(Cursor):
    """One statement."""

    def statement(self) -> Statement:
        """The whole of it.

        Raises:
            SyntaxError_: It is none of OpenMLDB's, or something is left.
        """
        starts: dict[str, Callable[[], Statement]] = {
            "CREATE": self._create,
            "DROP": self._drop,
            "USE": self._use,
            "INSERT": self._insert,
            "DELETE": self._delete,
            "TRUNCATE": self._truncate,
            "LOAD": self._load_data,
            "DEPLOY": self._deploy,
            "SHOW": self._show,
            "STOP": self._stop,
            "DESC": self._desc,
            "DESCRIBE": self._desc,
            "SET": self._set_variable,
            "EXPLAIN": self._explain,
        }
        start = starts.get(self.token.upper) if self.token.kind is Kind.WORD else None
        if start is not None:
            self.at += 1
            found = start()
            self.end()
            return found
        if self.peek("SELECT") or self.peek("WITH") or self.peek("("):
            return self._query()
        raise self.fail("a statement (SELECT, CREATE, LOAD DATA, DEPLOY, SHOW ...)")

    def _create(self) -> Statement:
        if self.take("DATABASE"):
            exists = self.take("IF", "NOT", "EXISTS")
            return CreateDatabase(self.identifier("a database name"), exists)
        if self.take("INDEX"):
            return self._create_index()
        if not self.take("TABLE"):
            raise self.fail("DATABASE, TABLE or INDEX")
        exists = self.take("IF", "NOT", "EXISTS")
        table = self.name()
        if self.take("LIKE"):
            self.expect("PARQUET")
            path = self.string("the parquet file's path")
            return CreateTable(table, Schema((), ()), exists, self.options("OPTIONS"), path)
        self.expect("(")
        columns: list[ColumnDef] = []
        indexes: list[IndexDef] = []
        while True:
            if self.peek("INDEX", "("):
                self.at += 1
                indexes.append(self._index_definition())
            else:
                columns.append(self._column())
            if self.take(")"):
                break
            self.expect(",")
        options = self.options("OPTIONS")
        if not columns:
            raise SyntaxError_(f"create table {table.name} failed: it has no column")
        return CreateTable(table, Schema(tuple(columns), tuple(indexes)), exists, options)

    def _column(self) -> ColumnDef:
        name = self.identifier("a column name")
        type_ = SqlType.from_sql_name(self.identifier("a column type"))
        if self.take("("):  # varchar(20): the length is not kept, as in OpenMLDB
            self.integer("a length")
            self.expect(")")
        not_null = False
        default: Literal = None
        while True:
            if self.take("NOT", "NULL"):
                not_null = True
            elif self.take("DEFAULT"):
                default = self.literal()
            elif not self.take("NULL"):
                return ColumnDef(name, type_, not_null, default)

    def _index_definition(self) -> IndexDef:
        """``(key=(a, b), ts=c, ttl=(10d, 5), ttl_type=absorlat)``, in any order."""
        self.expect("(")
        keys: tuple[str, ...] = ()
        ts: str | None = None
        ttl: list[str] = []
        ttl_type: str | None = None
        while True:
            what = self.identifier("key, ts, ttl or ttl_type").lower()
            self.expect("=")
            if what == "key":
                keys = self._column_list()
            elif what == "ts":
                ts = self.identifier("the ts column")
            elif what == "ttl":
                ttl = self._ttl_list()
            elif what == "ttl_type":
                ttl_type = str(self.option_value()).lower()
            else:
                raise SyntaxError_(f"Syntax error: an index has no {what}; key, ts, ttl, ttl_type")
            if self.take(")"):
                return index_of(keys, ts, ttl, ttl_type)
            self.expect(",")

    def _column_list(self) -> tuple[str, ...]:
        if not self.take("("):
            return (self.identifier("a column name"),)
        found = [self.identifier("a column name")]
        while self.take(","):
            found.append(self.identifier("a column name"))
        self.expect(")")
        return tuple(found)

    def _ttl_list(self) -> list[str]:
        if not self.take("("):
            return [str(self.option_value())]
        found = [str(self.option_value())]
        while self.take(","):
            found.append(str(self.option_value()))
        self.expect(")")
        return found

    def _create_index(self) -> CreateIndex:
        name = self.identifier("an index name")
        self.expect("ON")
        table = self.name()
        self.expect("(")
        self.at -= 1
        keys = self._column_list()
        ts: str | None = None
        ttl: list[str] = []
        ttl_type: str | None = None
        if self.take("OPTIONS"):
            self.expect("(")
            while not self.take(")"):
                what = self.identifier("ts, ttl or ttl_type").lower()
                self.expect("=")
                if what == "ts":
                    ts = self.identifier("the ts column")
                elif what == "ttl":
                    ttl = self._ttl_list()
                elif what == "ttl_type":
                    ttl_type = str(self.option_value()).lower()
                else:
                    raise SyntaxError_(f"Syntax error: CREATE INDEX has no option {what}")
                if not self.peek(")"):
                    self.expect(",")
        return CreateIndex(name, table, index_of(keys, ts, ttl, ttl_type))

    def _drop(self) -> Statement:
        if self.take("DATABASE"):
            exists = self.take("IF", "EXISTS")
            return DropDatabase(self.identifier("a database name"), exists)
        if self.take("TABLE"):
            exists = self.take("IF", "EXISTS")
            return DropTable(self.name(), exists)
        if self.take("DEPLOYMENT"):
            exists = self.take("IF", "EXISTS")
            return DropDeployment(self.name("a deployment name"), exists)
        if self.take("INDEX"):
            parts = [self.identifier("table.index")]
            while self.take("."):
                parts.append(self.identifier("table.index"))
            if len(parts) == 2:
                return DropIndex(Name(None, parts[0]), parts[1])
            if len(parts) == 3:
                return DropIndex(Name(parts[0], parts[1]), parts[2])
            raise self.fail("table.index")
        raise self.fail("DATABASE, TABLE, INDEX or DEPLOYMENT")

    def _use(self) -> Use:
        return Use(self.identifier("a database name"))

    def _insert(self) -> Insert:
        or_ignore = self.take("OR", "IGNORE")
        self.expect("INTO")
        self.take("TABLE")
        table = self.name()
        columns: tuple[str, ...] | None = None
        if self.peek("("):
            columns = self._column_list()
        if not self.take("VALUES") and not self.take("VALUE"):
            raise self.fail("VALUES")
        rows = [self._row()]
        while self.take(","):
            rows.append(self._row())
        return Insert(table, columns, tuple(rows), or_ignore)

    def _row(self) -> tuple[Literal, ...]:
        self.expect("(")
        found = [self.literal()]
        while self.take(","):
            found.append(self.literal())
        self.expect(")")
        return tuple(found)

    def _delete(self) -> Delete:
        self.expect("FROM")
        table = self.name()
        self.expect("WHERE")
        found = [self._condition()]
        while self.take("AND"):
            found.append(self._condition())
        return Delete(table, tuple(found))

    def _condition(self) -> Condition:
        column = self.identifier("a column name")
        if self.take("."):
            column = self.identifier("a column name")
        if self.take("IS"):
            self.expect("NULL")
            return Condition(column, "=", None)
        token = self.token
        if token.text not in ("=", "==", "<", "<=", ">", ">="):
            raise self.fail("=, <, <=, > or >=")
        self.at += 1
        return Condition(column, "=" if token.text == "==" else token.text, self.literal())

    def _truncate(self) -> Truncate:
        self.expect("TABLE")
        return Truncate(self.name())

    def _load_data(self) -> LoadData:
        self.expect("DATA")
        if not self.take("LOCAL"):
            self.take("GLOBAL")
        self.expect("INFILE")
        path = self.string("the path in quotes")
        self.expect("INTO", "TABLE")
        table = self.name()
        options, config = self._trailing()
        return LoadData(path, table, options, config)

    def _trailing(self) -> tuple[dict[str, Literal], dict[str, Literal]]:
        """OPTIONS and CONFIG, in either order."""
        config = self.options("CONFIG")
        options = self.options("OPTIONS")
        config.update(self.options("CONFIG"))
        return options, config

    def _deploy(self) -> Deploy:
        exists = self.take("IF", "NOT", "EXISTS")
        name = self.identifier("a deployment name")
        options = self.options("OPTIONS")
        if not (self.peek("SELECT") or self.peek("WITH") or self.peek("(")):
            raise self.fail("SELECT")
        sql = self.sql[self.token.start : self.found[-1].start].strip()
        self.at = len(self.found) - 1
        return Deploy(name, sql, options, exists)

    def _show(self) -> Show:
        for what in ("DATABASES", "COMPONENTS", "FUNCTIONS", "USERS"):
            if self.take(what):
                return Show(what)
        for what in ("TABLES", "DEPLOYMENTS", "JOBS"):
            if self.take(what):
                source = self.identifier("a name") if self.take("FROM") else None
                if source is None and self.take("IN"):
                    source = self.identifier("a name")
                return Show(what, source=source, like=self._like())
        if self.take("TABLE", "STATUS"):
            return Show("TABLE STATUS", like=self._like())
        if self.take("PROCEDURE", "STATUS"):
            return Show("PROCEDURE STATUS", like=self._like())
        for what in ("JOB", "JOBLOG"):
            if self.take(what):
                return Show(what, number=self.integer("a job's number"))
        if self.take("DEPLOYMENT"):
            return Show("DEPLOYMENT", self.name("a deployment name"))
        for scope in ("GLOBAL ", "SESSION ", ""):
            if self.take(*scope.split(), "VARIABLES"):
                return Show(f"{scope.replace('SESSION ', '')}VARIABLES", like=self._like())
        for what in ("CREATE TABLE", "CREATE PROCEDURE"):
            if self.take(*what.split()):
                return Show(what, self.name())
        raise self.fail("DATABASES, TABLES, JOBS, JOB, JOBLOG, DEPLOYMENTS, DEPLOYMENT ...")

    def _like(self) -> str | None:
        if not self.take("LIKE"):
            return None
        if self.token.kind is Kind.NUMBER:
            return str(self.integer("a pattern"))
        return self.string("a pattern in quotes")

    def _stop(self) -> StopJob:
        self.expect("JOB")
        return StopJob(self.integer("a job's number"))

    def _desc(self) -> Desc:
        return Desc(self.name())

    def _set_variable(self) -> SetVar:
        scope = "session"
        token = self.token
        if token.kind is Kind.VARIABLE:
            self.at += 1
            name = token.text.lstrip("@").lower()
            if "." in name:
                scope, name = name.split(".", 1)
        else:
            if self.take("GLOBAL"):
                scope = "global"
            else:
                self.take("SESSION")
            name = self.identifier("a variable").lower()
        if scope not in ("session", "global"):
            raise SyntaxError_(f"Syntax error: a variable is session or global, not {scope}")
        self.expect("=")
        return SetVar(scope, name, self.option_value())

    def _explain(self) -> Explain:
        if not (self.peek("SELECT") or self.peek("WITH") or self.peek("(")):
            raise self.fail("SELECT")
        sql = self.sql[self.token.start : self.found[-1].start].strip()
        self.at = len(self.found) - 1
        return Explain(sql)

    def _query(self) -> Select | SelectInto:
        """Take ``CONFIG (...)`` and ``INTO OUTFILE`` off a query; both stand outside brackets."""
        start = self.token.start
        depth = 0
        while self.token.kind is not Kind.END:
            if depth == 0 and self.peek("INTO", "OUTFILE"):
                sql = self.sql[start : self.token.start].strip()
                self.at += 2
                path = self.string("the path in quotes")
                options, config = self._trailing()
                self.end()
                return SelectInto(sql, path, options, config)
            if depth == 0 and self.peek("CONFIG", "("):
                sql = self.sql[start : self.token.start].strip()
                config = self.options("CONFIG")
                if self.take("INTO", "OUTFILE"):
                    path = self.string("the path in quotes")
                    options, more = self._trailing()
                    self.end()
                    return SelectInto(sql, path, options, {**config, **more})
                self.end()
                return Select(sql, config)
            depth += self.peek("(") - self.peek(")")
            self.at += 1
        return Select(self.sql[start : self.token.start].strip(), {})
