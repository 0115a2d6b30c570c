"""The grammar of the statements, by recursive descent."""

from __future__ import annotations

from collections.abc import Callable

from openmldb_sql.errors import AstError, SyntaxError_, UnsupportedSqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.refused import refuse_unknown
from openmldb_sql.statements.cursor import Cursor
from openmldb_sql.statements.indexes import index_of
from openmldb_sql.statements.nodes import (
    AlterTable,
    CallProcedure,
    CreateDatabase,
    CreateIndex,
    CreateProcedure,
    CreateTable,
    Delete,
    Deploy,
    Desc,
    DropDatabase,
    DropDeployment,
    DropFunction,
    DropIndex,
    DropProcedure,
    DropTable,
    Explain,
    Insert,
    Literal,
    LoadData,
    Name,
    NotConstant,
    Placeholder,
    Refused,
    Select,
    SelectInto,
    SetVar,
    Show,
    Statement,
    StopJob,
    Truncate,
    Use,
    Value,
)
from openmldb_sql.syntax import Select as SelectNode
from openmldb_sql.tokens import Kind, place
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
            "EXIT": self._exit,
            "ALTER": self._alter,
            "CALL": self._call,
            "GRANT": self._other,
            "REVOKE": self._other,
        }
        start = starts.get(self.token.upper) if self.token.kind is Kind.WORD else None
        if start is not None:
            self.at += 1
            found = start()
            self.end()
            return found
        if self.peek("SELECT") or self.peek("WITH") or self.peek("("):
            return self._query()
        raise self.fail("end of input")

    def _create(self) -> Statement:
        if self.take("DATABASE"):
            exists = self.take("IF", "NOT", "EXISTS")
            return CreateDatabase(self.identifier("a database name"), exists)
        if self.take("INDEX"):
            return self._create_index()
        if self.take("FUNCTION") or self.take("AGGREGATE", "FUNCTION"):
            return self._create_function()
        if self.peek("USER"):
            return self._other()
        if self.take("PROCEDURE") or self.take("OR", "REPLACE", "PROCEDURE"):
            return self._create_procedure()
        if not self.take("TABLE"):
            raise self.fail("keyword TABLE")
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
        for option in options:
            if option not in _TABLE_OPTIONS:
                raise AstError(f"invalid option {option}; known: {', '.join(_TABLE_OPTIONS)}")
        return CreateTable(table, Schema(tuple(columns), tuple(indexes)), exists, options)

    def _column(self) -> ColumnDef:
        name = self.identifier("a column name")
        type_ = self._type()
        not_null = False
        default: Literal = None
        while True:
            if self.take("NOT", "NULL"):
                not_null = True
            elif self.take("DEFAULT"):
                default = self.literal()
            elif not self.take("NULL") and not self.take("PRIMARY", "KEY"):
                return ColumnDef(name, type_, not_null, default)

    def _index_definition(self) -> IndexDef:
        """``(key=(a, b), ts=c, ttl=(10d, 5), ttl_type=absorlat)``, in any order."""
        self.expect("(")
        found: dict[str, tuple[Literal, ...]] = {}
        while True:
            self._index_option(found)
            if self.take(")"):
                return _index(found, 2000)
            self.expect(",")

    def _index_option(self, found: dict[str, tuple[Literal, ...]]) -> None:
        """One option of an index; those that OpenMLDB does not have are ignored, as it does."""
        what = self.identifier("an index option").lower()
        self.expect("=")
        start = self.token
        if self.take("("):
            values = [self.option_value()]
            while self.take(","):
                values.append(self.option_value())
            self.expect(")")
        else:
            values = [self.option_value()]
        if what in ("key", "ts", "ttl_type") and start.kind not in (Kind.WORD, Kind.NAME):
            names = start.text == "(" and what == "key"
            if not names or not all(isinstance(v, str) for v in values):
                raise AstError(f"Invalid index {what}, should be path expression")
        if what in ("key", "ts", "ttl", "ttl_type"):
            found[what] = tuple(values)

    def _column_list(self) -> tuple[str, ...]:
        if not self.take("("):
            return (self.identifier("a column name"),)
        found = [self.identifier("a column name")]
        while self.take(","):
            found.append(self.identifier("a column name"))
        self.expect(")")
        return tuple(found)

    def _create_index(self) -> CreateIndex:
        name = self.identifier("an index name")
        self.expect("ON")
        table = self.name()
        self.expect("(")
        self.at -= 1
        found: dict[str, tuple[Literal, ...]] = {}
        keys = self._column_list()
        if self.take("OPTIONS"):
            self.expect("(")
            while not self.take(")"):
                self._index_option(found)
                if not self.peek(")"):
                    self.expect(",")
        return CreateIndex(name, table, _index({**found, "key": keys}, 101))

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
            self.take("IF", "EXISTS")
            parts = [self.identifier("table.index")]
            while self.take("."):
                parts.append(self.identifier("table.index"))
            if len(parts) == 2:
                return DropIndex(Name(None, parts[0]), parts[1])
            if len(parts) == 3:
                return DropIndex(Name(parts[0], parts[1]), parts[2])
            raise AstError(f"Invalid index path expression {'.'.join(parts)}")
        if self.take("PROCEDURE"):
            self.take("IF", "EXISTS")
            return DropProcedure(self.name("a procedure name"))
        if self.take("FUNCTION"):
            exists = self.take("IF", "EXISTS")
            return DropFunction(self.identifier("a function name"), exists)
        if self.peek("USER"):
            return self._other()
        raise self.fail("keyword TABLE, DATABASE, INDEX, DEPLOYMENT, PROCEDURE or FUNCTION")

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
        if self.peek("SELECT") or self.peek("WITH"):
            raise AstError("Un-support insert statement with query")
        if not self.take("VALUES") and not self.take("VALUE"):
            raise self.fail("keyword VALUES")
        rows = [self._row()]
        while self.take(","):
            rows.append(self._row())
        return Insert(table, columns, tuple(rows), or_ignore)

    def _row(self) -> tuple[Value, ...]:
        self.expect("(")
        found = [self._value()]
        while self.take(","):
            found.append(self._value())
        self.expect(")")
        return tuple(found)

    def _value(self) -> Value:
        """A constant, a ``?``, or an expression that is read over and will be refused."""
        start = self.at
        if self.take("?") and (self.peek(",") or self.peek(")")):
            return Placeholder()
        self.at = start
        try:
            found = self.literal()
        except AstError:
            raise
        except SyntaxError_:
            pass
        else:
            if self.peek(",") or self.peek(")"):
                return found
        self.at = start
        first = self.token
        depth = 0
        while depth or not (self.peek(",") or self.peek(")")):
            if self.token.kind is Kind.END:
                raise self.fail('")" or ","')
            depth += self.peek("(") - self.peek(")")
            self.at += 1
        text = self.sql[first.start : self.found[self.at - 1].end] if self.at > start else ""
        if not text:
            raise self.fail("an expression")
        if not (self.at == start + 1 and first.kind is Kind.NUMBER):  # a duration: 10d
            self._check_expression(text, first.start)
        return NotConstant(text)

    def _check_expression(self, text: str, at: int) -> None:
        """Refuse what is not an expression, or goes on after it."""
        try:
            query = parse_select(f"SELECT {text}")
        except SyntaxError_ as error:
            reason = error.reason.split(" [at ")[0]
            raise SyntaxError_(f"{reason} {place(self.sql, at)}") from None
        only = query.selects[0]
        if not isinstance(only, SelectNode) or only.items[0].alias is not None or only.source:
            raise SyntaxError_(
                f'Syntax error: Expected ")" or "," after {text[:40]} {place(self.sql, at)}'
            )

    def _delete(self) -> Delete | Refused:
        self.take("FROM")
        table = self.name()
        if not self.peek("WHERE"):
            if table.name.lower() == "job" and self.token.kind is Kind.NUMBER:
                self.integer("a job's number")
                return Refused("database or table is empty", 2000)
            self.end()
            raise AstError("unsupported delete sql: DELETE needs a WHERE; TRUNCATE TABLE empties")
        self.at += 1
        start, end = self.token.start, self.found[-1].start
        try:
            query = parse_select(f"SELECT 1 FROM t WHERE {self.sql[start:end]}")
        except SyntaxError_ as error:
            reason = error.reason.split(" [at ")[0]
            raise SyntaxError_(f"{reason} {place(self.sql, start)}") from None
        only = query.selects[0]
        if not isinstance(only, SelectNode) or only.where is None:
            raise self.fail("a condition")
        refuse_unknown(only.where)
        if only.group or only.having or only.windows or query.order or query.limit is not None:
            raise self.fail("end of statement")
        self.at = len(self.found) - 1
        return Delete(table, only.where)

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

    def _create_procedure(self) -> CreateProcedure:
        self.take("IF", "NOT", "EXISTS")
        name = self.identifier("a procedure name")
        self.expect("(")
        parameters: list[ColumnDef] = []
        constants: list[str] = []
        while not self.take(")"):
            if parameters:
                self.expect(",")
            constant = self.take("CONST")
            column = self.identifier("a parameter name")
            parameters.append(ColumnDef(column, self._type()))
            if constant:
                constants.append(column)
        self.options("OPTIONS")
        self.expect("BEGIN")
        start = self.token.start
        while self.token.kind is not Kind.END:
            self.at += 1
        sql = self.sql[start : self.token.start].strip()
        if self.at + 1 == len(self.found):
            raise self.fail('";" and END')
        self.at += 1
        if not self.take("END"):
            raise AstError("Un-support procedure body: it is one SELECT, which ends with a ;")
        if not sql.upper().startswith(("SELECT", "WITH", "(")):
            raise AstError("Un-support procedure body: it is one SELECT")
        return CreateProcedure(name, tuple(parameters), tuple(constants), sql)

    def _type(self) -> SqlType:
        found = SqlType.from_sql_name(self.identifier("a type"))
        if self.take("("):  # varchar(20): the length is not kept, as in OpenMLDB
            self.integer("a length")
            self.expect(")")
        return found

    def _call(self) -> CallProcedure:
        name = self.name("a procedure name")
        self.expect("(")
        arguments: list[str] = []
        start, depth = self.token.start, 0
        while depth or not self.peek(")"):
            if self.token.kind is Kind.END:
                raise self.fail('")" or ","')
            depth += (self.token.text in "([") - (self.token.text in ")]")
            if depth == 0 and self.peek(","):
                arguments.append(self._argument(start))
                start = self.found[self.at + 1].start
            self.at += 1
        if arguments or self.token.start > start:
            arguments.append(self._argument(start))
        self.expect(")")
        return CallProcedure(name, tuple(arguments))

    def _argument(self, start: int) -> str:
        """The text of an argument that ends before the next token."""
        text = self.sql[start : self.token.start].strip()
        if not text:
            raise self.fail("an expression")
        self._check_expression(text, start)
        return text

    def _create_function(self) -> Refused:
        """Functions of shared objects: checked as OpenMLDB does, and then refused."""
        self.identifier("a function name")
        self.expect("(")
        while not self.take(")"):
            self.identifier("a parameter name")
            self._type()
            if not self.peek(")"):
                self.expect(",")
        self.expect("RETURNS")
        self._type()
        file: str | None = None
        if self.take("OPTIONS"):
            self.expect("(")
            while not self.take(")"):
                option = self.identifier("an option name")
                self.expect("=")
                value = self.option_value()
                if option == "FILE":
                    file = str(value)
                if not self.peek(")"):
                    self.expect(",")
        if file is None:
            return Refused("missing FILE option (its name is written in capitals)", 2000)
        return Refused(
            f"create function failed: the embedded server has OpenMLDB's own functions only and "
            f"loads no shared objects such as {file}; deploy on a cluster what needs one",
            2001,
        )

    def _show(self) -> Show:
        for what in ("JOB", "JOBLOG"):
            if self.take(what):
                return Show(what, number=self.integer("a job's number"))
        for what in ("CREATE TABLE", "CREATE PROCEDURE", "DEPLOYMENT"):
            if self.take(*what.split()):
                return Show(what, self.name("a name"))
        for what in _SHOWN:
            if self.take(*what.split()):
                source = None
                if self.take("FROM") or self.take("IN"):
                    source = self.identifier("a name")
                like = self._like()
                if what == "JOBS" and source is not None:
                    return Show(what, source=source, like=like)
                if like is not None and what != "TABLE STATUS":
                    raise AstError(f"Non-support LIKE in SHOW {what} statement")
                plain = what.replace("SESSION ", "").replace("PROCEDURES", "PROCEDURE STATUS")
                return Show(plain, like=like)
        if self.token.kind is Kind.WORD:
            words = [self.identifier("a word")]
            self.at = len(self.found) - 1
            raise AstError(f"Un-support SHOW: {words[0].upper()}")
        raise self.fail("a word after SHOW")

    def _like(self) -> str | None:
        if not self.take("LIKE"):
            return None
        if self.token.kind is Kind.NUMBER:
            return str(self.integer("a pattern"))
        return self.string("a pattern in quotes")

    def _exit(self) -> Refused:
        return Refused(
            "EXIT is refused: it ends the process of OpenMLDB's API server, for all its clients",
            2000,
        )

    def _alter(self) -> AlterTable | Refused:
        if self.take("USER"):
            return self._other()
        self.expect("TABLE")
        table = self.name()
        text = self.sql[self.token.start : self.found[-1].start]
        paths = []
        while True:
            added = self.take("ADD", "OFFLINE_PATH")
            if not added and not self.take("DROP", "OFFLINE_PATH"):
                raise UnsupportedSqlError(f"ALTER TABLE {text[:60]}: OpenMLDB cannot alter columns")
            paths.append((added, self.string("the path in quotes")))
            if not self.take(","):
                return AlterTable(table, tuple(paths))

    def _other(self) -> Refused:
        """Statements of the real server that the embedded one does not offer."""
        words = self.sql[self.found[0].start : self.found[-1].start].split()
        self.at = len(self.found) - 1
        what = " ".join(words[:2]).upper()
        if self.found[0].upper in ("GRANT", "REVOKE"):
            what = self.found[0].upper
        if what == "CREATE USER":
            return Refused(f"Fail to create user: {' '.join(words[2:3])}", 2)
        return Refused(f"{what} is not offered by the embedded server", 2000)

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


_TABLE_OPTIONS = ("partitionnum", "replicanum", "distribution", "storage_mode", "compress_type")
_SHOWN = (
    "DATABASES",
    "TABLES",
    "TABLE STATUS",
    "PROCEDURES",
    "PROCEDURE STATUS",
    "DEPLOYMENTS",
    "JOBS",
    "VARIABLES",
    "SESSION VARIABLES",
    "GLOBAL VARIABLES",
    "COMPONENTS",
    "FUNCTIONS",
    "CURRENT_USER",
)


def _index(found: dict[str, tuple[Literal, ...]], code: int) -> IndexDef:
    ts, kind = found.get("ts"), found.get("ttl_type")
    return index_of(
        tuple(str(key) for key in found.get("key", ())),
        None if ts is None else str(ts[0]),
        found.get("ttl", ()),
        None if kind is None else str(kind[0]),
        code,
    )
