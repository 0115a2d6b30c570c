"""A script to statements: everything but the inside of a SELECT becomes a frozen dataclass here.

SELECT text is handed on untouched to the query parser; only what surrounds it (``CONFIG (...)``,
``INTO OUTFILE``, ``DEPLOY``, ``EXPLAIN``) is taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from openmldb_sql.errors import SyntaxError_
from openmldb_sql.tokens import NUMBER, UNITS, Kind, Token, place, tokens
from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType

Literal: TypeAlias = bool | int | float | str | None
Options: TypeAlias = Mapping[str, Literal]


@dataclass(frozen=True)
class Name:
    """A table's name with the database it was qualified by, if it was."""

    db: str | None
    name: str


@dataclass(frozen=True)
class CreateDatabase:
    """``CREATE DATABASE [IF NOT EXISTS] name``."""

    name: str
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropDatabase:
    """``DROP DATABASE [IF EXISTS] name``."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class Use:
    """``USE name``."""

    name: str


@dataclass(frozen=True)
class CreateTable:
    """``CREATE TABLE [IF NOT EXISTS] t (columns, INDEX(...)) OPTIONS (...)`` or ``LIKE PARQUET``."""

    table: Name
    schema: Schema
    if_not_exists: bool = False
    options: Options = field(default_factory=dict)
    like_parquet: str | None = None


@dataclass(frozen=True)
class DropTable:
    """``DROP TABLE [IF EXISTS] t``."""

    table: Name
    if_exists: bool = False


@dataclass(frozen=True)
class CreateIndex:
    """``CREATE INDEX i ON t (columns) OPTIONS (ts=, ttl=, ttl_type=)``."""

    name: str
    table: Name
    index: IndexDef


@dataclass(frozen=True)
class DropIndex:
    """``DROP INDEX t.i``."""

    table: Name
    name: str


@dataclass(frozen=True)
class Insert:
    """``INSERT [OR IGNORE] INTO t [(columns)] VALUES (...), ...``."""

    table: Name
    columns: tuple[str, ...] | None
    rows: tuple[tuple[Literal, ...], ...]
    or_ignore: bool = False


@dataclass(frozen=True)
class Condition:
    """One comparison of a DELETE: ``column operator literal``."""

    column: str
    operator: str
    value: Literal


@dataclass(frozen=True)
class Delete:
    """``DELETE FROM t WHERE condition AND ...``."""

    table: Name
    where: tuple[Condition, ...]


@dataclass(frozen=True)
class Truncate:
    """``TRUNCATE TABLE t``."""

    table: Name


@dataclass(frozen=True)
class LoadData:
    """``LOAD DATA INFILE 'path' INTO TABLE t [OPTIONS (...)] [CONFIG (...)]``."""

    path: str
    table: Name
    options: Options
    config: Options


@dataclass(frozen=True)
class Select:
    """A plain query and its ``CONFIG (...)``."""

    sql: str
    config: Options


@dataclass(frozen=True)
class SelectInto:
    """``SELECT ... INTO OUTFILE 'path' [OPTIONS (...)] [CONFIG (...)]``."""

    sql: str
    path: str
    options: Options
    config: Options


@dataclass(frozen=True)
class Deploy:
    """``DEPLOY [IF NOT EXISTS] name [OPTIONS (...)] SELECT ...``."""

    name: str
    sql: str
    options: Options
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropDeployment:
    """``DROP DEPLOYMENT [IF EXISTS] name``."""

    name: Name
    if_exists: bool = False


@dataclass(frozen=True)
class Show:
    """``SHOW what``: ``what`` in upper case without its argument, e.g. ``CREATE TABLE``, ``JOB``."""

    what: str
    argument: Name | None = None
    number: int | None = None
    source: str | None = None
    like: str | None = None


@dataclass(frozen=True)
class StopJob:
    """``STOP JOB n``."""

    number: int


@dataclass(frozen=True)
class Desc:
    """``DESC t``."""

    table: Name


@dataclass(frozen=True)
class SetVar:
    """``SET @@[session.|global.]name = value``."""

    scope: str
    name: str
    value: Literal


@dataclass(frozen=True)
class Explain:
    """``EXPLAIN SELECT ...``."""

    sql: str


Statement: TypeAlias = (
    CreateDatabase
    | DropDatabase
    | Use
    | CreateTable
    | DropTable
    | CreateIndex
    | DropIndex
    | Insert
    | Delete
    | Truncate
    | LoadData
    | Select
    | SelectInto
    | Deploy
    | DropDeployment
    | Show
    | StopJob
    | Desc
    | SetVar
    | Explain
)

TTL_TYPES = ("absolute", "latest", "absorlat", "absandlat")


def split(script: str) -> list[str]:
    """Cut a script into its statements, without their ``;``; empty ones are left out.

    Raises:
        SyntaxError_: A quote, comment or bracket that does not close.
    """
    found: list[str] = []
    position = 0
    while position < len(script):
        cut = list(tokens(script, position))
        if cut[0].kind is not Kind.END:
            found.append(script[cut[0].start : cut[-1].start].strip())
        position = max(cut[-1].end, position + 1)
    return found


def parse(script: str) -> Statement:
    """Parse the first statement of a script; what follows its ``;`` is not looked at.

    Raises:
        SyntaxError_: The statement is empty, or none of OpenMLDB's.
    """
    position = 0
    while position < len(script):
        found = list(tokens(script, position))
        if found[0].kind is not Kind.END:
            return _Parser(script, found).statement()
        position = max(found[0].end, position + 1)
    raise SyntaxError_("Syntax error: Unexpected end of statement, the SQL is empty")


class _Parser:
    """Recursive descent over the tokens of one statement."""

    def __init__(self, sql: str, found: list[Token]) -> None:
        self.sql = sql
        self.found = found
        self.at = 0

    # ---------------------------------------------------------------- the basics

    @property
    def token(self) -> Token:
        return self.found[self.at]

    def fail(self, wanted: str) -> SyntaxError_:
        token = self.token
        got = "end of statement" if token.kind is Kind.END else f'"{token.text[:60]}"'
        return SyntaxError_(
            f"Syntax error: Expected {wanted} but got {got} {place(self.sql, token.start)}"
        )

    def peek(self, *words: str) -> bool:
        end = self.at + len(words)
        return end <= len(self.found) and all(
            token.upper == word and token.kind in (Kind.WORD, Kind.SYMBOL)
            for token, word in zip(self.found[self.at : end], words, strict=True)
        )

    def take(self, *words: str) -> bool:
        if self.peek(*words):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.take(word):
                raise self.fail(f"{word}")

    def end(self) -> None:
        if self.token.kind is not Kind.END:
            raise self.fail("end of statement")

    def identifier(self, what: str) -> str:
        token = self.token
        if token.kind not in (Kind.WORD, Kind.NAME) or not token.value:
            raise self.fail(what)
        self.at += 1
        return token.value

    def name(self, what: str = "a table name") -> Name:
        first = self.identifier(what)
        if self.take("."):
            return Name(first, self.identifier(what))
        return Name(None, first)

    def string(self, what: str) -> str:
        token = self.token
        if token.kind is not Kind.STRING:
            raise self.fail(what)
        self.at += 1
        return token.value

    def integer(self, what: str) -> int:
        token = self.token
        if token.kind is not Kind.NUMBER or not token.text.isdecimal() or len(token.text) > 19:
            raise self.fail(what)
        self.at += 1
        return int(token.text)

    def literal(self) -> Literal:
        token = self.token
        if token.kind is Kind.STRING:
            self.at += 1
            return token.value
        negative = False
        while token.kind is Kind.SYMBOL and token.text in "+-":
            negative ^= token.text == "-"
            self.at += 1
            token = self.token
        if token.kind is Kind.NUMBER:
            self.at += 1
            return self._number(token, negative)
        if token.kind is Kind.WORD and not negative:
            constant: dict[str, Literal] = {"NULL": None, "TRUE": True, "FALSE": False}
            if token.upper in constant:
                self.at += 1
                return constant[token.upper]
        raise self.fail("a literal")

    def _number(self, token: Token, negative: bool) -> int | float:
        text = token.text
        following = self.token
        if following.kind is Kind.WORD and following.start == token.end:
            if following.upper != "D":  # 2.5d, a double
                raise self.fail("a literal")
            self.at += 1
        found = NUMBER.fullmatch(text)
        kind = found.lastgroup if found else None
        number: int | float
        if kind == "hex":
            number = int(text, 16)
        elif kind in ("int", "long"):
            if len(text) > 40:
                raise SyntaxError_(f"Syntax error: Invalid integer literal {text[:20]}...")
            number = int(text.rstrip("lL"))
        elif kind == "float" or text[-1] in "dD":
            number = float(text.rstrip("fFdD"))
        else:
            self.at -= 1
            raise self.fail("a literal")
        return -number if negative else number

    def option_value(self) -> Literal:
        """A literal, a bare word, or a duration such as ``10d`` or ``10 d``, kept as text."""
        token = self.token
        if token.kind is Kind.WORD and token.upper not in ("NULL", "TRUE", "FALSE"):
            return self.identifier("a value")
        number = NUMBER.fullmatch(token.text) if token.kind is Kind.NUMBER else None
        if number is not None and number.lastgroup == "interval":
            self.at += 1
            return token.text.lower()
        following = self.found[min(self.at + 1, len(self.found) - 1)]
        if token.kind is Kind.NUMBER and token.text.isdecimal() and following.kind is Kind.WORD:
            self.at += 2
            return f"{token.text}{following.text.lower()}"
        return self.literal()

    def options(self, keyword: str) -> dict[str, Literal]:
        """``KEYWORD (a=1, b='x')``; an absent list is an empty one."""
        found: dict[str, Literal] = {}
        if not self.take(keyword):
            return found
        self.expect("(")
        if self.take(")"):
            return found
        while True:
            key = self.identifier("an option name").lower()
            self.expect("=")
            if self.peek("[") or self.peek("("):
                found[key] = self._bracketed()
            else:
                found[key] = self.option_value()
            if self.take(")"):
                return found
            self.expect(",")

    def _bracketed(self) -> str:
        """The text of a bracketed value, such as DISTRIBUTION's: kept, not understood."""
        start = self.token.start
        depth = 0
        while True:
            token = self.token
            if token.kind is Kind.END:
                raise self.fail("a closing bracket")
            depth += (token.text in "[(") - (token.text in "])") if token.text else 0
            self.at += 1
            if depth == 0:
                return self.sql[start : token.end]

    # ---------------------------------------------------------------- statements

    def statement(self) -> Statement:
        starts: dict[str, Callable[[], Statement]] = {
            "CREATE": self.create,
            "DROP": self.drop,
            "USE": self.use,
            "INSERT": self.insert,
            "DELETE": self.delete,
            "TRUNCATE": self.truncate,
            "LOAD": self.load_data,
            "DEPLOY": self.deploy,
            "SHOW": self.show,
            "STOP": self.stop,
            "DESC": self.desc,
            "DESCRIBE": self.desc,
            "SET": self.set_variable,
            "EXPLAIN": self.explain,
        }
        start = starts.get(self.token.upper) if self.token.kind is Kind.WORD else None
        if start is not None:
            self.at += 1
            found = start()
            self.end()
            return found
        if self.peek("SELECT") or self.peek("WITH") or self.peek("("):
            return self.query()
        raise self.fail("a statement (SELECT, CREATE, LOAD DATA, DEPLOY, SHOW ...)")

    def create(self) -> Statement:
        if self.take("DATABASE"):
            exists = self.take("IF", "NOT", "EXISTS")
            return CreateDatabase(self.identifier("a database name"), exists)
        if self.take("INDEX"):
            return self.create_index()
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
                indexes.append(self.index_definition())
            else:
                columns.append(self.column())
            if self.take(")"):
                break
            self.expect(",")
        options = self.options("OPTIONS")
        if not columns:
            raise SyntaxError_(f"create table {table.name} failed: it has no column")
        return CreateTable(table, Schema(tuple(columns), tuple(indexes)), exists, options)

    def column(self) -> ColumnDef:
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

    def index_definition(self) -> IndexDef:
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
                keys = self.column_list()
            elif what == "ts":
                ts = self.identifier("the ts column")
            elif what == "ttl":
                ttl = self.ttl_list()
            elif what == "ttl_type":
                ttl_type = str(self.option_value()).lower()
            else:
                raise SyntaxError_(f"Syntax error: an index has no {what}; key, ts, ttl, ttl_type")
            if self.take(")"):
                return index_of(keys, ts, ttl, ttl_type)
            self.expect(",")

    def column_list(self) -> tuple[str, ...]:
        if not self.take("("):
            return (self.identifier("a column name"),)
        found = [self.identifier("a column name")]
        while self.take(","):
            found.append(self.identifier("a column name"))
        self.expect(")")
        return tuple(found)

    def ttl_list(self) -> list[str]:
        if not self.take("("):
            return [str(self.option_value())]
        found = [str(self.option_value())]
        while self.take(","):
            found.append(str(self.option_value()))
        self.expect(")")
        return found

    def create_index(self) -> CreateIndex:
        name = self.identifier("an index name")
        self.expect("ON")
        table = self.name()
        self.expect("(")
        self.at -= 1
        keys = self.column_list()
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
                    ttl = self.ttl_list()
                elif what == "ttl_type":
                    ttl_type = str(self.option_value()).lower()
                else:
                    raise SyntaxError_(f"Syntax error: CREATE INDEX has no option {what}")
                if not self.peek(")"):
                    self.expect(",")
        return CreateIndex(name, table, index_of(keys, ts, ttl, ttl_type))

    def drop(self) -> Statement:
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

    def use(self) -> Use:
        return Use(self.identifier("a database name"))

    def insert(self) -> Insert:
        or_ignore = self.take("OR", "IGNORE")
        self.expect("INTO")
        self.take("TABLE")
        table = self.name()
        columns: tuple[str, ...] | None = None
        if self.peek("("):
            columns = self.column_list()
        if not self.take("VALUES") and not self.take("VALUE"):
            raise self.fail("VALUES")
        rows = [self.row()]
        while self.take(","):
            rows.append(self.row())
        return Insert(table, columns, tuple(rows), or_ignore)

    def row(self) -> tuple[Literal, ...]:
        self.expect("(")
        found = [self.literal()]
        while self.take(","):
            found.append(self.literal())
        self.expect(")")
        return tuple(found)

    def delete(self) -> Delete:
        self.expect("FROM")
        table = self.name()
        self.expect("WHERE")
        found = [self.condition()]
        while self.take("AND"):
            found.append(self.condition())
        return Delete(table, tuple(found))

    def condition(self) -> Condition:
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

    def truncate(self) -> Truncate:
        self.expect("TABLE")
        return Truncate(self.name())

    def load_data(self) -> LoadData:
        self.expect("DATA")
        if not self.take("LOCAL"):
            self.take("GLOBAL")
        self.expect("INFILE")
        path = self.string("the path in quotes")
        self.expect("INTO", "TABLE")
        table = self.name()
        options, config = self.trailing()
        return LoadData(path, table, options, config)

    def trailing(self) -> tuple[dict[str, Literal], dict[str, Literal]]:
        """OPTIONS and CONFIG, in either order."""
        config = self.options("CONFIG")
        options = self.options("OPTIONS")
        config.update(self.options("CONFIG"))
        return options, config

    def deploy(self) -> Deploy:
        exists = self.take("IF", "NOT", "EXISTS")
        name = self.identifier("a deployment name")
        options = self.options("OPTIONS")
        if not (self.peek("SELECT") or self.peek("WITH") or self.peek("(")):
            raise self.fail("SELECT")
        sql = self.sql[self.token.start : self.found[-1].start].strip()
        self.at = len(self.found) - 1
        return Deploy(name, sql, options, exists)

    def show(self) -> Show:
        for what in ("DATABASES", "COMPONENTS", "FUNCTIONS", "USERS"):
            if self.take(what):
                return Show(what)
        for what in ("TABLES", "DEPLOYMENTS", "JOBS"):
            if self.take(what):
                source = self.identifier("a name") if self.take("FROM") else None
                if source is None and self.take("IN"):
                    source = self.identifier("a name")
                return Show(what, source=source, like=self.like())
        if self.take("TABLE", "STATUS"):
            return Show("TABLE STATUS", like=self.like())
        if self.take("PROCEDURE", "STATUS"):
            return Show("PROCEDURE STATUS", like=self.like())
        for what in ("JOB", "JOBLOG"):
            if self.take(what):
                return Show(what, number=self.integer("a job's number"))
        if self.take("DEPLOYMENT"):
            return Show("DEPLOYMENT", self.name("a deployment name"))
        for scope in ("GLOBAL ", "SESSION ", ""):
            if self.take(*scope.split(), "VARIABLES"):
                return Show(f"{scope.replace('SESSION ', '')}VARIABLES", like=self.like())
        for what in ("CREATE TABLE", "CREATE PROCEDURE"):
            if self.take(*what.split()):
                return Show(what, self.name())
        raise self.fail("DATABASES, TABLES, JOBS, JOB, JOBLOG, DEPLOYMENTS, DEPLOYMENT ...")

    def like(self) -> str | None:
        if not self.take("LIKE"):
            return None
        if self.token.kind is Kind.NUMBER:
            return str(self.integer("a pattern"))
        return self.string("a pattern in quotes")

    def stop(self) -> StopJob:
        self.expect("JOB")
        return StopJob(self.integer("a job's number"))

    def desc(self) -> Desc:
        return Desc(self.name())

    def set_variable(self) -> SetVar:
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

    def explain(self) -> Explain:
        if not (self.peek("SELECT") or self.peek("WITH") or self.peek("(")):
            raise self.fail("SELECT")
        sql = self.sql[self.token.start : self.found[-1].start].strip()
        self.at = len(self.found) - 1
        return Explain(sql)

    def query(self) -> Select | SelectInto:
        """Take ``CONFIG (...)`` and ``INTO OUTFILE`` off a query; both stand outside brackets."""
        start = self.token.start
        depth = 0
        while self.token.kind is not Kind.END:
            if depth == 0 and self.peek("INTO", "OUTFILE"):
                sql = self.sql[start : self.token.start].strip()
                self.at += 2
                path = self.string("the path in quotes")
                options, config = self.trailing()
                self.end()
                return SelectInto(sql, path, options, config)
            if depth == 0 and self.peek("CONFIG", "("):
                sql = self.sql[start : self.token.start].strip()
                config = self.options("CONFIG")
                if self.take("INTO", "OUTFILE"):
                    path = self.string("the path in quotes")
                    options, more = self.trailing()
                    self.end()
                    return SelectInto(sql, path, options, {**config, **more})
                self.end()
                return Select(sql, config)
            depth += self.peek("(") - self.peek(")")
            self.at += 1
        return Select(self.sql[start : self.token.start].strip(), {})


def index_of(
    keys: tuple[str, ...], ts: str | None, ttl: list[str], ttl_type: str | None
) -> IndexDef:
    """Make an index of what its definition said; ``0`` in a ttl means for ever.

    Raises:
        SyntaxError_: No key, an unknown ttl_type, or a ttl that its type does not take.
    """
    if not keys:
        raise SyntaxError_("Syntax error: an INDEX needs key=column or key=(columns)")
    kind = ttl_type or "absolute"
    if kind not in TTL_TYPES:
        raise SyntaxError_(f"Syntax error: ttl_type {kind} is none of {', '.join(TTL_TYPES)}")
    absolute = latest = 0
    for text in ttl:
        if text.isdecimal() and kind != "absolute":
            latest = int(text)
        elif text.isdecimal():
            absolute = int(text) * UNITS["m"]
        else:
            absolute = duration_ms(text)
            if kind == "latest":
                raise SyntaxError_(f"Syntax error: ttl_type latest takes a number, not {text}")
    if kind in ("absorlat", "absandlat") and len(ttl) not in (0, 2):
        raise SyntaxError_(f"Syntax error: ttl_type {kind} takes ttl=(duration, number)")
    return IndexDef(keys, ts, kind, absolute, latest)


def duration_ms(text: str) -> int:
    """A duration such as ``10d`` in milliseconds.

    Raises:
        SyntaxError_: Not a number followed by s, m, h or d.
    """
    number, unit = text[:-1], text[-1:].lower()
    if not number.isdecimal() or len(number) > 12 or unit not in UNITS:
        raise SyntaxError_(f"Syntax error: {text!r} is no duration such as 10s, 30m, 12h or 7d")
    return int(number) * UNITS[unit]
